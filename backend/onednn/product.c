/* Back to the weights there is one product for each tap of the kernel: y's gradient times what y
 * sees of x through the tap, which is gathered, some pixels at a time, where it does not lie in
 * rows as it is.
 *
 * Such a product has three sides: pixels, y's channels, x's. OpenBLAS first copies its operands
 * into an order of its own, which costs least where a chunk's sides are alike: so the longest is
 * halved until there are chunks enough. Chunks of the pixels have sums of their own, which are
 * added up in the end, in their order. */
#include "backend/onednn/product.h"

#include <omp.h>
#include <string.h>

#include "backend/onednn/chunks.h"
#include "base/alloc.h"

enum {
    LEAST_ROWS = 256,    /* of a chunk, forward and to the input; and gathered at a time */
    LEAST_SIDE = 64,     /* of a chunk, to the weights */
    PARTS = 4,           /* to the weights: chunks for each thread, at least; */
    MOST_PARTS = 8,      /* up to so many, for each thread to have equally many */
    GATHERED = 64 << 10, /* floats, at a time, where those are more rows */
};

enum side { PIXELS, OUTPUTS, INPUTS, SIDES };

struct product {
    const struct blas *blas;
    enum direction direction;
    struct unit_shape shape;
    struct layout x, y;
    int threads;
    bool gathers;     /* the pixels of x are not those of y */
    int side[SIDES];  /* lengths */
    int parts[SIDES]; /* that each is cut into */
};

static int taps_of(const struct product *p)
{
    return p->shape.kernel * p->shape.kernel;
}

static int chunks_in(const struct product *p)
{
    int taps = p->direction == BACKWARD_WEIGHTS ? taps_of(p) : 1;
    return taps * p->parts[PIXELS] * p->parts[OUTPUTS] * p->parts[INPUTS];
}

/* Halves of the pixels count as shorter: their sums must be added up. */
static enum side longest(const struct product *p)
{
    enum side best = OUTPUTS;
    for (enum side s = PIXELS; s < SIDES; s++)
        if (p->side[s] / p->parts[s] / (s == PIXELS ? 2 : 1) > p->side[best] / p->parts[best])
            best = s;
    return best;
}

static void cut(struct product *p)
{
    for (enum side s = PIXELS; s < SIDES; s++)
        p->parts[s] = 1;
    if (p->direction != BACKWARD_WEIGHTS) {
        p->parts[PIXELS] = chunks_of(p->side[PIXELS], LEAST_ROWS, p->threads);
        return;
    }
    while (p->threads > 1) {
        enum side s = longest(p);
        int chunks = chunks_in(p), enough = (chunks % p->threads ? MOST_PARTS : PARTS) * p->threads;
        if (chunks >= enough || p->side[s] / p->parts[s] < 2 * LEAST_SIDE)
            break;
        p->parts[s] *= 2;
    }
}

struct product *product_open(enum direction d, const struct unit_shape *s, const struct layout *x,
                             const struct layout *y, const struct blas *b, int threads)
{
    bool pixels_are_rows = s->kernel == 1 && s->stride == 1 && s->pad == 0;
    if (x->bf16 || y->bf16 || !b->sgemm || (threads > 1 && !b->reentrant) ||
        !(pixels_are_rows || d == BACKWARD_WEIGHTS))
        return NULL;
    struct product *p = xcalloc(1, sizeof *p);
    *p = (struct product){.blas = b,
                          .direction = d,
                          .shape = *s,
                          .x = *x,
                          .y = *y,
                          .threads = threads,
                          .gathers = !pixels_are_rows};
    p->side[PIXELS] = y->n * y->h * y->w;
    p->side[OUTPUTS] = y->c;
    p->side[INPUTS] = x->c;
    cut(p);
    return p;
}

void product_close(struct product *p)
{
    xfree(p);
}

static size_t weights_of(const struct product *p)
{
    return (size_t)p->y.c * (size_t)taps_of(p) * (size_t)p->x.c;
}

/* Pixels gathered at a time. */
static int rows_at_once(int channels)
{
    int rows = GATHERED / channels;
    return rows > LEAST_ROWS ? rows : LEAST_ROWS;
}

/* Of one thread, in floats. */
static size_t gathered_floats(const struct product *p)
{
    int most = LEAST_ROWS * (p->x.c / p->parts[INPUTS] + 1);
    return p->gathers ? (size_t)(most > GATHERED ? most : GATHERED) : 0;
}

size_t product_scratch(const struct product *p)
{
    size_t sums =
        p->direction == BACKWARD_WEIGHTS ? (size_t)(p->parts[PIXELS] - 1) * weights_of(p) : 0;
    return (gathered_floats(p) * (size_t)p->threads + sums) * sizeof(float);
}

/* from .. to - 1 */
struct span {
    int from, to;
};

static struct span part_of(const struct product *p, enum side s, int part)
{
    return (struct span){(int)chunk_at(p->side[s], p->parts[s], part),
                         (int)chunk_at(p->side[s], p->parts[s], part + 1)};
}

