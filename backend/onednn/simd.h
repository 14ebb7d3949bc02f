/* Our own 3x3 convolutions of wide images, stride 1, forward and back to their input, by the tiles
 * of this machine.
 *
 * Rows of a tile are neighbouring pixels of one image, so that a pixel that was loaded serves three
 * of them, and what is read and written lies in the order of memory. Beside direct.h's, whose rows
 * are images, and which is faster on small ones. */
#ifndef BACKEND_ONEDNN_SIMD_H
#define BACKEND_ONEDNN_SIMD_H

#include "backend/onednn/library.h"
#include "backend/onednn/tile.h"

struct simd;

/* NULL when these shapes can't, or t is NULL. */
struct simd *simd_open(enum direction d, const struct unit_shape *s, const struct layout *x,
                       const struct layout *y, const struct tiles *t, int threads);
void simd_close(struct simd *w);
size_t simd_scratch(const struct simd *w); /* bytes */
void simd_run(const struct simd *w, void *const operand[OPERANDS], void *scratch);

#endif
