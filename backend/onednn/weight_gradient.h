/* The gradient of a convolution's weights: for every tap the products of all pixels of y with the
 * pixels of x that they see. */
#ifndef BACKEND_ONEDNN_WEIGHT_GRADIENT_H
#define BACKEND_ONEDNN_WEIGHT_GRADIENT_H

#include "backend/onednn/geometry.h"

struct weight_gradient;

/* Borrows the geometry. */
struct weight_gradient *weight_gradient_open(const struct geometry *g, const struct tiles *t,
                                             int threads);
void weight_gradient_close(struct weight_gradient *c);
size_t weight_gradient_scratch(const struct weight_gradient *c); /* bytes */

/* gradient: float32 [out][taps][in], overwritten. */
void weight_gradient_run(const struct weight_gradient *c, const void *x, float *gradient,
                         const void *dy, void *scratch);

#endif
