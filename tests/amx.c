/* The same text once more, with other intrinsics. */
#include "tests/amx.h"

#ifdef __x86_64__

#include <unistd.h>

#include "tests/emulate_amx.h"

#define tiles_amx_bf16 emulated_amx_bf16
#include "backend/onednn/tile_amx.c"

#endif
