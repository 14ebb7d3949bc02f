/* A unit on the device and its reference: the loops of backend/ref in double on the same numbers,
 * rounded to bf16 first where that is the type. Like those loops these functions are of whoever
 * includes this file.
 *
 * Distances are relative to |truth| + the tensor's root mean square: float32 sums leave 1e-5, bf16
 * rounds to 2^-9 once, or twice where a gradient is stored on its way (2^-8 is allowed). */
#ifndef TESTS_CUDA_KERNEL_TRIAL_H
#define TESTS_CUDA_KERNEL_TRIAL_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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

#endif
