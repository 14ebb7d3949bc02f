/* IEEE 754 half on the wire: 10 bits of fraction, rounded to nearest, ties to even. Cost: 2 bytes a
 * float, one pass.
 *
 * From 65520 on it is infinity, below 2^-14 a multiple of 2^-24, at most 2^-25 is zero; a NaN stays
 * a NaN, made quiet. All three cases are computed and one is chosen, without branches, so that it
 * vectorises on every machine. Where halves are subnormal the float adder rounds: beside 0.5 the
 * last bit is 2^-24. */
#include "serialization/kinds.h"

#include <string.h>

#include "base/simd.h"

enum {
    HALF = 0x3f000000,             /* 0.5f */
    FRACTION = 13,                 /* bits of a float's fraction that a half has not */
    EXPONENT = 112 << 23,          /* what a float's exponent is ahead of a half's */
    NORMAL = EXPONENT + (1 << 23), /* the least normal half, as a float's bits */
    INFINITE = 0x7f800000,
    HALF_INFINITE = 0x7c00
};

SIMD_LOOP pack_loop(void *to, const float *from, int64_t count)
{
    uint16_t *halves = to;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits, small;
        memcpy(&bits, &from[i], sizeof bits);
        int32_t magnitude = (int32_t)(bits & 0x7fffffff);
        float added;
        memcpy(&added, &magnitude, sizeof added);
        added += 0.5f;
        memcpy(&small, &added, sizeof small);
        int32_t half = (magnitude - EXPONENT + 0xfff + (magnitude >> FRACTION & 1)) >> FRACTION;
        half = half > HALF_INFINITE ? HALF_INFINITE : half;
        half = magnitude < NORMAL ? (int32_t)small - HALF : half;
        half =
            magnitude > INFINITE ? HALF_INFINITE | 0x200 | (magnitude >> FRACTION & 0x3ff) : half;
        halves[i] = (uint16_t)((bits >> 16 & 0x8000) | (uint32_t)half);
    }
}

SIMD(pack, (void *to, const float *from, int64_t count), (to, from, count))

SIMD_LOOP unpack_loop(float *to, const void *from, int64_t count)
{
    const uint16_t *halves = from;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        uint32_t half = halves[i], small;
        int32_t magnitude = (int32_t)(half & 0x7fff) << FRACTION, shifted = magnitude + NORMAL;
        float fraction;
        memcpy(&fraction, &shifted, sizeof fraction);
        fraction -= 0x1p-14f;
        memcpy(&small, &fraction, sizeof small);
        int32_t bits = magnitude + EXPONENT;
        bits = magnitude >= HALF_INFINITE << FRACTION ? bits + EXPONENT : bits;
        bits = magnitude < 0x400 << FRACTION ? (int32_t)small : bits;
        uint32_t whole = (uint32_t)bits | (half & 0x8000) << 16;
        memcpy(&to[i], &whole, sizeof whole);
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

const struct codec codec_f16 = {.name = "f16",
                                .weights = true,
                                .message_bytes = message_bytes,
                                .encode = encode,
                                .decode = decode};
