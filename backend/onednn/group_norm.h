/* Group normalisation with skip and ReLU (backend/group_norm.h); the threads share the images. What
 * is bf16 passes through float32, an image at a time. */
#ifndef BACKEND_ONEDNN_GROUP_NORM_H
#define BACKEND_ONEDNN_GROUP_NORM_H

#include "backend/backend.h"
#include "backend/onednn/layout.h"

struct group_norm {
    const struct unit_shape *shape;
    struct layout x, y;
    int threads;
};

size_t group_norm_saved_bytes(const struct group_norm *n);
size_t group_norm_scratch(const struct group_norm *n); /* bytes */
void group_norm_run(const struct group_norm *n, const struct unit_io *io, void *scratch);
void group_norm_run_back(const struct group_norm *n, const struct unit_io *io, void *scratch);

#endif
