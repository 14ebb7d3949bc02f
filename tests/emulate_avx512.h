/* The AVX-512 intrinsics that backend/onednn uses, lane by lane as Intel's Software Developer's
 * Manual defines them, for machines that lack the instructions. Included before a source that is
 * written for them, it takes their place: the same text then computes the same numbers by AVX2.
 * What it cannot show is what the compiler makes of the text for the real instructions, and how
 * fast. */
#ifndef TESTS_EMULATE_AVX512_H
#define TESTS_EMULATE_AVX512_H

#include <immintrin.h>
#include <stdint.h>

/* What is asked about the machine and of the compiler. Kernels are unrolled only for speed, and
 * took minutes to compile. */
#define __AVX512BF16__ 1
#define __builtin_cpu_supports(feature) __builtin_cpu_supports("avx2")
#define target(isa) target("avx2,fma")
#define UNROLL
#define EMULATED __attribute__((target("avx2,fma"), unused)) static

enum { EMULATED_WORDS = 16, EMULATED_SHORTS = 32, EMULATED_LONGS = 8 };

typedef uint32_t emulated_half __attribute__((vector_size(32)));

/* A register, seen in all ways. */
union emulated {
    __m512 ps;
    __m512i si;
    __m512bh bh;
    __m256 ps_half[2];
    __m256i si_half[2];
    emulated_half half[2];
    float f32[EMULATED_WORDS];
    uint16_t u16[EMULATED_SHORTS];
    uint32_t u32[EMULATED_WORDS];
    uint64_t u64[EMULATED_LONGS];
};

