/* Do the kernels of units compute what backend/ref means, in both types, on odd shapes?
 *
 * The truth is the reference's loops in double on the same numbers (rounded to bf16 first where
 * that is the type); a norm is seen through a convolution with the identity. Distances are relative
 * to |truth| + the tensor's root mean square: float32 sums leave 1e-5, bf16 rounds to 2^-9 once, or
 * twice where a gradient is stored on its way (2^-8 is allowed). Everything runs twice and must
 * give the same bits. On a CPU (test_kernels_emulated) threads and blocks run the other way round
 * the second time, which shows what is read before it is written; there the digest printed at the
 * end should be the one that a device prints. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "tests/cuda/gpu.h"

#define real double
#include "backend/ref/kernels.h"

enum { SEED = 1, DTYPES = 2 };

static const char *const type_name[DTYPES] = {"f32", "bf16"};
static const double of_f32 = 1e-5, of_type[DTYPES] = {1e-5, 0x1p-8};

/* A unit, its tensors as the reference sees them, and what a failure must say. */
struct trial {
    struct unit_shape shape;
    enum backend_dtype type;
    struct ref_call call;
    double *base, *w, *x, *skip, *dy, *dy2; /* what the call reads */
    double *is;                             /* room for a tensor that comes back */
    char name[160];
};

static double *take(double **next, size_t count)
{
    double *at = *next;
    *next += count;
    return at;
}

static void trial_open(struct trial *t, const struct unit_shape *s, enum backend_dtype type)
{
    size_t in = x_count(s), out = y_count(s), weights = (size_t)unit_parameters(s),
           channels = (size_t)s->out_c;
    size_t most = in > out ? in : out;
    *t = (struct trial){.shape = *s, .type = type};
    snprintf(t->name, sizeof t->name,
             "%s, kind %d, batch %d, [%d %d %d] -> [%d %d %d], kernel %d, stride %d, pad %d,%s%s%s",
             type_name[type], s->kind, s->batch, s->in_c, s->in_h, s->in_w, s->out_c, s->out_h,
             s->out_w, s->kernel, s->stride, s->pad, s->norm ? " norm" : "", s->skip ? " skip" : "",
             s->relu ? " relu" : "");
    double *next = t->base = xcalloc(2 * weights + 2 * in + 5 * out + ref_saved(s) + 2 * channels +
                                         ref_scratch(s) + most,
                                     sizeof *next);
    struct ref_call *c = &t->call;
    c->w = t->w = take(&next, weights);
    c->x = t->x = take(&next, in);
    c->skip = t->skip = take(&next, out);
    c->dy = t->dy = take(&next, out);
    c->dy2 = t->dy2 = take(&next, out);
    c->g = take(&next, weights);
    c->y = take(&next, out);
    c->saved = take(&next, ref_saved(s));
    c->dx = take(&next, in);
    c->dskip = take(&next, out);
    c->mean = take(&next, channels);
    c->variance = take(&next, channels);
    c->scratch = take(&next, ref_scratch(s));
    c->threads = 1;
    t->is = next;
    struct random r = random_at(RANDOM_TEST, SEED, s->kind, (uint64_t)s->batch, (uint64_t)s->in_c);
    for (double *v = t->w; v < t->dy2 + out; v++)
        *v = gpu_rounded(v < t->x ? DTYPE_F32 : type, random_normal(&r));
}

static void trial_close(struct trial *t)
{
    xfree(t->base);
}

static void compare(const struct trial *t, const char *what, const double *truth, size_t count,
                    double part)
{
    double squares = 0;
    for (size_t i = 0; i < count; i++)
        squares += isnan(truth[i]) ? 0 : truth[i] * truth[i];
    double usual = sqrt(squares / (double)count);
    for (size_t i = 0; i < count; i++) {
        bool same = isnan(truth[i]) && isnan(t->is[i]);
        if (!same && !(fabs(t->is[i] - truth[i]) <= part * (fabs(truth[i]) + usual)))
            fail_msg("%s: %s[%zu] is %.9g, should be %.9g (usual %.3g)", t->name, what, i, t->is[i],
                     truth[i], usual);
    }
}

