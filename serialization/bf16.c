/* bfloat16 on the wire: the upper half of a float32, rounded to nearest, ties to even. Cost: 2
 * bytes a float, one pass.
 *
 * Adding 0x7fff, and 1 more when the half's last bit is odd, carries into it exactly when rounding
 * goes up; the greatest floats round to infinity, as they should. A NaN would lose its payload or
 * its nature by that, so it is made quiet and cut instead. Plain integer code, which vectorises on
 * every machine. */
#include "serialization/kinds.h"

#include <string.h>

#include "base/simd.h"

SIMD_LOOP pack_loop(void *to, const float *from, int64_t count)
{
    uint16_t *halves = to;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, cut = bits >> 16 | 0x40;
        int32_t magnitude = (int32_t)(bits & 0x7fffffff);
        halves[i] = (uint16_t)(magnitude > 0x7f800000 ? cut : rounded);
    }
}

SIMD(pack, (void *to, const float *from, int64_t count), (to, from, count))

SIMD_LOOP unpack_loop(float *to, const void *from, int64_t count)
{
    const uint16_t *halves = from;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)halves[i] << 16;
        memcpy(&to[i], &bits, sizeof bits);
    }
}

SIMD(unpack, (float *to, const void *from, int64_t count), (to, from, count))

static size_t message_bytes(const struct coder *c)
{
    return (size_t)c->count * sizeof(uint16_t);
}

static void encode(struct coder *c, void *to, const float *from)
{
    pack(to, from, c->count);
}

static const char *decode(const struct coder *c, float *to, const void *from)
{
    unpack(to, from, c->count);
    return NULL;
}

const struct codec codec_bf16 = {.name = "bf16",
                                 .weights = true,
                                 .message_bytes = message_bytes,
                                 .encode = encode,
                                 .decode = decode};
