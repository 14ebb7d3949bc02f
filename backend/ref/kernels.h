/* What a unit means, as plain loops: the definition that every other backend is measured against.
 *
 * Elements are `real`, defined by whoever includes this file: float in ref.c, double where tests
 * take finite differences. Sums over channels, taps, pixels and images are doubles. Images lie as
 * [batch][h][w][c], weights as backend/backend.h says. Invariant: one thread sums one output in one
 * fixed order, so the bits depend neither on the number of threads nor on the width of the
 * machine's vectors. Cost: the inner loop always runs over channels, which are contiguous; about
 * one multiply-add a cycle. Sources: He et al. 2015 (blocks, option A), Ioffe and Szegedy 2015
 * (batch norm; epsilon and its place as in PyTorch). */
#ifndef BACKEND_REF_KERNELS_H
#define BACKEND_REF_KERNELS_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "backend/backend.h"

enum { BLOCK = 64 }; /* channels that are summed side by side, on the stack */

static const double norm_epsilon = 1e-5;

/* struct unit_io in elements, and what the loops need besides. */
struct ref_call {
    const real *w;
    real *g;
    const real *x, *skip;
    real *y, *saved;
    const real *dy, *dy2;
    real *dx, *dskip;
    real *mean, *variance;
    const uint64_t *key; /* of dropout; NULL: nothing is dropped */
    real *scratch;       /* ref_scratch() elements; nothing lives there between calls */
    int threads;
};

static inline size_t x_count(const struct unit_shape *s)
{
    return (size_t)s->batch * s->in_h * s->in_w * s->in_c;
}

static inline size_t y_count(const struct unit_shape *s)
{
    return (size_t)s->batch * s->out_h * s->out_w * s->out_c;
}

static inline size_t conv_weights(const struct unit_shape *s)
{
    return (size_t)s->out_c * s->kernel * s->kernel * s->in_c;
}

/* Elements of `saved`: the normalised convolution, then 1 / deviation of each channel; of a group
 * norm see there. */
static size_t ref_saved(const struct unit_shape *s)
{
    if (s->kind == UNIT_GROUP_NORM)
        return 2 * (size_t)s->batch * s->groups;
    return s->kind == UNIT_CONV && s->norm ? y_count(s) + s->out_c : 0;
}

/* Elements of scratch: forward turns the weights there, backward keeps the convolution's gradient
 * there. */
static size_t ref_scratch(const struct unit_shape *s)
{
    return s->kind != UNIT_CONV ? 0 : conv_weights(s) > y_count(s) ? conv_weights(s) : y_count(s);
}

static inline int smaller(int a, int b)
{
    return a < b ? a : b;
}

static inline void add_scaled(int count, double scale, const real *restrict v, double *restrict sum)
{
#pragma omp simd
    for (int i = 0; i < count; i++)
        sum[i] += scale * (double)v[i];
}

static inline void store(int count, const double *restrict sum, real *restrict to)
{
    for (int i = 0; i < count; i++)
        to[i] = (real)sum[i];
}

/* The gradient of y at element i: y may have had two readers. */
static inline double dy_at(const struct ref_call *c, size_t i)
{
    return (double)c->dy[i] + (c->dy2 ? (double)c->dy2[i] : 0.0);
}

/* The input's row (or column) under a tap; outside 0 .. size-1 it is padding. */
static inline int under(const struct unit_shape *s, int out, int tap)
{
    return out * s->stride + tap - s->pad;
}

/* The output's row (or column) that sees input `in` through a tap, -1 when none does. */
static inline int over(const struct unit_shape *s, int in, int tap, int out_size)
{
    int distance = in + s->pad - tap;
    return distance < 0 || distance % s->stride || distance / s->stride >= out_size
               ? -1
               : distance / s->stride;
}

#include "backend/ref/pools.h"

/* [out][taps][in] to [taps][in][out]: so that forward, too, has its outputs side by side. */
static void transpose(const struct unit_shape *s, const real *w, real *transposed)
{
    size_t rows = (size_t)s->kernel * s->kernel * s->in_c, out_c = s->out_c;
    for (size_t o = 0; o < out_c; o++)
        for (size_t r = 0; r < rows; r++)
            transposed[r * out_c + o] = w[o * rows + r];
}

