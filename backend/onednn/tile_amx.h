/* AMX, bf16: sums of 16 x 16, four at a time. */
#ifndef BACKEND_ONEDNN_TILE_AMX_H
#define BACKEND_ONEDNN_TILE_AMX_H

#include "backend/onednn/tile.h"

extern const struct tiles tiles_amx_bf16;

#endif
