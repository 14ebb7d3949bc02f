/* A convolution in its three directions, each by the method that was fastest here when it was
 * opened. */
#ifndef BACKEND_ONEDNN_CONVOLUTION_H
#define BACKEND_ONEDNN_CONVOLUTION_H

#include "backend/onednn/device.h"

struct convolution;

struct convolution *convolution_open(struct device *d, const struct unit_shape *s,
                                     const struct layout *x, const struct layout *y);
void convolution_close(struct convolution *c);
size_t
convolution_scratch(const struct convolution *c); /* bytes, of the direction that needs most */

/* w and its gradient are float32 [out][kh][kw][in]. */
void convolution_forward(struct convolution *c, const void *x, const float *w, void *y,
                         void *scratch);
void convolution_backward_data(struct convolution *c, void *dx, const float *w, const void *dy,
                               void *scratch);
void convolution_backward_weights(struct convolution *c, const void *x, float *dw, const void *dy,
                                  void *scratch);

#endif