static void compare_elements(struct gpu *gpu, const struct trial *t, const char *what,
                             const void *is, const double *truth, int64_t rows, int channels,
                             double part)
{
    gpu_get_elements(gpu, t->type, t->is, is, rows, channels);
    compare(t, what, truth, (size_t)(rows * channels), part);
}

static void compare_channels(struct gpu *gpu, const struct trial *t, const char *what,
                             const float *is, const double *truth)
{
    gpu_get_floats(gpu, t->is, is, (size_t)t->shape.out_c);
    compare(t, what, truth, (size_t)t->shape.out_c, of_f32);
}

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

/* All of a trial, twice to the bit. */
static uint64_t run_twice(struct gpu *gpu, const struct trial *t,
                          void (*run)(struct gpu *, const struct trial *))
{
    uint64_t digest[2];
    for (int i = 0; i < 2; i++) {
        gpu_clear(gpu);
        run(gpu, t);
        digest[i] = gpu->digest;
    }
    if (digest[0] != digest[1])
        fail_msg("%s: twice the same gives other bits", t->name);
    return digest[0];
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

/* Pools and shortcut. Coarse numbers, so that a window has equal ones; a NaN here and there. */
static void run_other(struct gpu *gpu, const struct trial *t)
{
    const struct unit_shape *s = &t->shape;
    int64_t in = (int64_t)s->batch * s->in_h * s->in_w,
            out = (int64_t)s->batch * s->out_h * s->out_w;
    void *x = gpu_put_elements(gpu, t->type, t->x, in, s->in_c),
         *y = gpu_take_elements(gpu, t->type, out, s->out_c);
    void *dy = gpu_put_elements(gpu, t->type, t->dy, out, s->out_c),
         *dx = gpu_take_elements(gpu, t->type, in, s->in_c);
    void *dy2 = t->call.dy2 ? gpu_put_elements(gpu, t->type, t->dy2, out, s->out_c) : NULL;
    void *again = gpu_take_elements(gpu, t->type, out, s->out_c);
    if (s->kind == UNIT_MAX_POOL) {
        uint8_t *taken = gpu_take(gpu, (size_t)(out * kernel_padded(s->out_c)));
        kernel_max_pool(gpu->stream, t->type, s, x, y, taken);
        kernel_max_pool(gpu->stream, t->type, s, x, again, NULL);
        kernel_max_pool_back(gpu->stream, t->type, s, taken, dy, dy2, dx);
        compare_elements(gpu, t, "y without a way back", again, t->call.y, out, s->out_c, 0);
    } else if (s->kind == UNIT_MEAN_POOL) {
        kernel_mean_pool(gpu->stream, t->type, s, x, y);
        kernel_mean_pool_back(gpu->stream, t->type, s, dy, dy2, dx);
    } else {
        kernel_shortcut(gpu->stream, t->type, s, x, y);
        kernel_shortcut_back(gpu->stream, t->type, s, dy, dy2, dx);
    }
    compare_elements(gpu, t, "y", y, t->call.y, out, s->out_c,
                     s->kind == UNIT_MEAN_POOL ? of_type[t->type] : 0);
    compare_elements(gpu, t, "dx", dx, t->call.dx, in, s->in_c, of_type[t->type]);
}

static void check_other(struct gpu *gpu, struct unit_shape s, uint64_t *digest)
{
    for (int turn = 0; turn < 2 * DTYPES; turn++) {
        struct trial t;
        trial_open(&t, &s, (enum backend_dtype)(turn / 2));
        for (size_t i = 0; i < x_count(&s); i++)
            t.x[i] = i % 97 == 50 ? NAN : (i + (size_t)s.kind) * 7 % 11 - 5.0;
        t.call.dy2 = turn % 2 ? t.dy2 : NULL;
        ref_forward(&s, &t.call, UNIT_TRAIN);
        ref_backward(&s, &t.call);
        *digest = 31 * *digest + run_twice(gpu, &t, run_other);
        trial_close(&t);
    }
}

static void test_pools(void **state)
{
    (void)state;
    static const struct {
        int batch, h, w, channels;
    } sizes[] = {{1, 1, 1, 8}, {2, 5, 6, 3}, {3, 9, 7, 17}, {5, 4, 4, 64}};
    struct gpu gpu;
    uint64_t digest = 0;
    gpu_open(&gpu);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int batch = sizes[i].batch, h = sizes[i].h, w = sizes[i].w, c = sizes[i].channels;
        check_other(&gpu,
                    (struct unit_shape){.kind = UNIT_MEAN_POOL, batch, c, h, w, c, 1, 1, 1, 1},
                    &digest);
        for (int stride = 1; stride <= 3; stride++) {
            struct unit_shape s = {.kind = UNIT_MAX_POOL,
                                   batch,
                                   c,
                                   h,
                                   w,
                                   c,
                                   (h - 1) / stride + 1,
                                   (w - 1) / stride + 1,
                                   3,
                                   stride,
                                   1};
            check_other(&gpu, s, &digest);
            s.kind = UNIT_SHORTCUT;
            s.kernel = 1;
            s.pad = 0;
            s.out_c += (stride - 1) * 9;
            check_other(&gpu, s, &digest);
        }
    }
    gpu_close(&gpu);
    print_message("the digest of all pools is %016llx\n", (unsigned long long)digest);
}

