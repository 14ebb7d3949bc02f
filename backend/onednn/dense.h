/* The dense layer, y = x W' + b, by oneDNN's sgemm: the logits, small beside everything else, so
 * float32 whatever x is. */
#ifndef BACKEND_ONEDNN_DENSE_H
#define BACKEND_ONEDNN_DENSE_H

#include "backend/onednn/device.h"

struct dense {
    int batch, in, out, threads;
    struct layout x; /* in = c of 1x1 pixels */
};

size_t dense_scratch(const struct dense *d); /* bytes */
void dense_forward(const struct dense *d, const void *x, const float *w, float *y, void *scratch);
void dense_backward(const struct dense *d, const struct unit_io *io, void *scratch);

#endif