static void conv_pixel(const struct unit_shape *s, const real *transposed, const real *image,
                       int oy, int ox, real *y)
{
    for (int first = 0; first < s->out_c; first += BLOCK) {
        int count = smaller(BLOCK, s->out_c - first);
        double sum[BLOCK] = {0};
        for (int ky = 0; ky < s->kernel; ky++)
            for (int kx = 0; kx < s->kernel; kx++) {
                int iy = under(s, oy, ky), ix = under(s, ox, kx);
                if (iy < 0 || iy >= s->in_h || ix < 0 || ix >= s->in_w)
                    continue;
                const real *x = image + ((size_t)iy * s->in_w + ix) * s->in_c;
                const real *w =
                    transposed + ((size_t)ky * s->kernel + kx) * s->in_c * s->out_c + first;
                for (int i = 0; i < s->in_c; i++)
                    add_scaled(count, x[i], w + (size_t)i * s->out_c, sum);
            }
        store(count, sum, y + first);
    }
}

/* y[b][oy][ox][o] = sum over ky, kx, i of w[o][ky][kx][i] x[b][oy stride + ky - pad][ox stride + kx
 * - pad][i] */
static void conv(const struct unit_shape *s, const struct ref_call *c)
{
    transpose(s, c->w, c->scratch);
    size_t in = x_count(s) / s->batch, out = y_count(s) / s->batch;
#pragma omp parallel for num_threads(c->threads)
    for (int b = 0; b < s->batch; b++)
        for (int oy = 0; oy < s->out_h; oy++)
            for (int ox = 0; ox < s->out_w; ox++)
                conv_pixel(s, c->scratch, c->x + b * in, oy, ox,
                           c->y + b * out + ((size_t)oy * s->out_w + ox) * s->out_c);
}

static void conv_dx_pixel(const struct unit_shape *s, const real *w, const real *dz, int iy, int ix,
                          real *dx)
{
    size_t row = (size_t)s->kernel * s->kernel * s->in_c;
    for (int first = 0; first < s->in_c; first += BLOCK) {
        int count = smaller(BLOCK, s->in_c - first);
        double sum[BLOCK] = {0};
        for (int ky = 0; ky < s->kernel; ky++)
            for (int kx = 0; kx < s->kernel; kx++) {
                int oy = over(s, iy, ky, s->out_h), ox = over(s, ix, kx, s->out_w);
                if (oy < 0 || ox < 0)
                    continue;
                const real *d = dz + ((size_t)oy * s->out_w + ox) * s->out_c;
                const real *tap = w + ((size_t)ky * s->kernel + kx) * s->in_c + first;
                for (int o = 0; o < s->out_c; o++)
                    add_scaled(count, d[o], tap + o * row, sum);
            }
        store(count, sum, dx + first);
    }
}

static void conv_dx(const struct unit_shape *s, const struct ref_call *c, const real *dz)
{
    size_t in = x_count(s) / s->batch, out = y_count(s) / s->batch;
#pragma omp parallel for num_threads(c->threads)
    for (int b = 0; b < s->batch; b++)
        for (int iy = 0; iy < s->in_h; iy++)
            for (int ix = 0; ix < s->in_w; ix++)
                conv_dx_pixel(s, c->w, dz + b * out, iy, ix,
                              c->dx + b * in + ((size_t)iy * s->in_w + ix) * s->in_c);
}

/* The gradient of w[o][ky][kx][..]: over the whole batch, every pixel that this tap sees times what
 * came of it. */
static void conv_dw_tap(const struct unit_shape *s, const real *x, const real *dz, int o, int ky,
                        int kx, real *dw)
{
    for (int first = 0; first < s->in_c; first += BLOCK) {
        int count = smaller(BLOCK, s->in_c - first);
        double sum[BLOCK] = {0};
        for (int b = 0; b < s->batch; b++)
            for (int oy = 0; oy < s->out_h; oy++) {
                int iy = under(s, oy, ky);
                if (iy < 0 || iy >= s->in_h)
                    continue;
                const real *row = x + ((size_t)b * s->in_h + iy) * s->in_w * s->in_c + first;
                const real *d = dz + ((size_t)b * s->out_h + oy) * s->out_w * s->out_c + o;
                for (int ox = 0; ox < s->out_w; ox++) {
                    int ix = under(s, ox, kx);
                    if (ix >= 0 && ix < s->in_w)
                        add_scaled(count, d[(size_t)ox * s->out_c], row + (size_t)ix * s->in_c,
                                   sum);
                }
            }
        store(count, sum, dw + first);
    }
}

static void conv_dw(const struct unit_shape *s, const struct ref_call *c, const real *dz)
{
#pragma omp parallel for num_threads(c->threads)
    for (int o = 0; o < s->out_c; o++)
        for (int ky = 0; ky < s->kernel; ky++)
            for (int kx = 0; kx < s->kernel; kx++)
                conv_dw_tap(s, c->x, dz, o, ky, kx,
                            c->g + (((size_t)o * s->kernel + ky) * s->kernel + kx) * s->in_c);
}