/* Some of y's pixels, forward or to the input. */
static void multiply_rows(const struct product *p, void *const operand[OPERANDS], int chunk)
{
    struct span rows = part_of(p, PIXELS, chunk);
    int64_t in = p->x.c, out = p->y.c;
    float *x = (float *)operand[OPERAND_X] + rows.from * in,
          *y = (float *)operand[OPERAND_Y] + rows.from * out;
    struct matrix w = {operand[OPERAND_W], in};
    if (p->direction == FORWARD)
        blas_multiply(p->blas, BLAS_NT, rows.to - rows.from, out, in, (struct matrix){x, in}, w,
                      false, y, out);
    else
        blas_multiply(p->blas, BLAS_NN, rows.to - rows.from, in, out, (struct matrix){y, out}, w,
                      false, x, in);
}

/* What these pixels of y see of x's channels through the tap, zeros in the padding, a row each. */
static void gather(const struct product *p, const float *x, int tap, struct span rows,
                   struct span channels, float *to)
{
    const struct unit_shape *s = &p->shape;
    int pixels = p->y.h * p->y.w, count = channels.to - channels.from;
    for (int row = rows.from; row < rows.to; row++, to += count) {
        int pixel = row % pixels, down = pixel / p->y.w * s->stride + tap / s->kernel - s->pad,
            right = pixel % p->y.w * s->stride + tap % s->kernel - s->pad;
        if (down < 0 || down >= p->x.h || right < 0 || right >= p->x.w)
            memset(to, 0, (size_t)count * sizeof *to);
        else
            memcpy(to, x + layout_at(&p->x, row / pixels, channels.from, down * p->x.w + right),
                   (size_t)count * sizeof *to);
    }
}

/* One tap's product over some of the pixels, for some of the channels; `gathered` is the thread's
 * room. */
static void multiply_weights(const struct product *p, void *const operand[OPERANDS], int chunk,
                             float *gathered, float *sums)
{
    int inputs = chunk % p->parts[INPUTS], outputs = chunk / p->parts[INPUTS] % p->parts[OUTPUTS],
        rest = chunk / p->parts[INPUTS] / p->parts[OUTPUTS], part = rest % p->parts[PIXELS],
        tap = rest / p->parts[PIXELS];
    struct span pixels = part_of(p, PIXELS, part), out = part_of(p, OUTPUTS, outputs),
                in = part_of(p, INPUTS, inputs);
    const float *x = operand[OPERAND_X], *dy = operand[OPERAND_Y];
    float *dw = part ? sums + (size_t)(part - 1) * weights_of(p) : operand[OPERAND_W];
    int64_t step = (int64_t)taps_of(p) * p->x.c,
            at_once = p->gathers ? rows_at_once(in.to - in.from) : pixels.to - pixels.from;
    dw += out.from * step + (int64_t)tap * p->x.c + in.from;
    for (struct span rows = {pixels.from, 0}; rows.from < pixels.to; rows.from = rows.to) {
        rows.to = pixels.to - rows.from < at_once ? pixels.to : rows.from + (int)at_once;
        struct matrix left = {dy + (int64_t)rows.from * p->y.c + out.from, p->y.c};
        struct matrix right = {x + (int64_t)rows.from * p->x.c + in.from, p->x.c};
        if (p->gathers) {
            gather(p, x, tap, rows, in, gathered);
            right = (struct matrix){gathered, in.to - in.from};
        }
        blas_multiply(p->blas, BLAS_TN, out.to - out.from, in.to - in.from, rows.to - rows.from,
                      left, right, rows.from > pixels.from, dw, step);
    }
}

/* For all threads together. */
static void add_parts(const struct product *p, float *dw, const float *sums)
{
    size_t step = weights_of(p) / (size_t)p->y.c;
#pragma omp for
    for (int out = 0; out < p->y.c; out++)
        for (int part = 0; part < p->parts[PIXELS] - 1; part++) {
            const float *more = sums + (size_t)part * weights_of(p) + (size_t)out * step;
            for (size_t i = 0; i < step; i++)
                dw[(size_t)out * step + i] += more[i];
        }
}

void product_run(const struct product *p, void *const operand[OPERANDS], void *scratch)
{
    int chunks = chunks_in(p);
    float *sums = (float *)scratch + gathered_floats(p) * (size_t)p->threads;
#pragma omp parallel num_threads(p->threads)
    {
        float *gathered = (float *)scratch + gathered_floats(p) * (size_t)omp_get_thread_num();
        blas_stay();
#pragma omp for schedule(dynamic)
        for (int i = 0; i < chunks; i++)
            if (p->direction == BACKWARD_WEIGHTS)
                multiply_weights(p, operand, i, gathered, sums);
            else
                multiply_rows(p, operand, i);
        if (p->parts[PIXELS] > 1 && p->direction == BACKWARD_WEIGHTS)
            add_parts(p, operand[OPERAND_W], sums);
    }
}
