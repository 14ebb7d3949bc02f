/* Are the sums that a convolution takes for its batch norm, while it writes, those of the pass over
 * what it has written?
 *
 * By every set of instructions, on odd shapes, few and many channels, with 1 to 3 threads; also
 * where the mean is a thousand times the deviation. Truth is a pass in double. The same call gives
 * the same bits, whichever thread takes a chunk, and the result itself is what it is without. */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/onednn/direct.h"
#include "base/alloc.h"
#include "base/random.h"
#include "tests/amx.h"
#include "tests/avx512.h"

/* A build without oneDNN has none of them. */
#pragma weak tiles_at
#pragma weak direct_open
#pragma weak direct_run
#pragma weak direct_scratch
#pragma weak direct_measures
#pragma weak direct_close
#pragma weak norm_scratch
#pragma weak norm_place
#pragma weak norm_measure
#pragma weak norm_measured
#pragma weak emulated_avx512
#pragma weak emulated_avx512_bf16
#pragma weak emulated_amx_bf16

enum { MOST_THREADS = 3, AGAIN = 5 };

/* Images, their channels, rows and columns, channels of the result; then the window. */
struct form {
    int n, in, h, w, out, kernel, stride, pad;
};

static const struct form forms[] = {
    {1, 16, 1, 1, 16, 1, 1, 0},     {33, 128, 1, 1, 144, 1, 1, 0}, {3, 32, 16, 17, 48, 1, 1, 0},
    {5, 256, 6, 7, 304, 1, 1, 0},   {9, 64, 16, 16, 256, 1, 1, 0}, {2, 16, 41, 8, 16, 1, 1, 0},
    {2, 1040, 2, 2, 1072, 1, 1, 0}, {33, 48, 2, 2, 32, 3, 2, 1},   {70, 96, 1, 1, 160, 3, 1, 1},
    {700, 2080, 1, 1, 16, 1, 1, 0},
};

enum { FORMS = sizeof forms / sizeof *forms };

struct trial {
    struct layout x, y;
    struct unit_shape shape;
    char *operand[OPERANDS], *without; /* y of a run without sums */
    void *room[2];                     /* of norms */
    struct norm measured, passed;      /* the sums on the way, those of the pass */
    float *variance[2];
    char name[120];
};

static void put(void *p, size_t i, float value, bool bf16)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (bf16)
        ((uint16_t *)p)[i] = (uint16_t)(bits >> 16);
    else
        ((float *)p)[i] = value;
}