/* Mean and biased variance of `count` neighbouring channels over all pixels of the batch. */
static void batch_statistics(size_t pixels, int channels, int count, const real *z, double *mean,
                             double *variance)
{
    memset(mean, 0, count * sizeof *mean);
    memset(variance, 0, count * sizeof *variance);
    for (size_t p = 0; p < pixels; p++)
        add_scaled(count, 1.0, z + p * channels, mean);
    for (int i = 0; i < count; i++)
        mean[i] /= (double)pixels;
    for (size_t p = 0; p < pixels; p++)
        for (int i = 0; i < count; i++) {
            double difference = z[p * channels + i] - mean[i];
            variance[i] += difference * difference;
        }
    for (int i = 0; i < count; i++)
        variance[i] /= (double)pixels;
}

/* y = gamma (y - mean) / sqrt(variance + epsilon) + beta, in place. */
static void norm(const struct unit_shape *s, const struct ref_call *c, enum unit_mode mode)
{
    size_t channels = s->out_c, pixels = y_count(s) / channels;
    const real *gamma = c->w + unit_gamma_at(s), *beta = gamma + channels;
    for (int first = 0; first < s->out_c; first += BLOCK) {
        int count = smaller(BLOCK, s->out_c - first);
        double mean[BLOCK], variance[BLOCK], inverse[BLOCK];
        if (mode == UNIT_TRAIN)
            batch_statistics(pixels, s->out_c, count, c->y + first, mean, variance);
        for (int i = 0, k = first; i < count; i++, k++) {
            if (mode == UNIT_INFER)
                mean[i] = c->mean[k], variance[i] = c->variance[k];
            inverse[i] = 1.0 / sqrt(variance[i] + norm_epsilon);
            if (c->saved)
                c->saved[pixels * channels + k] = (real)inverse[i];
        }
        if (mode == UNIT_TRAIN && c->mean)
            store(count, mean, c->mean + first);
        if (mode == UNIT_TRAIN && c->variance)
            store(count, variance, c->variance + first);
        for (size_t p = 0; p < pixels; p++)
            for (int i = 0, k = first; i < count; i++, k++) {
                double normal = (c->y[p * channels + k] - mean[i]) * inverse[i];
                if (c->saved)
                    c->saved[p * channels + k] = (real)normal;
                c->y[p * channels + k] = (real)(gamma[k] * normal + beta[k]);
            }
    }
}

/* In place, from the gradient of norm's output to that of its input: the batch's mean and deviation
 * depend on every pixel. */
static void norm_back(const struct unit_shape *s, const struct ref_call *c, real *dz)
{
    size_t channels = s->out_c, pixels = y_count(s) / channels;
    const real *gamma = c->w + unit_gamma_at(s), *normal = c->saved,
               *inverse = c->saved + pixels * channels;
    real *dgamma = c->g + unit_gamma_at(s), *dbeta = dgamma + channels;
    for (int first = 0; first < s->out_c; first += BLOCK) {
        int count = smaller(BLOCK, s->out_c - first);
        double sum[BLOCK] = {0}, product[BLOCK] = {0};
        for (size_t p = 0; p < pixels; p++)
            for (int i = 0; i < count; i++) {
                size_t at = p * channels + first + i;
                sum[i] += dz[at];
                product[i] += (double)dz[at] * (double)normal[at];
            }
        store(count, sum, dbeta + first);
        store(count, product, dgamma + first);
        for (size_t p = 0; p < pixels; p++)
            for (int i = 0, k = first; i < count; i++, k++) {
                size_t at = p * channels + k;
                double centred = dz[at] - (sum[i] + normal[at] * product[i]) / (double)pixels;
                dz[at] = (real)((double)gamma[k] * inverse[k] * centred);
            }
    }
}

static void add_bias(const struct unit_shape *s, const struct ref_call *c)
{
    const real *bias = c->w + conv_weights(s);
    for (size_t i = 0; i < y_count(s); i++)
        c->y[i] += bias[i % s->out_c];
}

/* sum[o] = the sum of dz[..][o] over `rows` rows of `channels`. */
static void sum_columns(size_t rows, int channels, const real *dz, real *to)
{
    for (int first = 0; first < channels; first += BLOCK) {
        int count = smaller(BLOCK, channels - first);
        double sum[BLOCK] = {0};
        for (size_t r = 0; r < rows; r++)
            add_scaled(count, 1.0, dz + r * channels + first, sum);
        store(count, sum, to + first);
    }
}

