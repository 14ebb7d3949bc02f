/* What surrounds a matrix product in a network, on channels-last float32 tensors: statistics,
 * normalisation, ReLU, pools, patches; nothing here knows of BLAS.
 *
 * A tensor is [rows][channels] with a row for each pixel of each image; `stride` (floats from one
 * row to the next) lets a call work on a slice of the channels. Invariant: every function does one
 * thread's chunk, the rows or images that it is given; it starts no threads, allocates nothing and
 * keeps nothing. Callers share out the work and put barriers between the passes. The bits depend on
 * the order of the calls, and so on how the rows are shared out. */
#ifndef BACKEND_NHWC_H
#define BACKEND_NHWC_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && __GNUC__ >= 12
#define NHWC_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define NHWC_CLONES
#endif

/* The first element of part `part` when `count` elements are shared out in `parts`. */
static inline int64_t nhwc_part(int64_t count, int part, int parts)
{
    return count * part / parts;
}

/* Per channel: how many, their mean, the sum of their squared distances to it. All zero: none
 * yet. */
struct nhwc_moments {
    double *count, *mean, *square;
};

static inline struct nhwc_moments nhwc_moments_from(struct nhwc_moments m, int64_t channel)
{
    return (struct nhwc_moments){m.count + channel, m.mean + channel, m.square + channel};
}

/* Adds rows of z. Safe for a mean much greater than the deviation: sums are taken around a sample
 * of the same rows. */
void nhwc_moments(const float *z, int64_t rows, int channels, int stride, struct nhwc_moments into);

/* Adds `more` (Chan, Golub, LeVeque 1979). */
void nhwc_moments_join(struct nhwc_moments into, struct nhwc_moments more, int64_t channels);

/* Normalisation, per channel: v = (z - mean) scale + beta. */
struct nhwc_norm {
    float *mean, *scale, *beta;
};

/* y = v + skip, then ReLU when asked for; skip may be NULL, y may be z. All three have the
 * stride. */
void nhwc_normalise(const float *z, const float *skip, bool relu, struct nhwc_norm norm,
                    int64_t rows, int channels, int stride, float *y);

/* Where ReLU let nothing through: nowhere (there is none), where y <= 0, or where v <= 0, taken
 * anew from z (no skip). */
enum nhwc_mask { NHWC_OPEN, NHWC_BY_Y, NHWC_BY_Z };

/* Backward through ReLU: g = dy + dy2 (may be NULL) where the mask is open, else 0. `mask_source`
 * is y or z as the mask says; `norm` is for NHWC_BY_Z. */
void nhwc_relu_backward(enum nhwc_mask mask, const float *mask_source, struct nhwc_norm norm,
                        const float *dy, const float *dy2, int64_t rows, int channels, float *g);

/* Adds the rows' sums of g and of g (z - mean), per channel. */
void nhwc_gradient_sums(const float *g, const float *z, const float *mean, int64_t rows,
                        int channels, double *sum, double *product);

void nhwc_add(const float *from, int64_t count, float *to); /* to += from */

/* Coefficients of the normalisation's backward, per channel: dz = from_g g + from_z (z - mean) +
 * constant. */
struct nhwc_norm_backward {
    float *mean, *from_g, *from_z, *constant;
};

/* dz may be g */
void nhwc_gradient(const float *g, const float *z, struct nhwc_norm_backward back, int64_t rows,
                   int channels, float *dz);

/* Sums of dy + dy2 (may be NULL) over the rows, per channel, in double; with y (not NULL) only
 * where y > 0, as ReLU's backward. Overwrites sums. */
void nhwc_column_sums(const float *y, const float *dy, const float *dy2, int64_t rows, int channels,
                      int stride, float *sums);

void nhwc_relu(int64_t count, float *y); /* in place; a NaN stays */

/* ---- nhwc_window.c */

/* The taps first .. last-1 of a window that meet the image, along one dimension; the window starts
 * at pixel `start` (negative: in the padding). */
struct nhwc_taps {
    int first, last;
};

static inline struct nhwc_taps nhwc_taps(int start, int kernel, int size)
{
    return (struct nhwc_taps){start < 0 ? -start : 0,
                              size - start < kernel ? size - start : kernel};
}

/* Patches: row p holds what output pixel p of the batch sees, [kernel][kernel][in_c], zero in the
 * padding. Output pixels first .. last-1; the shape's kernel, stride, pad and sizes count. */
void nhwc_im2col(const struct unit_shape *s, const float *x, int64_t first, int64_t last,
                 float *patches);

/* The same along one dimension only, over input rows first .. last-1 of one image:
 * [rows][out_w][kernel][in_c]. */
void nhwc_im2col_rows(const struct unit_shape *s, const float *image, int64_t first, int64_t last,
                      float *patches);

/* The transpose of nhwc_im2col() over whole images: dx[images][in_h][in_w][in_c] gets the sums of
 * the patches that saw each pixel. */
void nhwc_col2im(const struct unit_shape *s, const float *patches, int images, float *dx);

/* Pools and shortcut over images first .. last-1 of whole tensors; dy2 may be NULL. `taken` (NULL
 * in evaluation) keeps, for each output element, the tap that was greatest: the first of equals; a
 * NaN counts as greatest. */
void nhwc_max_pool(const struct unit_shape *s, const float *x, int first, int last, float *y,
                   uint8_t *taken);
void nhwc_max_pool_back(const struct unit_shape *s, const uint8_t *taken, const float *dy,
                        const float *dy2, int first, int last, float *dx);
void nhwc_mean_pool(const struct unit_shape *s, const float *x, int first, int last, float *y);
void nhwc_mean_pool_back(const struct unit_shape *s, const float *dy, const float *dy2, int first,
                         int last, float *dx);
void nhwc_shortcut(const struct unit_shape *s, const float *x, int first, int last, float *y);
void nhwc_shortcut_back(const struct unit_shape *s, const float *dy, const float *dy2, int first,
                        int last, float *dx);

/* Dropout by the key's mask (dropout.h); key == NULL: nothing is dropped. dx must not be dy. */
void nhwc_dropout(const struct unit_shape *s, const uint64_t *key, const float *x, int first,
                  int last, float *y);
void nhwc_dropout_back(const struct unit_shape *s, const uint64_t *key, const float *dy,
                       const float *dy2, int first, int last, float *dx);

#endif