static double get(const void *p, size_t i, bool bf16)
{
    float value;
    uint32_t bits;
    if (!bf16)
        return (double)((const float *)p)[i];
    bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static void trial_open(struct trial *t, const struct form *f, bool bf16, float offset, int threads)
{
    int h = (f->h + 2 * f->pad - f->kernel) / f->stride + 1,
        w = (f->w + 2 * f->pad - f->kernel) / f->stride + 1, taps = f->kernel * f->kernel;
    size_t weights = (size_t)f->out * (size_t)taps * (size_t)f->in;
    struct random r = random_at(RANDOM_TEST, (uint64_t)(f - forms), 7, 0, 0);
    *t = (struct trial){.x = {f->n, f->in, f->h, f->w, bf16}, .y = {f->n, f->out, h, w, bf16}};
    t->shape = (struct unit_shape){.kind = UNIT_CONV,
                                   .batch = f->n,
                                   .in_c = f->in,
                                   .in_h = f->h,
                                   .in_w = f->w,
                                   .out_c = f->out,
                                   .out_h = h,
                                   .out_w = w,
                                   .kernel = f->kernel,
                                   .stride = f->stride,
                                   .pad = f->pad,
                                   .norm = true};
    t->operand[OPERAND_X] = xcalloc(layout_bytes(&t->x), 1);
    t->operand[OPERAND_W] = xcalloc(weights, sizeof(float));
    t->operand[OPERAND_Y] = xcalloc(layout_bytes(&t->y), 1);
    t->without = xcalloc(layout_bytes(&t->y), 1);
    for (size_t i = 0; i < layout_elements(&t->x); i++)
        put(t->operand[OPERAND_X], i, offset + (float)random_normal(&r), bf16);
    for (size_t i = 0; i < weights; i++) /* of one sign, so that what is far from zero stays so */
        ((float *)(void *)t->operand[OPERAND_W])[i] =
            offset != 0 ? 1 + (float)random_uniform(&r) / 64 : (float)random_normal(&r);
    for (int i = 0; i < 2; i++) {
        t->room[i] = xcalloc(norm_scratch(f->out, threads), 1);
        norm_place(i ? &t->passed : &t->measured, f->out, threads, NULL, t->room[i]);
        t->variance[i] = xcalloc((size_t)f->out, sizeof(float));
    }
}

static void trial_close(struct trial *t)
{
    for (int i = 0; i < OPERANDS; i++)
        xfree(t->operand[i]);
    for (int i = 0; i < 2; i++) {
        xfree(t->room[i]);
        xfree(t->variance[i]);
    }
    xfree(t->without);
}

/* Tolerance: 1e-5 of the deviation; the mean is a float. */
static void check_channel(const struct trial *t, int c)
{
    double count = 0, sum = 0, squares = 0;
    const void *y = t->operand[OPERAND_Y];
    for (size_t i = (size_t)c; i < layout_elements(&t->y); i += (size_t)t->y.c, count++)
        sum += get(y, i, t->y.bf16);
    for (size_t i = (size_t)c; i < layout_elements(&t->y); i += (size_t)t->y.c) {
        double d = get(y, i, t->y.bf16) - sum / count;
        squares += d * d;
    }
    double mean = sum / count, variance = squares / count, near = 1e-5 * sqrt(variance);
    double float_mean = near + 1e-6 * fabs(mean);
    const float *is[2] = {t->measured.mean, t->passed.mean};
    for (int i = 0; i < 2; i++) {
        if (!(fabs((double)is[i][c] - mean) <= float_mean))
            fail_msg("%s: %s mean of channel %d is %.9g, not %.9g", t->name,
                     i ? "passed" : "written", c, (double)is[i][c], mean);
        if (!(fabs((double)t->variance[i][c] - variance) <= 1e-5 * variance + 1e-12 * mean * mean))
            fail_msg("%s: %s variance of channel %d is %.9g, not %.9g", t->name,
                     i ? "passed" : "written", c, (double)t->variance[i][c], variance);
    }
}

static void run(struct trial *t, const struct direct *d, void *scratch, int threads)
{
    void *const operand[] = {t->operand[0], t->operand[1], t->operand[2]};
    memset(t->operand[OPERAND_Y], 0xff, layout_bytes(&t->y));
    int chunks = direct_run(d, operand, scratch, &t->measured);
    assert_in_range(chunks, 1, 8 * threads);
    norm_measured(&t->measured, &t->y, chunks, t->operand[OPERAND_Y], t->variance[0]);
}

static void check(struct trial *t, const struct tiles *tiles, int threads, int again)
{
    struct direct *d = direct_open(FORWARD, &t->shape, &t->x, &t->y, tiles, threads);
    size_t channels = (size_t)t->y.c * sizeof(float);
    void *scratch = xcalloc(direct_scratch(d), 1);
    float *first = xcalloc((size_t)t->y.c * 2, sizeof(float));
    void *const operand[] = {t->operand[0], t->operand[1], t->without};
    assert_true(direct_measures(d));
    assert_int_equal(direct_run(d, operand, scratch, NULL), 0);
    memset(t->room[0], 0xff, norm_scratch(t->y.c, threads));
    run(t, d, scratch, threads);
    assert_memory_equal(t->without, t->operand[OPERAND_Y], layout_bytes(&t->y));
    norm_measure(&t->passed, &t->y, threads, t->operand[OPERAND_Y], t->variance[1]);
    for (int c = 0; c < t->y.c; c++)
        check_channel(t, c);
    memcpy(first, t->measured.mean, channels);
    memcpy(first + t->y.c, t->variance[0], channels);
    for (int i = 0; i < again; i++) {
        run(t, d, scratch, threads);
        assert_memory_equal(first, t->measured.mean, channels);
        assert_memory_equal(first + t->y.c, t->variance[0], channels);
    }
    xfree(first);
    xfree(scratch);
    direct_close(d);
}

/* The same tiles; NULL when there are none that this machine can do. */
static const struct tiles *emulated(const struct tiles *t)
{
    const struct tiles *const all[] = {&emulated_avx512, &emulated_avx512_bf16, &emulated_amx_bf16};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] && !strcmp(all[i]->name, t->name) && all[i]->able())
            return all[i];
    return NULL;
}

static void test_sums_on_the_way(void **state)
{
    (void)state;
    int able = 0;
    if (!direct_open)
        skip();
    for (int i = 0; tiles_at(i); i++) {
        bool own = tiles_at(i)->able();
        const struct tiles *tiles = own ? tiles_at(i) : emulated(tiles_at(i));
        able += tiles != NULL;
        for (int k = 0; tiles && k < 2 * FORMS * MOST_THREADS; k++) {
            struct trial t;
            const struct form *f = &forms[k / 2 / MOST_THREADS];
            int threads = 1 + k / 2 % MOST_THREADS;
            omp_set_num_threads(threads);
            trial_open(&t, f, tiles->bf16, k % 2 ? 1000 : 0, threads);
            snprintf(t.name, sizeof t.name,
                     "%s, %d threads, %d x %dx%dx%d to %d channels, kernel %d%s", tiles->name,
                     threads, f->n, f->in, f->h, f->w, f->out, f->kernel,
                     k % 2 ? ", far from zero" : "");
            check(&t, tiles, threads, own ? AGAIN : 0);
            trial_close(&t);
        }
    }
    if (!able)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sums_on_the_way)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
