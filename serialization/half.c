/* Floats of 16 bits: bfloat16 (the upper half of a float32) and IEEE 754 half (10 bits of
 * fraction). Both round to nearest, ties to even. Cost: 2 bytes per float, one pass.
 *
 * One rule with two sets of parameters. The magnitude is rounded by an integer addition: adding
 * half of the last bit that stays, less one, and one more when that bit is odd, carries into it
 * exactly when rounding goes up. What is too great becomes infinity. A NaN stays a NaN, made quiet:
 * its bits are cut, not rounded. Half has fewer exponents: from 65520 on it is infinity, below
 * 2^-14 a multiple of 2^-24, at most 2^-25 is zero. There the float adder rounds: beside 0.5 the
 * last bit is 2^-24. All cases are computed and one is chosen, without branches, so that the loop
 * vectorises on every machine. */
#include "serialization/kinds.h"

#include <string.h>

#include "base/simd.h"

enum {
    BESIDE = 0x3f000000,        /* 0.5f */
    FLOAT_INFINITE = 0x7f800000 /* the bits of a float's infinity */
};

/* A form: bits of a float's fraction that are cut; what a float's exponent is ahead, as a float's
 * bits (0: it is the same); the bits of infinity. */
#define BFLOAT16 16, 0, 0x7f80
#define IEEE_HALF 13, 112 << 23, 0x7c00

#define INLINE static inline __attribute__((always_inline))

INLINE void pack_as(uint16_t *to, const float *from, int64_t count, const int cut,
                    const int32_t rebias, const int32_t infinite)
{
    const int32_t least_normal = rebias + (1 << 23), quiet = 1 << (22 - cut),
                  fraction = (1 << (23 - cut)) - 1;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits, small;
        memcpy(&bits, &from[i], sizeof bits);
        int32_t magnitude = (int32_t)(bits & 0x7fffffff);
        float sum;
        memcpy(&sum, &magnitude, sizeof sum);
        sum += 0.5f;
        memcpy(&small, &sum, sizeof small);
        uint32_t rounded = (uint32_t)magnitude - (uint32_t)rebias + (1u << (cut - 1)) - 1 +
                           ((uint32_t)magnitude >> cut & 1);
        int32_t half = (int32_t)rounded >> cut; /* wraps for a NaN alone, which is cut below */
        half = rebias && half > infinite ? infinite : half;
        half = rebias && magnitude < least_normal ? (int32_t)small - BESIDE : half;
        half = magnitude > FLOAT_INFINITE ? infinite | quiet | (magnitude >> cut & fraction) : half;
        to[i] = (uint16_t)((bits >> 16 & 0x8000) | (uint32_t)half);
    }
}

INLINE void unpack_as(float *to, const uint16_t *from, int64_t count, const int cut,
                      const int32_t rebias, const int32_t infinite)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        uint32_t half = from[i], small;
        int32_t magnitude = (int32_t)(half & 0x7fff) << cut,
                shifted = (int32_t)((uint32_t)magnitude + (uint32_t)rebias + (1u << 23));
        float fraction;
        memcpy(&fraction, &shifted, sizeof fraction);
        fraction -= 0x1p-14f;
        memcpy(&small, &fraction, sizeof small);
        int32_t bits = magnitude + rebias;
        bits = magnitude >= infinite << cut ? bits + rebias : bits;
        bits = rebias && magnitude < 1 << 23 ? (int32_t)small : bits;
        uint32_t whole = rebias ? (uint32_t)bits | (half & 0x8000) << 16 : half << cut;
        memcpy(&to[i], &whole, sizeof whole);
    }
}

SIMD_LOOP pack_loop(void *to, const float *from, int64_t count, bool brain)
{
    if (brain)
        pack_as(to, from, count, BFLOAT16);
    else
        pack_as(to, from, count, IEEE_HALF);
}

SIMD(pack, (void *to, const float *from, int64_t count, bool brain), (to, from, count, brain))

SIMD_LOOP unpack_loop(float *to, const void *from, int64_t count, bool brain)
{
    if (brain)
        unpack_as(to, from, count, BFLOAT16);
    else
        unpack_as(to, from, count, IEEE_HALF);
}

SIMD(unpack, (float *to, const void *from, int64_t count, bool brain), (to, from, count, brain))

static size_t message_bytes(const struct coder *c)
{
    return (size_t)c->count * sizeof(uint16_t);
}

static void encode(struct coder *c, void *to, const float *from)
{
    pack(to, from, c->count, c->codec == &codec_bf16);
}

static const char *decode(const struct coder *c, float *to, const void *from)
{
    unpack(to, from, c->count, c->codec == &codec_bf16);
    return NULL;
}

const struct codec codec_bf16 = {
    .name = "bf16",
    .summary = "the upper half of each float, 2 bytes",
    .paper = "Kalamkar et al. 2019, arXiv:1905.12322",
    .weights = true,
    .message_bytes = message_bytes,
    .encode = encode,
    .decode = decode,
};

const struct codec codec_f16 = {
    .name = "f16",
    .summary = "IEEE 754 half precision, 2 bytes per float",
    .paper = "IEEE 754-2008",
    .weights = true,
    .message_bytes = message_bytes,
    .encode = encode,
    .decode = decode,
};
