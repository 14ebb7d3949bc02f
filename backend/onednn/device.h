/* What the parts of this backend share: the opened device, and the scratch block that every call
 * may use. */
#ifndef BACKEND_ONEDNN_DEVICE_H
#define BACKEND_ONEDNN_DEVICE_H

#include "backend/backend.h"
#include "backend/blas.h"
#include "backend/choice.h"
#include "backend/onednn/library.h"
#include "backend/onednn/tile.h"

/* Of a convolution. */
enum {
    /* before them the library's, by enum method */
    ALGORITHM_PRODUCT = METHODS,
    ALGORITHM_DIRECT,
    ALGORITHM_SIMD,
    ALGORITHM_WINOGRAD,
    ALGORITHMS
};

struct device {
    struct library *library;
    struct choices *choices;
    struct choices *restricted; /* of this run alone, where algorithms are left out; else NULL */
    bool left_out[ALGORITHMS];
    struct blas blas;          /* may be none */
    const struct tiles *tiles; /* of our own convolutions, NULL: this machine has none */
    int threads;
    bool bf16, quiet;
    void *scratch; /* grows while units are opened, never while they run */
    size_t scratch_bytes;
};

/* Makes the scratch block at least so large; what it held is lost. */
void device_reserve(struct device *d, size_t bytes);

#endif
