/* Tolerance: of the root of the sum of squares of what is summed, which rounding stays far below
 * (float32 1e-6, bf16 1e-2) and a lost or foreign element of the sum does not. Cost: SAMPLES sums,
 * some milliseconds for the largest convolution. */
#include "backend/onednn/verification.h"

#include <math.h>
#include <string.h>

#include "backend/onednn/vector.h"
#include "base/alloc.h"
#include "base/random.h"

enum { SAMPLES = 100, PERIOD = 65521 };

struct sample {
    size_t at;
    double value, size;
};

struct verification {
    enum direction direction;
    const struct unit_shape *shape;
    struct layout x, y;
    void *operand[OPERANDS];
    struct sample sample[SAMPLES];
};

static double element(const void *p, size_t i, bool bf16)
{
    vec v;
    vec_get(&v, p, i, 1, bf16);
    return (double)v[0];
}

/* Random numbers in -1/2 .. 1/2, repeated with a period that no size of a tensor shares. */
static void fill(void *p, size_t count, bool bf16, uint64_t key)
{
    struct random r = random_at(RANDOM_TEST, key, count, 0, 0);
    size_t size = bf16 ? 2 : 4;
    for (size_t i = 0; i < count && i < PERIOD; i++) {
        vec v = {(float)random_uniform(&r) - 0.5f};
        vec_put(p, i, &v, 1, bf16);
    }
    for (size_t i = PERIOD; i < count; i += PERIOD)
        memcpy((char *)p + i * size, p, (count - i < PERIOD ? count - i : PERIOD) * size);
}

/* One product of the sum: pixel (row, column) of image n in y, and the tap through which it sees
 * x. */
struct place {
    int n, row, column, tap, in, out;
};

/* The element of x that is seen from there; false in the padding. */
static bool seen(const struct verification *p, const struct place *at, size_t *i)
{
    const struct unit_shape *s = p->shape;
    int row = at->row * s->stride + at->tap / s->kernel - s->pad,
        column = at->column * s->stride + at->tap % s->kernel - s->pad;
    if (row < 0 || row >= p->x.h || column < 0 || column >= p->x.w)
        return false;
    *i = layout_at(&p->x, at->n, at->in, row * p->x.w + column);
    return true;
}

static size_t weight_at(const struct verification *p, const struct place *at)
{
    size_t taps = (size_t)p->shape->kernel * (size_t)p->shape->kernel;
    return ((size_t)at->out * taps + (size_t)at->tap) * (size_t)p->x.c + (size_t)at->in;
}

static void add_product(const struct verification *p, struct sample *s, const struct place *at)
{
    size_t x, y = layout_at(&p->y, at->n, at->out, at->row * p->y.w + at->column);
    if (!seen(p, at, &x))
        return;
    double product = 1;
    if (p->direction != BACKWARD_DATA)
        product *= element(p->operand[OPERAND_X], x, p->x.bf16);
    if (p->direction != BACKWARD_WEIGHTS)
        product *= element(p->operand[OPERAND_W], weight_at(p, at), false);
    if (p->direction != FORWARD)
        product *= element(p->operand[OPERAND_Y], y, p->y.bf16);
    s->value += product;
    s->size += product * product;
}

static void sum_forward(const struct verification *p, struct sample *s, struct place at)
{
    s->at = layout_at(&p->y, at.n, at.out, at.row * p->y.w + at.column);
    for (at.tap = 0; at.tap < p->shape->kernel * p->shape->kernel; at.tap++)
        for (at.in = 0; at.in < p->x.c; at.in++)
            add_product(p, s, &at);
}

static void sum_weights(const struct verification *p, struct sample *s, struct place at)
{
    s->at = weight_at(p, &at);
    for (at.n = 0; at.n < p->x.n; at.n++)
        for (at.row = 0; at.row < p->y.h; at.row++)
            for (at.column = 0; at.column < p->y.w; at.column++)
                add_product(p, s, &at);
}

/* The element of x that `at` sees, or its first pixel; the sum runs over all pixels of y that see
 * it. */
