/* The loops over activations, each written once and compiled for float32 and for bf16. They do one
 * thread's part; norm.c and pool.c hand out the chunks. */
#ifndef BACKEND_ONEDNN_KERNELS_H
#define BACKEND_ONEDNN_KERNELS_H

#include <stdint.h>

#include "backend/onednn/layout.h"

/* What follows a convolution: whole tensors as rows (pixels) of channels, and values of each
 * channel. */
struct rows {
    const void *z, *skip, *y, *dy, *dy2; /* skip, y, dy2: may be NULL */
    void *out;
    const float *origin, *scale, *shift, *from_dy, *from_z, *bias;
    float *sums[2]; /* added to */
    int channels;
    bool relu, stream;
    size_t end; /* nothing is read from this element on; the kernels set it themselves */
};

/* Of rows from .. to - 1. */
typedef void rows_kernel(const struct rows *r, size_t from, size_t to);

/* Pools and shortcuts: x -> y, or for their gradients dy (+ dy2) -> dx. */
struct pooling {
    struct layout x, y;
    int kernel, stride, pad;
    const void *from, *from2;
    void *to;
    uint8_t *argmax; /* max pool: the tap that had the greatest, for each element of y; may be NULL
                     forward */
};

/* Of one image. */
typedef void pool_kernel(const struct pooling *p, int n);

struct kernels {
    rows_kernel *measure;      /* sums[0] += z - origin, sums[1] += (z - origin)^2 */
    rows_kernel *apply;        /* out = relu(scale z + shift + skip), scale == NULL: 1 z + 0 */
    rows_kernel *sum_gradient; /* d = dy + dy2 masked; out (not NULL) = d, sums[0] += d, sums[1] +=
                                  d (z - origin) */
    rows_kernel *gradient;     /* out = from_dy d + from_z z + bias */
    rows_kernel *mask;         /* out = d */
    pool_kernel *max, *max_back, *mean, *mean_back, *shortcut, *shortcut_back;
};

/* The mask of ReLU is y > 0, or without y: scale z + shift > 0. */
extern const struct kernels kernels_f32, kernels_f32_narrow, kernels_bf16;

/* Those for this machine: narrow ones where vectors have 32 bytes. */
const struct kernels *kernels_for(bool bf16);

#endif
