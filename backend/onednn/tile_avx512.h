/* AVX-512, float32 and bf16: at full width 6 rows of 64 columns. */
#ifndef BACKEND_ONEDNN_TILE_AVX512_H
#define BACKEND_ONEDNN_TILE_AVX512_H

#include "backend/onednn/tile.h"

extern const struct tiles tiles_avx512, tiles_avx512_bf16;

#endif
