/* The dense layer, y = x W' + b and ReLU where asked, by oneDNN's sgemm: small beside everything
 * else, so it multiplies float32 whatever x and y are. */
#ifndef BACKEND_ONEDNN_DENSE_H
#define BACKEND_ONEDNN_DENSE_H

#include "backend/onednn/device.h"

struct dense {
    int batch, in, out;
    bool relu, x_bf16, y_bf16; /* y, dy and dy2 are alike */
};

size_t dense_scratch(const struct dense *d); /* bytes */
void dense_forward(const struct dense *d, const void *x, const float *w, void *y, void *scratch);
void dense_backward(const struct dense *d, const struct unit_io *io, void *scratch);

#endif
