/* A convolution as products of matrices by OpenBLAS, float32: 1x1 kernels in all directions, any
 * kernel back to its weights.
 *
 * Pixels are rows. A product is dealt in chunks (chunks.h), each made by one thread. */
#ifndef BACKEND_ONEDNN_PRODUCT_H
#define BACKEND_ONEDNN_PRODUCT_H

#include "backend/blas.h"
#include "backend/onednn/library.h"

struct product;

/* NULL when these shapes can't, or OpenBLAS is not there. Borrows b. */
struct product *product_open(enum direction d, const struct unit_shape *s, const struct layout *x,
                             const struct layout *y, const struct blas *b, int threads);
void product_close(struct product *p);
size_t product_scratch(const struct product *p); /* bytes */
void product_run(const struct product *p, void *const operand[OPERANDS], void *scratch);

#endif
