/* The gradient of a convolution's weights by tiles that want both factors packed (struct
 * outer_rows): for every tap a row of y meets the row of x that it sees, shifted by some pixels. */
#ifndef BACKEND_ONEDNN_WEIGHT_GRADIENT_ROWS_H
#define BACKEND_ONEDNN_WEIGHT_GRADIENT_ROWS_H

#include "backend/onednn/geometry.h"

struct weight_gradient_rows;

/* Borrows the geometry. */
struct weight_gradient_rows *weight_gradient_rows_open(const struct geometry *g,
                                                       const struct tiles *t, int threads);
void weight_gradient_rows_close(struct weight_gradient_rows *c);
size_t weight_gradient_rows_scratch(const struct weight_gradient_rows *c); /* bytes */

/* gradient: float32 [out][taps][in], overwritten. */
void weight_gradient_rows_run(const struct weight_gradient_rows *c, const void *x, float *gradient,
                              const void *dy, void *scratch);

#endif