static void sum_data(const struct verification *p, struct sample *s, struct place at)
{
    const struct unit_shape *shape = p->shape;
    if (!seen(p, &at, &s->at))
        s->at = layout_at(&p->x, at.n, at.in, 0);
    size_t first = layout_at(&p->x, at.n, at.in, 0);
    int pixel = (int)((s->at - first) / (size_t)p->x.c), row = pixel / p->x.w,
        column = pixel % p->x.w;
    for (at.tap = 0; at.tap < shape->kernel * shape->kernel; at.tap++) {
        int down = row + shape->pad - at.tap / shape->kernel,
            right = column + shape->pad - at.tap % shape->kernel;
        at.row = down / shape->stride, at.column = right / shape->stride;
        if (down < 0 || right < 0 || down % shape->stride || right % shape->stride ||
            at.row >= p->y.h || at.column >= p->y.w)
            continue;
        for (at.out = 0; at.out < p->y.c; at.out++)
            add_product(p, s, &at);
    }
}

struct verification *verification_open(enum direction d, const struct unit_shape *s,
                                       const struct layout *x, const struct layout *y)
{
    int taps = s->kernel * s->kernel;
    size_t weights = (size_t)y->c * (size_t)taps * (size_t)x->c;
    struct verification *p = xcalloc(1, sizeof *p);
    *p = (struct verification){.direction = d, .shape = s, .x = *x, .y = *y};
    p->operand[OPERAND_X] = xcalloc(layout_bytes(x), 1);
    p->operand[OPERAND_W] = xcalloc(weights, sizeof(float));
    p->operand[OPERAND_Y] = xcalloc(layout_bytes(y), 1);
    fill(p->operand[OPERAND_X], layout_elements(x), x->bf16, 1);
    fill(p->operand[OPERAND_W], weights, false, 2);
    fill(p->operand[OPERAND_Y], layout_elements(y), y->bf16, 3);
    struct random r = random_at(RANDOM_TEST, 4, weights, 0, 0);
    for (int i = 0; i < SAMPLES; i++) {
        struct place at = {
            (int)random_below(&r, (uint64_t)x->n), (int)random_below(&r, (uint64_t)y->h),
            (int)random_below(&r, (uint64_t)y->w), i % taps,
            (int)random_below(&r, (uint64_t)x->c), (int)random_below(&r, (uint64_t)y->c)};
        if (i % 4 == 0)
            at.in = x->c - 1, at.out = y->c - 1;
        (d == FORWARD         ? sum_forward
         : d == BACKWARD_DATA ? sum_data
                              : sum_weights)(p, &p->sample[i], at);
    }
    return p;
}

void verification_close(struct verification *p)
{
    for (int i = 0; i < OPERANDS; i++)
        xfree(p->operand[i]);
    xfree(p);
}

static enum operand written(const struct verification *p)
{
    return p->direction == FORWARD         ? OPERAND_Y
           : p->direction == BACKWARD_DATA ? OPERAND_X
                                           : OPERAND_W;
}

void *const *verification_operands(struct verification *p)
{
    enum operand o = written(p);
    size_t weights = (size_t)p->y.c * (size_t)p->shape->kernel * (size_t)p->shape->kernel *
                     (size_t)p->x.c * sizeof(float);
    memset(p->operand[o], 0xff,
           o == OPERAND_W ? weights : layout_bytes(o == OPERAND_X ? &p->x : &p->y));
    return p->operand;
}

bool verification_holds(const struct verification *p)
{
    enum operand o = written(p);
    bool bf16 = o == OPERAND_X ? p->x.bf16 : o == OPERAND_Y && p->y.bf16;
    double tolerance = p->y.bf16 ? 0.03 : 1e-4;
    for (int i = 0; i < SAMPLES; i++) {
        const struct sample *s = &p->sample[i];
        if (!(fabs(element(p->operand[o], s->at, bf16) - s->value) <= tolerance * sqrt(s->size)))
            return false;
    }
    return true;
}
