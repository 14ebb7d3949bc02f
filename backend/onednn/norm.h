/* What follows a convolution: batch normalisation, addition of the skipped path, ReLU; forward and
 * back, in two passes each.
 *
 * All read the tensors at memory speed: forward reads z once for the statistics and once to
 * write y; backward reads once for the sums (and writes the masked gradient where it is asked for)
 * and once to write dz. Arithmetic is float32, sums are float32 over a few rows and double above.
 * The same call gives the same bits for the same number of threads. */
#ifndef BACKEND_ONEDNN_NORM_H
#define BACKEND_ONEDNN_NORM_H

#include "backend/onednn/layout.h"

/* Per channel, [c]; placed anew in every call. */
struct norm {
    float *mean, *inverse;          /* mean and 1 / sqrt(variance + eps); lie in `saved` */
    float *scale, *shift;           /* y = scale z + shift */
    float *from_dy, *from_z, *bias; /* dz = from_dy dy + from_z z + bias */
    double *sums;                   /* [chunk][2][c] */
    float *part;                    /* [thread][2][c], of some rows */
};

/* The gradient of what goes into ReLU: dy + dy2 (may be NULL), masked. With y == NULL the mask is
 * computed anew from z. */
struct output_gradient {
    const void *dy, *dy2, *y;
    bool relu;
};

size_t norm_saved(int channels);                /* bytes from forward to backward */
size_t norm_scratch(int channels, int threads); /* bytes for one call */
/* saved == NULL: nothing is kept */
void norm_place(struct norm *n, int channels, int threads, void *saved, void *scratch);

/* The statistics of z, or given ones (biased variance); then scale and shift. `variance` may be
 * NULL. */
void norm_measure(const struct norm *n, const struct layout *l, int threads, const void *z,
                  float *variance);
void norm_given(const struct norm *n, int channels, const float *mean, const float *variance);
void norm_coefficients(const struct norm *n, int channels, const float *gamma, const float *beta);

/* Instead of a norm: scale 1, shift the bias. */
void norm_bias(const struct norm *n, int channels, const float *bias);
/* Its gradient, from that of the convolution's result. */
void norm_sum_bias(const struct layout *l, int threads, const void *dz, float *dbias);

/* y = relu(scale z + shift + skip); without n: relu(z + skip). skip may be NULL, y may be z. */
void norm_apply(const struct norm *n, const struct layout *l, int threads, const void *z,
                const void *skip, bool relu, void *y);

/* First dgamma, dbeta, the coefficients of dz, and (where not NULL) `masked`: dy where ReLU
 * let through; then dz. */
void norm_sum_gradient(const struct norm *n, const struct layout *l, int threads, const void *z,
                       const struct output_gradient *in, void *masked, float *dgamma, float *dbeta);
void norm_gradient(const struct norm *n, const struct layout *l, int threads, const void *z,
                   const struct output_gradient *in, void *dz);

/* Without batch norm: `masked` alone. */
void norm_mask(const struct layout *l, int threads, const struct output_gradient *in, void *masked);

#endif
