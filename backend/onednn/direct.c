/* The geometry is listed once, when a convolution is opened; the rest is gather.c's and
 * correlate.c's. */
#include "backend/onednn/direct.h"

#include "backend/onednn/weight_gradient.h"
#include "backend/onednn/implicit_conv.h"
#include "base/alloc.h"

struct direct {
    struct geometry geometry;
    struct gather *gather;       /* forward, backward-data */
    struct correlate *correlate; /* backward-weights */
    enum operand source;         /* of gather */
};

struct direct *direct_open(enum direction dir, const struct unit_shape *s, const struct layout *x,
                           const struct layout *y, const struct tiles *t, int threads)
{
    if (x->c % LANES || y->c % LANES || !t || x->bf16 != t->bf16 || y->bf16 != t->bf16)
        return NULL;
    struct direct *d = xcalloc(1, sizeof *d);
    geometry_open(&d->geometry, s, x, y);
    d->source = dir == FORWARD ? OPERAND_X : OPERAND_Y;
    if (dir == BACKWARD_WEIGHTS)
        d->correlate = correlate_open(&d->geometry, t, threads);
    else
        d->gather = gather_open(&d->geometry, dir == FORWARD, t, threads);
    return d;
}

void direct_close(struct direct *d)
{
    if (!d)
        return;
    correlate_close(d->correlate);
    gather_close(d->gather);
    geometry_close(&d->geometry);
    xfree(d);
}

size_t direct_scratch(const struct direct *d)
{
    return d->gather ? gather_scratch(d->gather) : correlate_scratch(d->correlate);
}

void direct_run(const struct direct *d, void *const operand[OPERANDS], void *scratch)
{
    if (d->gather)
        gather_run(d->gather, operand[d->source], operand[OPERAND_W],
                   operand[d->source == OPERAND_X ? OPERAND_Y : OPERAND_X], scratch);
    else
        correlate_run(d->correlate, operand[OPERAND_X], operand[OPERAND_W], operand[OPERAND_Y],
                      scratch);
}
