/* Do the kernels of norms compute what backend/ref means, in both types, on odd shapes? Pools,
 * shortcuts and the bias are in test_kernels_pools.c.
 *
 * The truth is in kernel_trial.h; a norm is seen through a convolution with the identity.
 * Everything runs twice and must give the same bits. On a CPU (test_kernels_emulated) threads and
 * blocks run the other way round the second time, which shows what is read before it is written;
 * there the digest printed at the end should be the one that a device prints. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/cuda/kernel_trial.h"

/* What follows a convolution, through one that changes nothing. */
static struct unit_shape plane_of(int rows, int channels, int flags)
{
    return (struct unit_shape){.kind = UNIT_CONV,
                               .batch = rows,
                               .in_c = channels,
                               .in_h = 1,
                               .in_w = 1,
                               .out_c = channels,
                               .out_h = 1,
                               .out_w = 1,
                               .kernel = 1,
                               .stride = 1,
                               .norm = flags & 1,
                               .skip = flags & 2,
                               .relu = flags & 4};
}

static void set_identity(const struct trial *t)
{
    int channels = t->shape.out_c;
    for (int o = 0; o < channels; o++)
        for (int i = 0; i < channels; i++)
            t->w[o * channels + i] = i == o;
}

/* What the tensors of a plane are on the device. */
struct there {
    struct kernel_plane plane;
    void *z, *skip, *dy, *dy2, *y, *dskip, *dz, *scratch;
    float *gamma, *beta, *mean, *inverse, *batch_mean, *batch_variance, *dgamma, *dbeta;
};

static struct there put(struct gpu *gpu, const struct trial *t)
{
    int rows = t->shape.batch, channels = t->shape.out_c;
    size_t floats = (size_t)channels * sizeof(float), scratch = kernel_scratch_bytes(channels, 1);
    struct there d = {.plane = {t->type, rows, channels}};
    d.z = gpu_put_elements(gpu, t->type, t->x, rows, channels);
    d.skip = t->call.skip ? gpu_put_elements(gpu, t->type, t->skip, rows, channels) : NULL;
    d.dy = gpu_put_elements(gpu, t->type, t->dy, rows, channels);
    d.dy2 = t->call.dy2 ? gpu_put_elements(gpu, t->type, t->dy2, rows, channels) : NULL;
    d.y = gpu_take_elements(gpu, t->type, rows, channels);
    d.dskip = gpu_take_elements(gpu, t->type, rows, channels);
    d.dz = gpu_take_elements(gpu, t->type, rows, channels);
    void *zeros = xcalloc(scratch, 1);
    d.scratch = gpu_put(gpu, zeros, scratch);
    xfree(zeros);
    if (!t->shape.norm)
        return d;
    d.gamma = gpu_put_floats(gpu, t->w + channels * channels, (size_t)channels);
    d.beta = gpu_put_floats(gpu, t->w + channels * channels + channels, (size_t)channels);
    float **vector[] = {&d.mean, &d.inverse, &d.batch_mean, &d.batch_variance, &d.dgamma, &d.dbeta};
    for (size_t i = 0; i < sizeof vector / sizeof *vector; i++)
        *vector[i] = gpu_take(gpu, floats);
    return d;
}

