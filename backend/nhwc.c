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

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && __GNUC__ >= 12
#define CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CLONES
#endif

enum { BLOCK = 256, STRIP = 512 }; /* rows of float32 sums, channels of such sums on the stack */

static inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Adds what `rows` rows sum to around `shift` (a row of their own, so that no mean, however great,
 * drowns the deviation). */
CLONES static void add_block(const float *restrict sum, const float *restrict square,
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

CLONES static void block_sums(const float *restrict z, int64_t rows, int channels, int stride,
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
CLONES void nhwc_normalise(const float *z, const float *skip, bool relu, struct nhwc_norm norm,
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

CLONES void nhwc_add(const float *from, int64_t count, float *to)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        to[i] += from[i];
}

CLONES static void add(const float *a, const float *b, int64_t count, float *to)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        to[i] = a[i] + b[i];
}

CLONES static void masked_by_y(const float *y, const float *dy, const float *dy2, int64_t count,
                               float *g)
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
CLONES static void masked_by_z(const float *z, struct nhwc_norm norm, const float *dy,
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

CLONES static void strip_gradient_sums(const float *restrict g, const float *restrict z,
                                       const float *restrict mean, int64_t rows, int channels,
                                       int stride, double *restrict sum, double *restrict product)
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

CLONES void nhwc_gradient(const float *g, const float *z, struct nhwc_norm_backward back,
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

/* One row of a window: `kernel` pixels, zero outside the image. */
static inline void im2col_row(const float *row, int start, struct nhwc_taps t, int kernel,
                              size_t pixel, float *to)
{
    if (t.first >= t.last) {
        memset(to, 0, (size_t)kernel * pixel);
        return;
    }
    if (t.first > 0)
        memset(to, 0, (size_t)t.first * pixel);
    memcpy((char *)to + (size_t)t.first * pixel,
           (const char *)row + (size_t)(start + t.first) * pixel,
           (size_t)(t.last - t.first) * pixel);
    if (t.last < kernel)
        memset((char *)to + (size_t)t.last * pixel, 0, (size_t)(kernel - t.last) * pixel);
}

void nhwc_im2col(const struct unit_shape *s, const float *x, int64_t first, int64_t last,
                 float *patches)
{
    size_t pixel = (size_t)s->in_c * sizeof *x;
    int64_t row_floats = (int64_t)s->in_w * s->in_c, window_floats = (int64_t)s->kernel * s->in_c;
    int ox = (int)(first % s->out_w), oy = (int)(first / s->out_w % s->out_h);
    const float *image = x + first / s->out_w / s->out_h * s->in_h * row_floats;
    for (int64_t p = first; p < last; p++) {
        int top = oy * s->stride - s->pad, left = ox * s->stride - s->pad;
        struct nhwc_taps rows = nhwc_taps(top, s->kernel, s->in_h),
                         columns = nhwc_taps(left, s->kernel, s->in_w);
        for (int ky = 0; ky < s->kernel; ky++, patches += window_floats)
            if (ky < rows.first || ky >= rows.last)
                memset(patches, 0, (size_t)window_floats * sizeof *patches);
            else
                im2col_row(image + (top + ky) * row_floats, left, columns, s->kernel, pixel,
                           patches);
        if (++ox < s->out_w)
            continue;
        ox = 0;
        if (++oy < s->out_h)
            continue;
        oy = 0;
        image += s->in_h * row_floats;
    }
}

void nhwc_im2col_rows(const struct unit_shape *s, const float *image, int64_t first, int64_t last,
                      float *patches)
{
    int64_t row_floats = (int64_t)s->in_w * s->in_c, window_floats = (int64_t)s->kernel * s->in_c;
    for (int64_t y = first; y < last; y++)
        for (int ox = 0; ox < s->out_w; ox++, patches += window_floats) {
            int left = ox * s->stride - s->pad;
            im2col_row(image + y * row_floats, left, nhwc_taps(left, s->kernel, s->in_w), s->kernel,
                       (size_t)s->in_c * sizeof *patches, patches);
        }
}

void nhwc_col2im(const struct unit_shape *s, const float *patches, int images, float *dx)
{
    int64_t row_floats = (int64_t)s->in_w * s->in_c, window_floats = (int64_t)s->kernel * s->in_c;
    for (int n = 0; n < images; n++, dx += s->in_h * row_floats) {
        memset(dx, 0, (size_t)(s->in_h * row_floats) * sizeof *dx);
        for (int oy = 0; oy < s->out_h; oy++)
            for (int ox = 0; ox < s->out_w; ox++, patches += s->kernel * window_floats) {
                int top = oy * s->stride - s->pad, left = ox * s->stride - s->pad;
                struct nhwc_taps rows = nhwc_taps(top, s->kernel, s->in_h),
                                 columns = nhwc_taps(left, s->kernel, s->in_w);
                for (int ky = rows.first; ky < rows.last && columns.first < columns.last; ky++)
                    nhwc_add(patches + ky * window_floats + columns.first * s->in_c,
                             (int64_t)(columns.last - columns.first) * s->in_c,
                             dx + (top + ky) * row_floats + (left + columns.first) * s->in_c);
            }
    }
}

CLONES static void keep_greater(const float *restrict x, int channels, uint8_t tap,
                                float *restrict y, uint8_t *restrict taken)
{
#pragma omp simd
    for (int c = 0; c < channels; c++) {
        bool more = x[c] > y[c] || x[c] != x[c];
        y[c] = more ? x[c] : y[c];
        taken[c] = more ? tap : taken[c];
    }
}

CLONES static void greater(const float *restrict x, int channels, float *restrict y)
{
#pragma omp simd
    for (int c = 0; c < channels; c++)
        y[c] = x[c] > y[c] || x[c] != x[c] ? x[c] : y[c];
}

static void max_pool_pixel(const struct unit_shape *s, const float *image, int top, int left,
                           float *y, uint8_t *taken)
{
    struct nhwc_taps rows = nhwc_taps(top, s->kernel, s->in_h),
                     columns = nhwc_taps(left, s->kernel, s->in_w);
    for (int ky = rows.first; ky < rows.last; ky++)
        for (int kx = columns.first; kx < columns.last; kx++) {
            const float *x = image + ((int64_t)(top + ky) * s->in_w + left + kx) * s->in_c;
            uint8_t tap = (uint8_t)(ky * s->kernel + kx);
            if (ky == rows.first && kx == columns.first) {
                memcpy(y, x, (size_t)s->in_c * sizeof *y);
                if (taken)
                    memset(taken, tap, (size_t)s->in_c);
            } else if (taken) {
                keep_greater(x, s->in_c, tap, y, taken);
            } else {
                greater(x, s->in_c, y);
            }
        }
}

void nhwc_max_pool(const struct unit_shape *s, const float *x, int first, int last, float *y,
                   uint8_t *taken)
{
    assert(s->kernel * s->kernel <= UINT8_MAX + 1);
    for (int n = first; n < last; n++)
        for (int oy = 0; oy < s->out_h; oy++)
            for (int ox = 0; ox < s->out_w; ox++) {
                int64_t at = (((int64_t)n * s->out_h + oy) * s->out_w + ox) * s->out_c;
                max_pool_pixel(s, x + (int64_t)n * s->in_h * s->in_w * s->in_c,
                               oy * s->stride - s->pad, ox * s->stride - s->pad, y + at,
                               taken ? taken + at : NULL);
            }
}

CLONES static void add_taken(const uint8_t *restrict taken, uint8_t tap, const float *restrict dy,
                             int channels, float *restrict dx)
{
#pragma omp simd
    for (int c = 0; c < channels; c++)
        dx[c] += taken[c] == tap ? dy[c] : 0;
}

void nhwc_max_pool_back(const struct unit_shape *s, const uint8_t *taken, const float *dy,
                        const float *dy2, int first, int last, float *dx)
{
    int64_t image = (int64_t)s->in_h * s->in_w * s->in_c;
    memset(dx + first * image, 0, (size_t)((last - first) * image) * sizeof *dx);
    for (int n = first; n < last; n++)
        for (int oy = 0; oy < s->out_h; oy++)
            for (int ox = 0; ox < s->out_w; ox++) {
                int64_t at = (((int64_t)n * s->out_h + oy) * s->out_w + ox) * s->out_c;
                int top = oy * s->stride - s->pad, left = ox * s->stride - s->pad;
                struct nhwc_taps rows = nhwc_taps(top, s->kernel, s->in_h),
                                 columns = nhwc_taps(left, s->kernel, s->in_w);
                for (int ky = rows.first; ky < rows.last; ky++)
                    for (int kx = columns.first; kx < columns.last; kx++) {
                        float *to =
                            dx + n * image + ((int64_t)(top + ky) * s->in_w + left + kx) * s->in_c;
                        uint8_t tap = (uint8_t)(ky * s->kernel + kx);
                        add_taken(taken + at, tap, dy + at, s->in_c, to);
                        if (dy2)
                            add_taken(taken + at, tap, dy2 + at, s->in_c, to);
                    }
            }
}

CLONES static void scale_to(float factor, int channels, float *to)
{
#pragma omp simd
    for (int c = 0; c < channels; c++)
        to[c] *= factor;
}

void nhwc_mean_pool(const struct unit_shape *s, const float *x, int first, int last, float *y)
{
    int64_t pixels = (int64_t)s->in_h * s->in_w, channels = s->in_c;
    for (int n = first; n < last; n++) {
        float *to = y + n * channels;
        memset(to, 0, (size_t)channels * sizeof *to);
        for (int64_t p = 0; p < pixels; p++)
            nhwc_add(x + (n * pixels + p) * channels, channels, to);
        scale_to(1.0f / (float)pixels, s->in_c, to);
    }
}

void nhwc_mean_pool_back(const struct unit_shape *s, const float *dy, const float *dy2, int first,
                         int last, float *dx)
{
    int64_t pixels = (int64_t)s->in_h * s->in_w, channels = s->in_c;
    for (int n = first; n < last; n++) {
        float *to = dx + n * pixels * channels;
        if (dy2)
            add(dy + n * channels, dy2 + n * channels, channels, to);
        else
            memcpy(to, dy + n * channels, (size_t)channels * sizeof *to);
        scale_to(1.0f / (float)pixels, s->in_c, to);
        for (int64_t p = 1; p < pixels; p++)
            memcpy(to + p * channels, to, (size_t)channels * sizeof *to);
    }
}

/* Where output pixel (n, oy, ox) of the shortcut comes from. */
static inline int64_t shortcut_from(const struct unit_shape *s, int n, int oy, int ox)
{
    return (((int64_t)n * s->in_h + (int64_t)oy * s->stride) * s->in_w + (int64_t)ox * s->stride) *
           s->in_c;
}

void nhwc_shortcut(const struct unit_shape *s, const float *x, int first, int last, float *y)
{
    y += (int64_t)first * s->out_h * s->out_w * s->out_c;
    for (int n = first; n < last; n++)
        for (int oy = 0; oy < s->out_h; oy++)
            for (int ox = 0; ox < s->out_w; ox++, y += s->out_c) {
                memcpy(y, x + shortcut_from(s, n, oy, ox), (size_t)s->in_c * sizeof *y);
                memset(y + s->in_c, 0, (size_t)(s->out_c - s->in_c) * sizeof *y);
            }
}

void nhwc_shortcut_back(const struct unit_shape *s, const float *dy, const float *dy2, int first,
                        int last, float *dx)
{
    int64_t image = (int64_t)s->in_h * s->in_w * s->in_c,
            at = (int64_t)first * s->out_h * s->out_w * s->out_c;
    memset(dx + first * image, 0, (size_t)((last - first) * image) * sizeof *dx);
    for (int n = first; n < last; n++)
        for (int oy = 0; oy < s->out_h; oy++)
            for (int ox = 0; ox < s->out_w; ox++, at += s->out_c) {
                float *to = dx + shortcut_from(s, n, oy, ox);
                memcpy(to, dy + at, (size_t)s->in_c * sizeof *to);
                if (dy2)
                    nhwc_add(dy2 + at, s->in_c, to);
            }
}
