/* Sixteen floats at a time (or as many as VEC_LANES says before this is included), read from and
 * written to float32 or bf16.
 *
 * Of registers that are smaller than a vector gcc makes a poor use: it keeps the halves on the
 * stack. So what must be fast on AVX2 is compiled once more with eight lanes.
 *
 * gcc's vector types lower to AVX-512, AVX2 or SSE; CLONES compiles a function for each and the
 * loader picks one. Vectors are passed by address: by value their calling convention would depend
 * on the machine. Where AVX-512 BF16 is compiled for, bf16 is read and written by its instructions,
 * else by integer arithmetic with the same results (but for NaNs' payloads). */
#ifndef BACKEND_ONEDNN_VECTOR_H
#define BACKEND_ONEDNN_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "backend/onednn/layout.h"

#if defined(__x86_64__) && defined(__gnu_linux__)
#define CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))

#ifndef VEC_LANES
#define VEC_LANES STRIP
#endif

typedef float vec __attribute__((vector_size(4 * VEC_LANES)));
typedef int32_t vec_int __attribute__((vector_size(4 * VEC_LANES)));
typedef uint32_t vec_bits __attribute__((vector_size(4 * VEC_LANES)));
typedef float vec_at __attribute__((vector_size(4 * VEC_LANES), aligned(4), may_alias));
typedef uint16_t vec_short_at __attribute__((vector_size(2 * VEC_LANES), aligned(2), may_alias));
typedef uint8_t vec_byte_at __attribute__((vector_size(VEC_LANES), aligned(1), may_alias));

INLINE void vec_from_bf16(vec *v, const void *from)
{
#ifdef __AVX512BF16__
    *v = (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from)),
                                16);
#else
    *v = (vec)(__builtin_convertvector(*(const vec_short_at *)from, vec_bits) << 16);
#endif
}

/* Rounds to nearest, ties to even. */
INLINE void vec_to_bf16(void *to, const vec *v)
{
#ifdef __AVX512BF16__
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh((__m512)*v));
#else
    vec_bits bits = (vec_bits)*v;
    *(vec_short_at *)to =
        __builtin_convertvector((bits + 0x7fff + (bits >> 16 & 1)) >> 16, vec_short_at);
#endif
}

/* Elements i .. i + lanes - 1 of p; lanes beyond are zero. */
INLINE void vec_get(vec *v, const void *p, size_t i, int lanes, bool bf16)
{
    const char *from = (const char *)p + i * (bf16 ? 2 : 4);
    char part[VEC_LANES * sizeof(float)] = {0};
    if (lanes < VEC_LANES)
        from = memcpy(part, from, (size_t)lanes * (bf16 ? 2 : 4));
    if (bf16)
        vec_from_bf16(v, from);
    else
        *v = *(const vec_at *)from;
}

INLINE void vec_put(void *p, size_t i, const vec *v, int lanes, bool bf16)
{
    char *to = (char *)p + i * (bf16 ? 2 : 4), part[VEC_LANES * sizeof(float)];
    char *there = lanes < VEC_LANES ? part : to;
    if (bf16)
        vec_to_bf16(there, v);
    else
        *(vec_at *)there = *v;
    if (lanes < VEC_LANES)
        memcpy(to, there, (size_t)lanes * (bf16 ? 2 : 4));
}

/* A whole vector past the caches, for what they would have forgotten before it is read; p is
 * aligned to 64 bytes and i to VEC_LANES. Other threads see it after vec_stream_end. */
INLINE void vec_stream(void *p, size_t i, const vec *v, bool bf16)
{
#ifdef __SSE2__
    char *to = (char *)p + i * (bf16 ? 2 : 4);
    __m128 part[VEC_LANES / 4];
    vec_put(part, 0, v, VEC_LANES, bf16);
    for (int k = 0; k < VEC_LANES / (bf16 ? 8 : 4); k++)
        _mm_stream_ps((float *)(void *)(to + 16 * k), part[k]);
#else
    vec_put(p, i, v, VEC_LANES, bf16);
#endif
}

INLINE void vec_stream_end(void)
{
#ifdef __SSE2__
    _mm_sfence();
#endif
}

/* Whole numbers 0 .. 255. */
INLINE void vec_get_bytes(vec_int *v, const uint8_t *p, int lanes)
{
    uint8_t part[VEC_LANES] = {0};
    if (lanes < VEC_LANES)
        p = memcpy(part, p, (size_t)lanes);
    *v = __builtin_convertvector(*(const vec_byte_at *)p, vec_int);
}

INLINE void vec_put_bytes(uint8_t *p, const vec_int *v, int lanes)
{
    vec_byte_at bytes = __builtin_convertvector(*v, vec_byte_at);
    memcpy(p, &bytes, (size_t)lanes);
}

/* All bits of a lane where v is not a number. This and what follows compares by integer arithmetic
 * on the bits, since gcc takes such vectors apart to compare them for some targets. */
INLINE void vec_is_nan(vec_int *is, const vec *v)
{
    *is = (0x7f800000 - (vec_int)((vec_bits)*v & 0x7fffffff)) >> 31;
}

/* All bits of a lane where a > b, of two numbers; what a NaN gives is not said. */
INLINE void vec_greater(vec_int *is, const vec *a, const vec *b)
{
    vec_int x = (vec_int)(*a + 0), y = (vec_int)(*b + 0); /* -0 is 0 */
    x ^= x >> 31 & 0x7fffffff; /* whole numbers in the order of the floats */
    y ^= y >> 31 & 0x7fffffff;
    vec_int less = (vec_int)((vec_bits)y - (vec_bits)x);
    *is = (less ^ ((y ^ x) & (less ^ y))) >> 31; /* its sign, also where it overflows */
}

/* All bits of a lane where v is `value`, both from 0 to 2^31 - 1. */
INLINE void vec_is(vec_int *is, const vec_int *v, int value)
{
    *is = ((*v ^ value) - 1) >> 31;
}

/* The two faces of ReLU. Forward: zero where v < 0; a NaN stays, so that a run that diverged is
 * seen. */
INLINE void vec_relu(vec *v)
{
    vec_bits bits = (vec_bits)*v;
    *v = (vec)(bits & ~(vec_bits)((vec_int)(bits & (bits + 0x7fffff)) >> 31));
}

/* Backward: zero where y <= 0. */
INLINE void vec_relu_back(vec *d, const vec *y)
{
    vec_bits bits = (vec_bits)*y;
    *d = (vec)((vec_int)*d & ((vec_int)((0 - bits) & ~bits) >> 31));
}

#endif
