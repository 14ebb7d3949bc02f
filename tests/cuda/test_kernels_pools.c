/* Do the kernels of pools, shortcuts and the bias compute what backend/ref means, in both types, on
 * odd shapes? As test_kernels.c does for norms: all runs twice, and must give the same bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/cuda/kernel_trial.h"

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
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
