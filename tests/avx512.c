/* The same text once more, with other intrinsics. */
#include "tests/avx512.h"

#ifdef __x86_64__

#include "tests/emulate_avx512.h"

/* A build without oneDNN has none. */
#pragma weak tile_pack_f32

#define tiles_avx512 emulated_avx512
#define tiles_avx512_bf16 emulated_avx512_bf16
#include "backend/onednn/tile_avx512.c"

#endif
