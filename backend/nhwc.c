/* Kernels over channels-last tensors. Their inner loops run over neighbouring channels, which any
 * vector width suits, so plain loops are compiled once for each level of the x86-64 instruction set
 * and the loader picks one (gcc 12 knows the levels by name).
 *
 * Cost: each reads its tensors once and writes its result once, at the speed of memory or of the
 * cache the rows lie in. Sums are float32 over at most BLOCK rows (four at a time, so that
 * accumulators are loaded a quarter as often) and double above. */
#include "backend/nhwc.h"

#include <assert.h>
#include <string.h>

enum { BLOCK = 256, STRIP = 512 }; /* rows of float32 sums, channels of such sums on the stack */

static inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Adds what `rows` rows sum to around `shift` (a row of their own, so that no mean, however great,
 * drowns the deviation). */
NHWC_CLONES static void add_block(const float *restrict sum, const float *restrict square,
                                  const float *restrict shift, double rows, int channels,
                                  struct nhwc_moments into)
{
    double *restrict count = into.count, *restrict mean = into.mean,
                     *restrict squares = into.square;
#pragma omp simd
    for (int c = 0; c < channels; c++) {
        double before = count[c], total = before + rows, offset = sum[c] / rows;
        double delta = shift[c] + offset - mean[c];
        squares[c] += square[c] - offset * sum[c] + delta * delta * before * rows / total;
        mean[c] += delta * rows / total;
        count[c] = total;
    }
}

NHWC_CLONES static void block_sums(const float *restrict z, int64_t rows, int channels, int stride,
                                   float *restrict sum, float *restrict square)
{
    const float *restrict shift = z;
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const float *a = z + r * stride, *b = a + stride, *d = b + stride, *e = d + stride;
#pragma omp simd
        for (int c = 0; c < channels; c++) {
            float p = a[c] - shift[c], q = b[c] - shift[c], t = d[c] - shift[c],
                  u = e[c] - shift[c];
            sum[c] += (p + q) + (t + u);
            square[c] += (p * p + q * q) + (t * t + u * u);
        }
    }
    for (; r < rows; r++) {
        const float *a = z + r * stride;
#pragma omp simd
        for (int c = 0; c < channels; c++) {
            float p = a[c] - shift[c];
            sum[c] += p;
            square[c] += p * p;
        }
    }
}

void nhwc_moments(const float *z, int64_t rows, int channels, int stride, struct nhwc_moments into)
{
    float sum[STRIP], square[STRIP];
    for (int c = 0; c < channels; c += STRIP) {
        int width = (int)least(STRIP, channels - c);
        for (int64_t r = 0; r < rows; r += BLOCK) {
            const float *block = z + r * stride + c;
            int64_t height = least(BLOCK, rows - r);
            memset(sum, 0, sizeof sum);
            memset(square, 0, sizeof square);
            block_sums(block, height, width, stride, sum, square);
            add_block(sum, square, block, (double)height, width, nhwc_moments_from(into, c));
        }
    }
}

void nhwc_moments_join(struct nhwc_moments into, struct nhwc_moments more, int64_t channels)
{
    for (int64_t c = 0; c < channels; c++) {
        if (more.count[c] == 0)
            continue;
        double total = into.count[c] + more.count[c], delta = more.mean[c] - into.mean[c];
        into.mean[c] += delta * more.count[c] / total;
        into.square[c] += more.square[c] + delta * delta * into.count[c] * more.count[c] / total;
        into.count[c] = total;
    }
}

/* `0 > v ? 0 : v`: a NaN goes through ReLU, so that a diverged run is seen in the loss. */
NHWC_CLONES void nhwc_normalise(const float *z, const float *skip, bool relu, struct nhwc_norm norm,
                                int64_t rows, int channels, int stride, float *y)
{
    const float *restrict mean = norm.mean, *restrict scale = norm.scale,
                          *restrict beta = norm.beta;
    float floor = relu ? 0 : -__builtin_inff();
    for (int64_t r = 0; r < rows; r++) {
        const float *from = z + r * stride, *add = skip + (skip ? r * stride : 0);
        float *to = y + r * stride;
        if (skip) {
#pragma omp simd
            for (int c = 0; c < channels; c++) {
                float v = (from[c] - mean[c]) * scale[c] + beta[c] + add[c];
                to[c] = floor > v ? floor : v;
            }
        } else {
#pragma omp simd
            for (int c = 0; c < channels; c++) {
                float v = (from[c] - mean[c]) * scale[c] + beta[c];
                to[c] = floor > v ? floor : v;
            }
        }
    }
}

NHWC_CLONES void nhwc_add(const float *from, int64_t count, float *to)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        to[i] += from[i];
}

NHWC_CLONES static void add(const float *a, const float *b, int64_t count, float *to)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        to[i] = a[i] + b[i];
}

