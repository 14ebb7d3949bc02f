/* Group normalisation (Wu and He 2018, arXiv:1803.08494), one image at a time, on channels-last
 * float32: y = relu(gamma (x - mean) / sqrt(variance + 1e-5) + beta + skip), mean and variance over
 * the pixels and the channels of a group.
 *
 * Like nhwc.h, whose kernels it uses: each call does one image, starts no threads and allocates
 * nothing. The same bits for any number of threads. Cost in passes over the image: 3 forward (4
 * with skip), 7 back. */
#ifndef BACKEND_GROUP_NORM_H
#define BACKEND_GROUP_NORM_H

#include "backend/backend.h"

size_t group_norm_room(const struct unit_shape *s);  /* bytes that a thread needs in a call */
size_t group_norm_saved(const struct unit_shape *s); /* floats of an image, forward to backward */
size_t group_norm_sums(const struct unit_shape *s);  /* doubles of an image, of a backward call */

/* The image's tensors: x, skip (NULL without), y [h][w][c]; saved NULL: no backward follows. */
void group_norm_forward(const struct unit_shape *s, const float *w, const float *x,
                        const float *skip, float *y, float *saved, void *room);

/* An image's gradients. dx must be no other tensor. */
struct group_norm_gradient {
    const float *x, *y, *dy, *dy2; /* dy2 may be NULL */
    float *dx, *dskip;             /* dskip: NULL without skip */
    const float *saved;
    double *sums;
};

void group_norm_backward(const struct unit_shape *s, const float *w,
                         const struct group_norm_gradient *of, void *room);

/* g of channels first .. last - 1, from the sums of all images, in their order. */
void group_norm_finish(const struct unit_shape *s, const double *sums, int64_t first, int64_t last,
                       float *g);

#endif
