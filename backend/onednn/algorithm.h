/* The ways that there are to compute a convolution in one direction: the library's methods,
 * products by OpenBLAS and our own. */
#ifndef BACKEND_ONEDNN_ALGORITHM_H
#define BACKEND_ONEDNN_ALGORITHM_H

#include "backend/onednn/device.h"

enum {
    /* before them the library's, by enum method */
    WAY_PRODUCT = METHODS,
    WAY_OWN,
    WAY_WIDE,
    WAY_WINOGRAD,
    WAYS
};

/* One direction, opened in one way. */
struct way {
    struct pass *library;
    struct product *product;
    struct direct *own;
    struct wide *wide;
    struct winograd *winograd;
};

const char *way_name(int which);

/* False when this way can't do it. */
bool way_open(struct way *way, int which, const struct device *d, enum direction dir,
              const struct unit_shape *s, const struct layout *x, const struct layout *y);
void way_close(struct way *way);
bool way_is_reference(const struct way *way); /* only the library's slow plain loops can do it */
size_t way_scratch(const struct way *way);    /* bytes */
void way_run(const struct way *way, void *const operand[OPERANDS], void *scratch);

#endif
