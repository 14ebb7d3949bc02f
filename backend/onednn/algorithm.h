/* The algorithms for a convolution in one direction: the library's methods, products by OpenBLAS,
 * direct convolution, SIMD along rows, and Winograd's. */
#ifndef BACKEND_ONEDNN_ALGORITHM_H
#define BACKEND_ONEDNN_ALGORITHM_H

#include "backend/onednn/device.h"

/* One direction, opened in one algorithm: one of the pointers is not NULL. */
struct algorithm {
    struct pass *library;
    struct product *product;
    struct direct *direct;
    struct simd *simd;
    struct winograd *winograd;
};

const char *algorithm_name(int which);

/* Marks the algorithms of a list like "winograd,simd". Fatal on an unknown name. */
void algorithms_leave_out(const char *list, bool left_out[ALGORITHMS]);

/* False when this algorithm cannot do it. */
bool algorithm_open(struct algorithm *algorithm, int which, const struct device *d,
                    enum direction dir, const struct unit_shape *s, const struct layout *x,
                    const struct layout *y);
void algorithm_close(struct algorithm *algorithm);
bool algorithm_is_reference(
    const struct algorithm *algorithm); /* only the library's slow plain loops can do it */
size_t algorithm_scratch(const struct algorithm *algorithm); /* bytes */
void algorithm_run(const struct algorithm *algorithm, void *const operand[OPERANDS], void *scratch);

#endif