EMULATED __m512 emulated_loadu_ps(const void *from)
{
    __m512 v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

EMULATED __m512i emulated_loadu_si512(const void *from)
{
    return (__m512i)emulated_loadu_ps(from);
}

EMULATED void emulated_storeu_ps(void *to, __m512 v)
{
    __builtin_memcpy(to, &v, sizeof v);
}

EMULATED void emulated_storeu_si512(void *to, __m512i v)
{
    __builtin_memcpy(to, &v, sizeof v);
}

EMULATED __m512i emulated_maskz_set1_epi32(__mmask16 mask, int value)
{
    union emulated v;
    for (int i = 0; i < EMULATED_WORDS; i++)
        v.u32[i] = mask >> i & 1 ? (uint32_t)value : 0;
    return v.si;
}

EMULATED __m512i emulated_set1_epi32(int value)
{
    return emulated_maskz_set1_epi32(0xffff, value);
}

EMULATED __m512 emulated_set1_ps(float value)
{
    return (__m512){0} + value;
}

EMULATED __m512 emulated_setzero_ps(void)
{
    return (__m512){0};
}

/* The first is the last lane. */
#define emulated_set_epi32(p, o, n, m, l, k, j, i, h, g, f, e, d, c, b, a)                         \
    (((union emulated){.u32 = {a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p}}).si)

EMULATED __m512 emulated_fmadd_ps(__m512 a, __m512 b, __m512 c)
{
    union emulated x = {a}, y = {b}, z = {c};
    for (int half = 0; half < 2; half++)
        z.ps_half[half] = _mm256_fmadd_ps(x.ps_half[half], y.ps_half[half], z.ps_half[half]);
    return z.ps;
}

EMULATED __m512 emulated_mask3_fmadd_ps(__m512 a, __m512 b, __m512 c, __mmask16 mask)
{
    union emulated sum = {emulated_fmadd_ps(a, b, c)}, old = {c};
    for (int i = 0; i < EMULATED_WORDS; i++)
        sum.f32[i] = mask >> i & 1 ? sum.f32[i] : old.f32[i];
    return sum.ps;
}

EMULATED __m512i emulated_add_epi32(__m512i a, __m512i b)
{
    union emulated x = {.si = a}, y = {.si = b};
    for (int half = 0; half < 2; half++)
        x.half[half] += y.half[half];
    return x.si;
}

EMULATED __m512i emulated_or_si512(__m512i a, __m512i b)
{
    return a | b;
}

EMULATED __m512i emulated_slli_epi32(__m512i a, unsigned count)
{
    union emulated x = {.si = a};
    for (int i = 0; i < EMULATED_WORDS; i++)
        x.u32[i] = count < 32 ? x.u32[i] << count : 0;
    return x.si;
}

EMULATED __m512i emulated_cvtepu16_epi32(__m256i a)
{
    union emulated from = {.si_half = {a}}, to;
    for (int i = 0; i < EMULATED_WORDS; i++)
        to.u32[i] = from.u16[i];
    return to.si;
}

/* The upper half is undefined: here, NaNs. */
EMULATED __m512i emulated_castsi256_si512(__m256i a)
{
    return (union emulated){.si_half = {a, _mm256_set1_epi32(-1)}}.si;
}

EMULATED __m512i emulated_inserti64x4(__m512i a, __m256i b, int half)
{
    union emulated x = {.si = a};
    x.si_half[half & 1] = b;
    return x.si;
}

/* Of each 128 bits of a and b one half, `high` or not, in turn. */
EMULATED __m512i emulated_unpack_epi32(__m512i a, __m512i b, int high)
{
    union emulated x = {.si = a}, y = {.si = b}, to;
    for (int i = 0; i < EMULATED_WORDS; i++)
        to.u32[i] = (i % 2 ? y : x).u32[i / 4 * 4 + 2 * high + i % 4 / 2];
    return to.si;
}

EMULATED __m512i emulated_unpack_epi64(__m512i a, __m512i b, int high)
{
    union emulated x = {.si = a}, y = {.si = b}, to;
    for (int i = 0; i < EMULATED_LONGS; i++)
        to.u64[i] = (i % 2 ? y : x).u64[i / 2 * 2 + high];
    return to.si;
}

/* Two quarters of a, then two of b, each named by two bits of `which`. */
EMULATED __m512i emulated_shuffle_i32x4(__m512i a, __m512i b, unsigned which)
{
    union emulated x = {.si = a}, y = {.si = b}, to;
    for (int i = 0; i < EMULATED_LONGS; i++)
        to.u64[i] = (i < 4 ? x : y).u64[2 * (which >> i / 2 * 2 & 3) + (unsigned)i % 2];
    return to.si;
}

EMULATED __m512i emulated_permutexvar_epi16(__m512i order, __m512i a)
{
    union emulated at = {.si = order}, x = {.si = a}, to;
    for (int i = 0; i < EMULATED_SHORTS; i++)
        to.u16[i] = x.u16[at.u16[i] % EMULATED_SHORTS];
    return to.si;
}

/* Denormals become zeros of their sign. */
EMULATED void emulated_flush(union emulated *v)
{
    for (int half = 0; half < 2; half++)
        v->half[half] &= (emulated_half)((v->half[half] & 0x7f800000) != 0) | 0x80000000;
}

/* Into the upper halves of words. */
EMULATED void emulated_to_bf16(union emulated *v)
{
    emulated_flush(v);
    for (int half = 0; half < 2; half++) {
        emulated_half bits = v->half[half], nan = (emulated_half)((bits & 0x7fffffff) > 0x7f800000);
        v->half[half] = (nan & (bits | 0x400000)) | (~nan & (bits + 0x7fff + (bits >> 16 & 1)));
    }
}

/* The lower half comes from b. */
EMULATED __m512bh emulated_cvtne2ps_pbh(__m512 a, __m512 b)
{
    union emulated x = {a}, y = {b}, to;
    emulated_to_bf16(&x);
    emulated_to_bf16(&y);
    for (int i = 0; i < EMULATED_SHORTS; i++)
        to.u16[i] = (i < EMULATED_WORDS ? y : x).u16[2 * (i % EMULATED_WORDS) + 1];
    return to.bh;
}

EMULATED __m256bh emulated_cvtneps_pbh(__m512 a)
{
    return (__m256bh)(union emulated){.bh = emulated_cvtne2ps_pbh(a, a)}.si_half[0];
}

/* Of each pair the second product is added first. */
EMULATED __m512 emulated_dpbf16_ps(__m512 sum, __m512bh a, __m512bh b)
{
    union emulated to = {sum}, x = {.bh = a}, y = {.bh = b};
    emulated_flush(&to);
    for (int second = 1; second >= 0; second--) {
        union emulated p, q;
        for (int half = 0; half < 2; half++) {
            p.half[half] = second ? x.half[half] & 0xffff0000 : x.half[half] << 16;
            q.half[half] = second ? y.half[half] & 0xffff0000 : y.half[half] << 16;
        }
        emulated_flush(&p);
        emulated_flush(&q);
        to.ps = emulated_fmadd_ps(p.ps, q.ps, to.ps);
        emulated_flush(&to);
    }
    return to.ps;
}

#define _mm512_add_epi32 emulated_add_epi32
#define _mm512_castsi256_si512 emulated_castsi256_si512
#define _mm512_cvtepu16_epi32 emulated_cvtepu16_epi32
#define _mm512_cvtne2ps_pbh emulated_cvtne2ps_pbh
#define _mm512_cvtneps_pbh emulated_cvtneps_pbh
#define _mm512_dpbf16_ps emulated_dpbf16_ps
#define _mm512_fmadd_ps emulated_fmadd_ps
#define _mm512_inserti64x4 emulated_inserti64x4
#define _mm512_loadu_ps emulated_loadu_ps
#define _mm512_loadu_si512 emulated_loadu_si512
#define _mm512_mask3_fmadd_ps emulated_mask3_fmadd_ps
#define _mm512_maskz_set1_epi32 emulated_maskz_set1_epi32
#define _mm512_or_si512 emulated_or_si512
#define _mm512_permutexvar_epi16 emulated_permutexvar_epi16
#define _mm512_set1_epi32 emulated_set1_epi32
#define _mm512_set1_ps emulated_set1_ps
#define _mm512_set_epi32 emulated_set_epi32
#define _mm512_setzero_ps emulated_setzero_ps
#define _mm512_shuffle_i32x4 emulated_shuffle_i32x4
#define _mm512_slli_epi32 emulated_slli_epi32
#define _mm512_storeu_ps emulated_storeu_ps
#define _mm512_storeu_si512 emulated_storeu_si512
#define _mm512_unpackhi_epi32(a, b) emulated_unpack_epi32(a, b, 1)
#define _mm512_unpackhi_epi64(a, b) emulated_unpack_epi64(a, b, 1)
#define _mm512_unpacklo_epi32(a, b) emulated_unpack_epi32(a, b, 0)
#define _mm512_unpacklo_epi64(a, b) emulated_unpack_epi64(a, b, 0)

#endif
