/* Our own 3x3 convolutions, stride 1, with 16 multiplications for what others do with 36:
 * Winograd's F(2x2, 3x3), as Lavin and Gray (2015) use it; float32.
 *
 * Four pixels of the result come from a window of 16. Window and kernel are each changed into 16
 * points by sums of their elements, the points are multiplied and summed over the channels, which
 * are 16 products of matrices by the tiles of this machine, and changed into the four pixels. Back
 * to the input it is the same with the kernel rotated; back to the weights the sums are those that
 * the derivative of this says. Sums of sums: rounding errors are about twice those of plain
 * loops. */
#ifndef BACKEND_ONEDNN_WINOGRAD_H
#define BACKEND_ONEDNN_WINOGRAD_H

#include "backend/onednn/library.h"
#include "backend/onednn/tile.h"

struct winograd;

/* NULL when these shapes can't, or t is NULL. */
struct winograd *winograd_open(enum direction d, const struct unit_shape *s, const struct layout *x,
                               const struct layout *y, const struct tiles *t, int threads);
void winograd_close(struct winograd *w);
size_t winograd_scratch(const struct winograd *w); /* bytes */
void winograd_run(const struct winograd *w, void *const operand[OPERANDS], void *scratch);

#endif
