/* Which instruction sets are built in; the widest that the machine has is taken. */
#include "backend/onednn/tile.h"

#include <string.h>

#include "backend/onednn/tile_amx.h"
#include "backend/onednn/tile_avx2.h"
#include "backend/onednn/tile_avx512.h"

/* The widest first. */
static const struct tiles *const all[] = {
#ifdef __x86_64__
    &tiles_amx_bf16,
    &tiles_avx512_bf16,
    &tiles_avx512,
    &tiles_avx2,
#endif
    NULL,
};

const struct tiles *tiles_at(int i)
{
    return all[i];
}

const struct tiles *tiles_for(bool bf16)
{
    int i = 0;
    while (all[i] && (all[i]->bf16 != bf16 || !all[i]->able()))
        i++;
    return all[i];
}

void tile_pack_f32(const float *from, size_t step, int depth, int vectors, void *to)
{
    size_t width = (size_t)vectors * LANES;
    for (size_t k = 0; k < (size_t)depth; k++)
        memcpy((float *)to + k * width, from + k * step, width * sizeof(float));
}
