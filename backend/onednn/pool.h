/* The units without parameters: max pool, mean pool, and the shortcut of He's option A; all pictures, shared by the threads. */
#ifndef BACKEND_ONEDNN_POOL_H
#define BACKEND_ONEDNN_POOL_H

#include "backend.h"
#include "backend/onednn/layout.h"

struct pool {
    const struct unit_shape *shape;
    struct layout x, y;
    int threads;
};

size_t pool_saved(const struct pool *p); /* bytes: of a max pool the tap that won, a byte an element of y */
void pool_forward(const struct pool *p, const struct unit_io *io);
void pool_backward(const struct pool *p, const struct unit_io *io);

#endif