/* What is around a dense layer's product: z is handed in, y = z + bias; dz = dy + dy2, and its
 * sums. */
static void run_bias(struct gpu *gpu, const struct trial *t)
{
    int batch = t->shape.batch, classes = t->shape.out_c;
    size_t logits = (size_t)batch * (size_t)classes;
    double *truth = xcalloc(logits, sizeof *truth);
    void *z = gpu_put_elements(gpu, t->type, t->skip, batch, classes),
         *dz = gpu_take_elements(gpu, t->type, batch, classes);
    float *bias = gpu_put_floats(gpu, t->w, (size_t)classes),
          *y = gpu_take(gpu, logits * sizeof *y);
    float *dy = gpu_put_floats(gpu, t->dy, logits),
          *dy2 = t->call.dy2 ? gpu_put_floats(gpu, t->dy2, logits) : NULL;
    float *dbias = gpu_take(gpu, (size_t)classes * sizeof *dbias);
    kernel_bias(gpu->stream, t->type, z, batch, classes, bias, y);
    kernel_bias_back(gpu->stream, t->type, dy, dy2, batch, classes, dz, dbias);
    for (size_t i = 0; i < logits; i++)
        truth[i] = t->skip[i] + t->w[i % (size_t)classes];
    gpu_get_floats(gpu, t->is, y, logits);
    compare(t, "logits", truth, logits, of_f32);
    for (size_t i = 0; i < logits; i++)
        truth[i] = dy_at(&t->call, i);
    compare_elements(gpu, t, "dz", dz, truth, batch, classes, of_type[t->type]);
    for (size_t i = (size_t)classes; i < logits; i++)
        truth[i % (size_t)classes] += truth[i];
    compare_channels(gpu, t, "dbias", dbias, truth);
    xfree(truth);
}

static void test_bias(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {3, 10}, {128, 8}, {1030, 13}, {5, 1000}};
    struct gpu gpu;
    gpu_open(&gpu);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int turn = 0; turn < 2 * DTYPES; turn++) {
            struct unit_shape s = {
                .kind = UNIT_DENSE, sizes[i][0], 2, 1, 1, sizes[i][1], 1, 1, 1, 1};
            struct trial t;
            trial_open(&t, &s, (enum backend_dtype)(turn / 2));
            t.call.dy2 = turn % 2 ? t.dy2 : NULL;
            run_twice(&gpu, &t, run_bias);
            trial_close(&t);
        }
    gpu_close(&gpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_inference),
        cmocka_unit_test(test_norm_far_from_zero),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