/* mask_by_y: where the mask could be taken from z. */
static void run_norm(struct gpu *gpu, const struct trial *t, bool mask_by_y)
{
    struct there d = put(gpu, t);
    const struct unit_shape *s = &t->shape;
    const double *dgamma = t->call.g + s->out_c * s->out_c, *dbeta = dgamma + s->out_c,
                 *inverse = t->call.saved + y_count(s);
    kernel_norm_measure(
        gpu->stream, d.plane, d.z,
        (struct kernel_statistics){d.mean, d.inverse, d.batch_mean, d.batch_variance}, d.scratch);
    compare_channels(gpu, t, "mean", d.mean, t->call.mean);
    compare_channels(gpu, t, "1 / deviation", d.inverse, inverse);
    compare_channels(gpu, t, "the batch's mean", d.batch_mean, t->call.mean);
    compare_channels(gpu, t, "the batch's variance", d.batch_variance, t->call.variance);
    struct kernel_norm norm = {
        .gamma = d.gamma, .beta = d.beta, .mean = d.mean, .inverse = d.inverse};
    kernel_apply(gpu->stream, d.plane, &norm, d.z, d.skip, s->relu, d.y);
    compare_elements(gpu, t, "y", d.y, t->call.y, s->batch, s->out_c, of_type[t->type]);
    struct kernel_output_gradient in = {d.dy, d.dy2, s->skip || mask_by_y ? d.y : NULL, s->relu};
    kernel_norm_sums(gpu->stream, d.plane, &norm, d.z, &in, s->skip ? d.dskip : NULL, d.dgamma,
                     d.dbeta, d.scratch);
    compare_channels(gpu, t, "dgamma", d.dgamma, dgamma);
    compare_channels(gpu, t, "dbeta", d.dbeta, dbeta);
    if (s->skip) {
        compare_elements(gpu, t, "dskip", d.dskip, t->call.dskip, s->batch, s->out_c,
                         of_type[t->type]);
        in = (struct kernel_output_gradient){.dy = d.dskip};
    }
    kernel_norm_gradient(gpu->stream, d.plane, &norm, d.z, &in, d.dgamma, d.dbeta, d.dz);
    compare_elements(gpu, t, "dz", d.dz, t->call.dx, s->batch, s->out_c, of_type[t->type]);
}

static void run_inference(struct gpu *gpu, const struct trial *t)
{
    struct there d = put(gpu, t);
    size_t channels = (size_t)t->shape.out_c;
    struct kernel_norm norm = {.gamma = d.gamma, .beta = d.beta};
    norm.mean = gpu_put_floats(gpu, t->call.mean, channels);
    norm.variance = gpu_put_floats(gpu, t->call.variance, channels);
    kernel_apply(gpu->stream, d.plane, &norm, d.z, d.skip, t->shape.relu, d.y);
    compare_elements(gpu, t, "inferred y", d.y, t->call.y, t->shape.batch, t->shape.out_c,
                     of_type[t->type]);
}

static void run_bare(struct gpu *gpu, const struct trial *t)
{
    struct there d = put(gpu, t);
    const struct unit_shape *s = &t->shape;
    struct kernel_output_gradient in = {d.dy, d.dy2, d.y, s->relu};
    kernel_apply(gpu->stream, d.plane, NULL, d.z, d.skip, s->relu, d.y);
    compare_elements(gpu, t, "y", d.y, t->call.y, s->batch, s->out_c, of_type[t->type]);
    kernel_mask(gpu->stream, d.plane, &in, d.dz);
    compare_elements(gpu, t, "dz", d.dz, t->call.dx, s->batch, s->out_c, of_type[t->type]);
}

static void run_norm_by_y(struct gpu *gpu, const struct trial *t)
{
    run_norm(gpu, t, true);
}

static void run_norm_by_z(struct gpu *gpu, const struct trial *t)
{
    run_norm(gpu, t, false);
}

/* With a norm and a skip the gradient is stored on its way, as dskip: what is summed is what is
 * read again. */
static void set_truth(const struct trial *t)
{
    const struct unit_shape *s = &t->shape;
    struct ref_call back = t->call;
    ref_forward(s, &t->call, UNIT_TRAIN);
    if (s->norm && s->skip) {
        for (size_t i = 0; i < y_count(s); i++)
            t->is[i] = gpu_rounded(t->type, dy_at(&t->call, i));
        back.dy = t->is;
        back.dy2 = NULL;
    }
    ref_backward(s, &back);
}

/* A single row; fewer channels than lanes; several groups of columns, the last not full; many
 * blocks one after another. */
static const struct {
    int rows, channels;
} planes[] = {{1, 3},    {2, 8},    {7, 1},     {35, 17},  {64, 64},
              {130, 72}, {515, 24}, {40001, 2}, {300, 200}};

