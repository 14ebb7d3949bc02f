/* The units without parameters: max pool, mean pool, the shortcut of He's option A, and dropout;
 * the threads share the images. */
#ifndef BACKEND_ONEDNN_POOL_H
#define BACKEND_ONEDNN_POOL_H

#include "backend/backend.h"
#include "backend/onednn/layout.h"

struct pool {
    const struct unit_shape *shape;
    struct layout x, y;
    int threads;
};

/* bytes: of a max pool the argmax, a tap in a byte an element of y */
size_t pool_saved(const struct pool *p);
void pool_forward(const struct pool *p, const struct unit_io *io, enum unit_mode mode);
void pool_backward(const struct pool *p, const struct unit_io *io);

#endif
