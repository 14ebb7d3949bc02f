/* Our own convolutions on channels-last tensors, by the tiles of this machine: made for small
 * images and late layers, where oneDNN's kernels wait for reordered weights or multiply by padding.
 *
 * Rows of a tile are images (or, where the kernel is 1x1, pixels), so all rows of a tile see the
 * same taps: those in the padding are left out, nothing is copied into columns, and strides cost
 * nothing. Channels must be multiples of 16. */
#ifndef BACKEND_ONEDNN_DIRECT_H
#define BACKEND_ONEDNN_DIRECT_H

#include "backend/onednn/library.h"
#include "backend/onednn/tile.h"

struct direct;

/* NULL when these shapes can't, or t is NULL. */
struct direct *direct_open(enum direction d, const struct unit_shape *s, const struct layout *x,
                           const struct layout *y, const struct tiles *t, int threads);
void direct_close(struct direct *d);
size_t direct_scratch(const struct direct *d); /* bytes */
void direct_run(const struct direct *d, void *const operand[OPERANDS], void *scratch);

#endif
