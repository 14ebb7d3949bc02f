/* The AVX-512 tiles of backend/onednn, emulated: for tests on machines with AVX2 alone. */
#ifndef TESTS_AVX512_H
#define TESTS_AVX512_H

#include "backend/onednn/tile.h"

extern const struct tiles emulated_avx512, emulated_avx512_bf16;

#endif
