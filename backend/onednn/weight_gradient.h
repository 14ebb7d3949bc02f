/* The gradient of a convolution's weights: for every tap the products of all pixels of y with the
 * pixels of x that they see. */
#ifndef BACKEND_ONEDNN_WEIGHT_GRADIENT_H
#define BACKEND_ONEDNN_WEIGHT_GRADIENT_H

#include "backend/onednn/geometry.h"

struct correlate;

/* Borrows the geometry. */
struct correlate *correlate_open(const struct geometry *g, const struct tiles *t, int threads);
void correlate_close(struct correlate *c);
size_t correlate_scratch(const struct correlate *c); /* bytes */

/* gradient: float32 [out][taps][in], overwritten. */
void correlate_run(const struct correlate *c, const void *x, float *gradient, const void *dy,
                   void *scratch);

#endif
