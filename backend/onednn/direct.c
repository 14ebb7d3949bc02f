/* The geometry is listed once, when a convolution is opened; the rest is implicit_conv.c's and
 * weight_gradient.c's. */
#include "backend/onednn/direct.h"

#include "backend/onednn/weight_gradient.h"
#include "backend/onednn/weight_gradient_rows.h"
#include "backend/onednn/implicit_conv.h"
#include "base/alloc.h"

struct direct {
    struct geometry geometry;
    struct implicit_conv *implicit_conv;               /* forward, backward-data */
    struct weight_gradient *weight_gradient;           /* backward-weights */
    struct weight_gradient_rows *weight_gradient_rows; /* the same where tiles want it */
    enum operand source;                               /* of implicit_conv */
};

struct direct *direct_open(enum direction dir, const struct unit_shape *s, const struct layout *x,
                           const struct layout *y, const struct tiles *t, int threads)
{
    if (x->c % LANES || y->c % LANES || !t || x->bf16 != t->bf16 || y->bf16 != t->bf16)
        return NULL;
    struct direct *d = xcalloc(1, sizeof *d);
    geometry_open(&d->geometry, s, x, y);
    d->source = dir == FORWARD ? OPERAND_X : OPERAND_Y;
    if (dir == BACKWARD_WEIGHTS && t->outer_rows)
        d->weight_gradient_rows = weight_gradient_rows_open(&d->geometry, t, threads);
    else if (dir == BACKWARD_WEIGHTS)
        d->weight_gradient = weight_gradient_open(&d->geometry, t, threads);
    else
        d->implicit_conv = implicit_conv_open(&d->geometry, dir == FORWARD, t, threads);
    return d;
}

void direct_close(struct direct *d)
{
    if (!d)
        return;
    weight_gradient_close(d->weight_gradient);
    weight_gradient_rows_close(d->weight_gradient_rows);
    implicit_conv_close(d->implicit_conv);
    geometry_close(&d->geometry);
    xfree(d);
}

size_t direct_scratch(const struct direct *d)
{
    return d->implicit_conv          ? implicit_conv_scratch(d->implicit_conv)
           : d->weight_gradient_rows ? weight_gradient_rows_scratch(d->weight_gradient_rows)
                                     : weight_gradient_scratch(d->weight_gradient);
}

void direct_run(const struct direct *d, void *const operand[OPERANDS], void *scratch)
{
    if (d->implicit_conv)
        implicit_conv_run(d->implicit_conv, operand[d->source], operand[OPERAND_W],
                          operand[d->source == OPERAND_X ? OPERAND_Y : OPERAND_X], scratch);
    else if (d->weight_gradient_rows)
        weight_gradient_rows_run(d->weight_gradient_rows, operand[OPERAND_X], operand[OPERAND_W],
                                 operand[OPERAND_Y], scratch);
    else
        weight_gradient_run(d->weight_gradient, operand[OPERAND_X], operand[OPERAND_W],
                            operand[OPERAND_Y], scratch);
}