static void test_norm(void **state)
{
    (void)state;
    struct gpu gpu;
    uint64_t digest = 0;
    gpu_open(&gpu);
    for (size_t i = 0; i < sizeof planes / sizeof *planes; i++)
        for (int flags = 0; flags < 8; flags++)
            for (int type = 0; type < DTYPES; type++) {
                struct unit_shape s = plane_of(planes[i].rows, planes[i].channels, flags);
                struct trial t;
                trial_open(&t, &s, (enum backend_dtype)type);
                set_identity(&t);
                t.call.skip = s.skip ? t.skip : NULL;
                t.call.dy2 = (flags + (int)i) % 3 ? t.dy2 : NULL;
                set_truth(&t);
                digest = 31 * digest + run_twice(&gpu, &t,
                                                 !s.norm                       ? run_bare
                                                 : flags / 2 % 2 == (int)i % 2 ? run_norm_by_y
                                                                               : run_norm_by_z);
                trial_close(&t);
            }
    gpu_close(&gpu);
    print_message("the digest of all norms is %016llx\n", (unsigned long long)digest);
}

static void test_inference(void **state)
{
    (void)state;
    struct gpu gpu;
    gpu_open(&gpu);
    for (size_t i = 0; i < sizeof planes / sizeof *planes; i++)
        for (int turn = 0; turn < 4 * DTYPES; turn++) {
            struct unit_shape s = plane_of(planes[i].rows, planes[i].channels, 1 | turn % 4 * 2);
            struct trial t;
            trial_open(&t, &s, (enum backend_dtype)(turn / 4));
            set_identity(&t);
            t.call.skip = s.skip ? t.skip : NULL;
            t.call.saved = NULL;
            for (int c = 0; c < s.out_c; c++) {
                t.call.mean[c] = gpu_rounded(DTYPE_F32, cos(c));
                t.call.variance[c] = gpu_rounded(DTYPE_F32, 0.1 + c % 7);
            }
            ref_forward(&s, &t.call, UNIT_INFER);
            run_twice(&gpu, &t, run_inference);
            trial_close(&t);
        }
    gpu_close(&gpu);
}

/* A mean a thousand deviations from zero leaves the variance its digits; a NaN must be seen, in its
 * channel alone. */
static void run_measure(struct gpu *gpu, const struct trial *t)
{
    struct there d = put(gpu, t);
    const double *inverse = t->call.saved + y_count(&t->shape);
    kernel_norm_measure(
        gpu->stream, d.plane, d.z,
        (struct kernel_statistics){d.mean, d.inverse, d.batch_mean, d.batch_variance}, d.scratch);
    compare_channels(gpu, t, "variance far from zero", d.batch_variance, t->call.variance);
    compare_channels(gpu, t, "1 / deviation far from zero", d.inverse, inverse);
    struct kernel_norm norm = {
        .gamma = d.gamma, .beta = d.beta, .mean = d.mean, .inverse = d.inverse};
    kernel_apply(gpu->stream, d.plane, &norm, d.z, NULL, true, d.y);
    gpu_get_elements(gpu, t->type, t->is, d.y, t->shape.batch, t->shape.out_c);
    for (int row = 0; row < t->shape.batch; row++)
        for (int c = 0; c < t->shape.out_c; c++)
            assert_int_equal(!!isnan(t->is[row * t->shape.out_c + c]), c == 1);
}

static void test_norm_far_from_zero(void **state)
{
    (void)state;
    struct gpu gpu;
    struct unit_shape s = plane_of(900, 3, 5);
    struct trial t;
    gpu_open(&gpu);
    trial_open(&t, &s, DTYPE_F32);
    set_identity(&t);
    for (size_t i = 0; i < x_count(&s); i++)
        t.x[i] = gpu_rounded(DTYPE_F32, t.x[i] + (i % 3 == 2 ? 1000 : 0));
    ref_forward(&s, &t.call, UNIT_TRAIN);
    t.call.skip = t.call.dy2 = NULL;
    /* the identity would spread it, 0 x NaN being NaN */
    t.x[7] = t.call.variance[1] = t.call.saved[y_count(&s) + 1] = NAN;
    run_twice(&gpu, &t, run_measure);
    trial_close(&t);
    gpu_close(&gpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_inference),
        cmocka_unit_test(test_norm_far_from_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