NHWC_CLONES static void masked_by_y(const float *y, const float *dy, const float *dy2,
                                    int64_t count, float *g)
{
    if (dy2) {
#pragma omp simd
        for (int64_t i = 0; i < count; i++) {
            float sum = dy[i] + dy2[i];
            g[i] = y[i] <= 0 ? 0 : sum;
        }
    } else {
#pragma omp simd
        for (int64_t i = 0; i < count; i++) {
            float sum = dy[i];
            g[i] = y[i] <= 0 ? 0 : sum;
        }
    }
}

/* v is computed as in nhwc_normalise, to the bit. */
NHWC_CLONES static void masked_by_z(const float *z, struct nhwc_norm norm, const float *dy,
                                    const float *dy2, int64_t rows, int channels, float *g)
{
    const float *restrict mean = norm.mean, *restrict scale = norm.scale,
                          *restrict beta = norm.beta;
    for (int64_t at = 0; at < rows * channels; at += channels)
        if (dy2) {
#pragma omp simd
            for (int c = 0; c < channels; c++) {
                float v = (z[at + c] - mean[c]) * scale[c] + beta[c],
                      sum = dy[at + c] + dy2[at + c];
                g[at + c] = v <= 0 ? 0 : sum;
            }
        } else {
#pragma omp simd
            for (int c = 0; c < channels; c++) {
                float v = (z[at + c] - mean[c]) * scale[c] + beta[c], sum = dy[at + c];
                g[at + c] = v <= 0 ? 0 : sum;
            }
        }
}

void nhwc_relu_backward(enum nhwc_mask mask, const float *mask_source, struct nhwc_norm norm,
                        const float *dy, const float *dy2, int64_t rows, int channels, float *g)
{
    int64_t count = rows * channels;
    if (mask == NHWC_BY_Y)
        masked_by_y(mask_source, dy, dy2, count, g);
    else if (mask == NHWC_BY_Z)
        masked_by_z(mask_source, norm, dy, dy2, rows, channels, g);
    else if (dy2)
        add(dy, dy2, count, g);
    else
        memcpy(g, dy, (size_t)count * sizeof *g);
}

NHWC_CLONES static void strip_gradient_sums(const float *restrict g, const float *restrict z,
                                            const float *restrict mean, int64_t rows, int channels,
                                            int stride, double *restrict sum,
                                            double *restrict product)
{
    float sums[STRIP] = {0}, products[STRIP] = {0};
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const float *a = g + r * stride, *b = a + stride, *d = b + stride, *e = d + stride;
        const float *p = z + r * stride, *q = p + stride, *t = q + stride, *u = t + stride;
#pragma omp simd
        for (int c = 0; c < channels; c++) {
            float m = mean[c];
            sums[c] += (a[c] + b[c]) + (d[c] + e[c]);
            products[c] +=
                (a[c] * (p[c] - m) + b[c] * (q[c] - m)) + (d[c] * (t[c] - m) + e[c] * (u[c] - m));
        }
    }
    for (; r < rows; r++) {
        const float *a = g + r * stride, *p = z + r * stride;
#pragma omp simd
        for (int c = 0; c < channels; c++) {
            sums[c] += a[c];
            products[c] += a[c] * (p[c] - mean[c]);
        }
    }
#pragma omp simd
    for (int c = 0; c < channels; c++) {
        sum[c] += sums[c];
        product[c] += products[c];
    }
}

void nhwc_gradient_sums(const float *g, const float *z, const float *mean, int64_t rows,
                        int channels, double *sum, double *product)
{
    for (int64_t r = 0; r < rows; r += BLOCK)
        for (int c = 0; c < channels; c += STRIP) {
            int64_t at = r * channels + c;
            strip_gradient_sums(g + at, z + at, mean + c, least(BLOCK, rows - r),
                                (int)least(STRIP, channels - c), channels, sum + c, product + c);
        }
}

NHWC_CLONES void nhwc_gradient(const float *g, const float *z, struct nhwc_norm_backward back,
                               int64_t rows, int channels, float *dz)
{
    const float *restrict mean = back.mean, *restrict from_g = back.from_g,
                          *restrict from_z = back.from_z, *restrict constant = back.constant;
    for (int64_t at = 0; at < rows * channels; at += channels) {
#pragma omp simd
        for (int c = 0; c < channels; c++)
            dz[at + c] = from_g[c] * g[at + c] + (from_z[c] * (z[at + c] - mean[c]) + constant[c]);
    }
}

void nhwc_column_sums(const float *y, const float *dy, const float *dy2, int64_t rows, int channels,
                      int stride, float *sums)
{
    for (int first = 0; first < channels; first += STRIP) {
        int width = (int)least(STRIP, channels - first);
        double sum[STRIP] = {0};
        for (int64_t r = 0; r < rows; r++) {
            int64_t at = r * stride + first;
            for (int c = 0; c < width; c++) {
                float g = dy2 ? dy[at + c] + dy2[at + c] : dy[at + c];
                sum[c] += y && y[at + c] <= 0 ? 0 : (double)g;
            }
        }
        for (int c = 0; c < width; c++)
            sums[first + c] = (float)sum[c];
    }
}

void nhwc_relu(int64_t count, float *y)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = 0 > y[i] ? 0 : y[i];
}
