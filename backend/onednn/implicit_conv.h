/* A convolution forward, or back to its input: every pixel of the result gathers what it depends
 * on. */
#ifndef BACKEND_ONEDNN_IMPLICIT_CONV_H
#define BACKEND_ONEDNN_IMPLICIT_CONV_H

#include "backend/onednn/geometry.h"

struct gather;

/* Borrows the geometry. */
struct gather *gather_open(const struct geometry *g, bool forward, const struct tiles *t,
                           int threads);
void gather_close(struct gather *g);
size_t gather_scratch(const struct gather *g); /* bytes */

/* source: x (forward) or dy; result: y or dx; w: float32 [out][taps][in]. */
void gather_run(const struct gather *g, const void *source, const float *w, void *result,
                void *scratch);

#endif