/* The gradient of ReLU's input at element i, or where there is none that of y. */
static inline double dz_at(const struct unit_shape *s, const struct ref_call *c, size_t i)
{
    return s->relu && c->y[i] <= 0 ? 0 : dy_at(c, i);
}

#include "backend/ref/group_norm.h"

/* The comparisons let a NaN through: a diverged run must be seen in the loss. */
static void conv_forward(const struct unit_shape *s, const struct ref_call *c, enum unit_mode mode)
{
    conv(s, c);
    if (s->bias)
        add_bias(s, c);
    if (s->norm)
        norm(s, c, mode);
    for (size_t i = 0; i < y_count(s); i++) {
        real sum = s->skip ? c->y[i] + c->skip[i] : c->y[i];
        c->y[i] = s->relu && sum < 0 ? 0 : sum;
    }
}

static void conv_backward(const struct unit_shape *s, const struct ref_call *c)
{
    real *dz = c->scratch;
    for (size_t i = 0; i < y_count(s); i++) {
        dz[i] = (real)dz_at(s, c, i);
        if (s->skip)
            c->dskip[i] = dz[i];
    }
    if (s->norm)
        norm_back(s, c, dz);
    if (s->bias)
        sum_columns(y_count(s) / s->out_c, s->out_c, dz, c->g + conv_weights(s));
    conv_dw(s, c, dz);
    if (c->dx)
        conv_dx(s, c, dz);
}

/* y[b][o] = b[o] + sum over i of w[o][i] x[b][i], where i counts an image's elements [h][w][c]. */
static void dense_forward(const struct unit_shape *s, const struct ref_call *c)
{
    size_t in = x_count(s) / s->batch, out = s->out_c;
    const real *bias = c->w + out * in;
    for (size_t b = 0; b < (size_t)s->batch; b++)
        for (size_t o = 0; o < out; o++) {
            double sum = bias[o];
            for (size_t i = 0; i < in; i++)
                sum += (double)c->w[o * in + i] * (double)c->x[b * in + i];
            c->y[b * out + o] = (real)(s->relu && sum < 0 ? 0 : sum);
        }
}

static void dense_backward(const struct unit_shape *s, const struct ref_call *c)
{
    size_t in = x_count(s) / s->batch, out = s->out_c;
    for (size_t o = 0; o < out; o++) {
        for (size_t i = 0; i < in; i++) {
            double sum = 0;
            for (int b = 0; b < s->batch; b++)
                sum += dz_at(s, c, b * out + o) * (double)c->x[b * in + i];
            c->g[o * in + i] = (real)sum;
        }
        double sum = 0;
        for (int b = 0; b < s->batch; b++)
            sum += dz_at(s, c, b * out + o);
        c->g[out * in + o] = (real)sum;
    }
    for (size_t at = 0; c->dx && at < x_count(s); at++) {
        size_t b = at / in, i = at % in;
        double sum = 0;
        for (size_t o = 0; o < out; o++)
            sum += dz_at(s, c, b * out + o) * (double)c->w[o * in + i];
        c->dx[at] = (real)sum;
    }
}

static void ref_forward(const struct unit_shape *s, const struct ref_call *c, enum unit_mode mode)
{
    switch (s->kind) {
    case UNIT_CONV:
        conv_forward(s, c, mode);
        break;
    case UNIT_DENSE:
        dense_forward(s, c);
        break;
    case UNIT_MAX_POOL:
        max_pool(s, c, false);
        break;
    case UNIT_MEAN_POOL:
        mean_pool_forward(s, c);
        break;
    case UNIT_SHORTCUT:
        shortcut(s, c, false);
        break;
    case UNIT_DROPOUT:
        dropout_forward(s, c, mode);
        break;
    case UNIT_GROUP_NORM:
        group_norm_forward(s, c);
        break;
    }
}

/* g and, where wanted, dx and dskip, overwritten. A unit without parameters whose dx is not wanted
 * has nothing to do. */
static void ref_backward(const struct unit_shape *s, const struct ref_call *c)
{
    if (s->kind == UNIT_CONV)
        conv_backward(s, c);
    else if (s->kind == UNIT_DENSE)
        dense_backward(s, c);
    else if (s->kind == UNIT_GROUP_NORM)
        group_norm_backward(s, c);
    else if (!c->dx)
        return;
    else if (s->kind == UNIT_MAX_POOL)
        max_pool(s, c, true);
    else if (s->kind == UNIT_MEAN_POOL)
        mean_pool_backward(s, c);
    else if (s->kind == UNIT_SHORTCUT)
        shortcut(s, c, true);
    else
        dropout_backward(s, c);
}

#endif
