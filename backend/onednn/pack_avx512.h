/* Factors of bf16 brought into pairs along the sum, by AVX-512: what its tiles and AMX's have in
 * common. The text is compiled in each of their files; tests/ compile it once more, emulated. */
#ifndef BACKEND_ONEDNN_PACK_AVX512_H
#define BACKEND_ONEDNN_PACK_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/onednn/tile.h"

#define F32 target("avx512f,avx512bw,avx512vl,avx512dq")
#define BF16 target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")
#define INLINE(isa) __attribute__((isa, always_inline)) static inline
#ifndef UNROLL
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Sixteen rows of sixteen words become sixteen columns. */
INLINE(F32) void turn(__m512i row[LANES])
{
    __m512i t[LANES];
    UNROLL for (int i = 0; i < LANES; i += 2)
    {
        t[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
    UNROLL for (int i = 0; i < LANES; i += 4)
    {
        row[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        row[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        row[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        row[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    UNROLL for (int i = 0; i < 4; i++)
    {
        t[i] = _mm512_shuffle_i32x4(row[i], row[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(row[i], row[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], 0xdd);
    }
    UNROLL for (int i = 0; i < 8; i++)
    {
        row[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        row[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    }
}

/* Where packed pairs lie: bytes from one pair along the depth to the next, and from one vector to
 * the next. */
struct packed {
    void *to;
    size_t pair, vector;
};

enum {
    AHEAD = 8
}; /* rows, or lines of a row, that are asked for early: weights come from memory */

/* A word is a pair along the depth, so sixteen words of a column are 32 numbers; the rest of a
 * depth of 16 reads as zero. */
INLINE(BF16)
void pack_columns(const float *from, size_t step, int depth, int vectors, struct packed p)
{
    for (int k = 0; k < depth; k += 2 * LANES)
        for (int v = 0; v < vectors; v++) {
            __m512i row[LANES];
            int pairs = depth - k < 2 * LANES ? LANES / 2 : LANES;
            char *to = (char *)p.to + (size_t)(k / 2) * p.pair + (size_t)v * p.vector;
            UNROLL for (int i = 0; i < LANES; i++)
            {
                const float *at = from + (size_t)(v * LANES + i) * step + k;
                __m512 second = pairs == LANES ? _mm512_loadu_ps(at + LANES) : _mm512_setzero_ps();
                _mm_prefetch((const char *)(at + AHEAD * LANES), _MM_HINT_T0);
                _mm_prefetch((const char *)(at + (AHEAD + 1) * LANES), _MM_HINT_T0);
                row[i] = (__m512i)_mm512_cvtne2ps_pbh(second, _mm512_loadu_ps(at));
            }
            turn(row);
            UNROLL for (int i = 0; i < LANES; i++) if (i < pairs)
                _mm512_storeu_si512(to + (size_t)i * p.pair, row[i]);
        }
}

/* 0, 16, 1, 17, ...: the words of two halves in turn. */
INLINE(F32) __m512i in_turn(void)
{
    const __m512i low = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_or_si512(low,
                           _mm512_slli_epi32(_mm512_add_epi32(low, _mm512_set1_epi32(LANES)), 16));
}

INLINE(BF16) void pack_rows(const float *from, size_t step, int depth, int vectors, struct packed p)
{
    const __m512i order = in_turn();
    for (int k = 0; k < depth; k += 2)
        for (int v = 0; v < vectors; v++) {
            const float *at = from + (size_t)k * step + v * LANES;
            __m512i both =
                (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(at + step), _mm512_loadu_ps(at));
            _mm_prefetch((const char *)(at + AHEAD * step), _MM_HINT_T0);
            _mm_prefetch((const char *)(at + (AHEAD + 1) * step), _MM_HINT_T0);
            _mm512_storeu_si512((char *)p.to + (size_t)(k / 2) * p.pair + (size_t)v * p.vector,
                                _mm512_permutexvar_epi16(order, both));
        }
}

#endif
