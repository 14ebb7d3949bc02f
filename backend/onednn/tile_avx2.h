/* AVX2 with FMA, float32: 6 rows of 16 columns. */
#ifndef BACKEND_ONEDNN_TILE_AVX2_H
#define BACKEND_ONEDNN_TILE_AVX2_H

#include "backend/onednn/tile.h"

extern const struct tiles tiles_avx2;

#endif
