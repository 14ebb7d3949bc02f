/* A convolution forward, or back to its input: every pixel of the result gathers what it depends
 * on. */
#ifndef BACKEND_ONEDNN_IMPLICIT_CONV_H
#define BACKEND_ONEDNN_IMPLICIT_CONV_H

#include "backend/onednn/geometry.h"

struct implicit_conv;

/* Borrows the geometry. */
struct implicit_conv *implicit_conv_open(const struct geometry *g, bool forward,
                                         const struct tiles *t, int threads);
void implicit_conv_close(struct implicit_conv *g);
size_t implicit_conv_scratch(const struct implicit_conv *g); /* bytes */

/* source: x (forward) or dy; result: y or dx; w: float32 [out][taps][in]. */
void implicit_conv_run(const struct implicit_conv *g, const void *source, const float *w,
                       void *result, void *scratch);

#endif
