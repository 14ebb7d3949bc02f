/* Windows over channels-last tensors: patches for products, pools, the shortcut; and dropout.
 *
 * As in nhwc.c the inner loops run over neighbouring channels and are compiled for each level of
 * the instruction set. */
#include "backend/nhwc.h"

#include <assert.h>
#include <string.h>

#include "backend/dropout.h"
#include "backend/mean_pool.h"

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

NHWC_CLONES static void keep_greater(const float *restrict x, int channels, uint8_t tap,
                                     float *restrict y, uint8_t *restrict taken)
{
#pragma omp simd
    for (int c = 0; c < channels; c++) {
        bool more = x[c] > y[c] || x[c] != x[c];
        y[c] = more ? x[c] : y[c];
        taken[c] = more ? tap : taken[c];
    }
}

NHWC_CLONES static void greater(const float *restrict x, int channels, float *restrict y)
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

NHWC_CLONES static void add_taken(const uint8_t *restrict taken, uint8_t tap,
                                  const float *restrict dy, int channels, float *restrict dx)
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

NHWC_CLONES static void scale_to(float factor, int channels, float *to)
{
#pragma omp simd
    for (int c = 0; c < channels; c++)
        to[c] *= factor;
}

static float window_scale(struct mean_window rows, struct mean_window columns)
{
    return 1.0f / (float)(mean_window_length(rows) * mean_window_length(columns));
}

void nhwc_mean_pool(const struct unit_shape *s, const float *x, int first, int last, float *y)
{
    int64_t channels = s->in_c;
    x += first * s->in_h * s->in_w * channels;
    y += first * s->out_h * s->out_w * channels;
    for (int n = first; n < last; n++, x += s->in_h * s->in_w * channels)
        for (int oy = 0; oy < s->out_h; oy++)
            for (int ox = 0; ox < s->out_w; ox++, y += channels) {
                struct mean_window rows = mean_window(oy, s->in_h, s->out_h),
                                   columns = mean_window(ox, s->in_w, s->out_w);
                memset(y, 0, (size_t)channels * sizeof *y);
                for (int64_t iy = rows.first; iy < rows.end; iy++)
                    for (int64_t ix = columns.first; ix < columns.end; ix++)
                        nhwc_add(x + (iy * s->in_w + ix) * channels, channels, y);
                scale_to(window_scale(rows, columns), s->in_c, y);
            }
}

NHWC_CLONES static void add_scaled(float factor, const float *from, const float *from2,
                                   int channels, float *to)
{
#pragma omp simd
    for (int c = 0; c < channels; c++)
        to[c] += factor * (from2 ? from[c] + from2[c] : from[c]);
}

void nhwc_mean_pool_back(const struct unit_shape *s, const float *dy, const float *dy2, int first,
                         int last, float *dx)
{
    int64_t channels = s->in_c;
    dx += first * s->in_h * s->in_w * channels;
    for (int64_t n = first; n < last; n++)
        for (int iy = 0; iy < s->in_h; iy++)
            for (int ix = 0; ix < s->in_w; ix++, dx += channels) {
                struct mean_window over = mean_window(iy, s->out_h, s->in_h),
                                   across = mean_window(ix, s->out_w, s->in_w);
                memset(dx, 0, (size_t)channels * sizeof *dx);
                for (int oy = over.first; oy < over.end; oy++)
                    for (int ox = across.first; ox < across.end; ox++) {
                        int64_t at = ((n * s->out_h + oy) * s->out_w + ox) * channels;
                        float factor = window_scale(mean_window(oy, s->in_h, s->out_h),
                                                    mean_window(ox, s->in_w, s->out_w));
                        add_scaled(factor, dy + at, dy2 ? dy2 + at : NULL, s->in_c, dx);
                    }
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

/* Image n of `from` times its mask. */
static void drop_image(const struct unit_shape *s, uint64_t key, const float *from, int n,
                       float *to)
{
    int64_t count = (int64_t)s->in_h * s->in_w * s->in_c;
    struct random mask = dropout_mask(s, key, n);
    float scale = dropout_scale(s->drop);
    from += n * count, to += n * count;
    for (int64_t e = 0; e < count; e++)
        to[e] = from[e] * dropout_factor(s, &mask, (uint64_t)e, scale);
}

void nhwc_dropout(const struct unit_shape *s, const uint64_t *key, const float *x, int first,
                  int last, float *y)
{
    int64_t count = (int64_t)s->in_h * s->in_w * s->in_c;
    if (!key)
        memcpy(y + first * count, x + first * count, (size_t)((last - first) * count) * sizeof *y);
    for (int n = first; n < last && key; n++)
        drop_image(s, *key, x, n, y);
}

void nhwc_dropout_back(const struct unit_shape *s, const uint64_t *key, const float *dy,
                       const float *dy2, int first, int last, float *dx)
{
    int64_t count = (int64_t)s->in_h * s->in_w * s->in_c, at = first * count,
            floats = (last - first) * count;
    memcpy(dx + at, dy + at, (size_t)floats * sizeof *dx);
    if (dy2)
        nhwc_add(dy2 + at, floats, dx + at);
    for (int n = first; n < last && key; n++)
        drop_image(s, *key, dx, n, dx);
}
