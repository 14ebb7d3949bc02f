/* The AMX tiles of backend/onednn, emulated: for tests on machines that lack them. */
#ifndef TESTS_AMX_H
#define TESTS_AMX_H

#include "backend/onednn/tile.h"

extern const struct tiles emulated_amx_bf16;

#endif
