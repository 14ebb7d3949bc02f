/* By intrinsics, compiled for them whatever the rest is compiled for.
 *
 * At full width 6 rows of 64 columns: 24 accumulators, 4 vectors of one factor and a broadcast of
 * the other, 10 loads for 24 multiply-adds; narrower tiles are taller. VDPBF16PS adds two products
 * of bf16 at once. Each kernel is one text with constant rows and vectors, so that the accumulators
 * become registers: 72 copies of three loops. Measured on Zen 5: 90 to 95 % of the multiply-adds
 * that the registers can do, as long as the weights come from the second cache. */
#include "backend/onednn/tile_avx512.h"

#ifdef __x86_64__

#include <immintrin.h>
#include <string.h>

/* The same loop that lies across one more line of code takes up to a third longer. */
#pragma GCC optimize("align-loops=64", "align-functions=64")

#include "backend/onednn/pack_avx512.h"

enum { TILE_ROWS = 16, SLIDE_VECTORS = 2, SLIDE_ROWS = 16 };

static bool able(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

static bool able_bf16(void)
{
    return able() && __builtin_cpu_supports("avx512bf16");
}

INLINE(F32) void dot_f32(const struct dot *d, int rows, int vectors)
{
    __m512 sum[TILE_ROWS][TILE_VECTORS];
    float *to = d->to;
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
        d->add ? _mm512_loadu_ps(to + (size_t)r * d->to_step + v * LANES) : _mm512_setzero_ps();
    for (int t = 0; t < d->taps; t++) {
        const float *a = (const float *)d->source + d->tap[t].a,
                    *w = (const float *)d->weights + d->tap[t].b;
        for (int k = 0; k < d->depth; k++, w += vectors * LANES) {
            __m512 b[TILE_VECTORS];
            UNROLL for (int v = 0; v < vectors; v++) b[v] = _mm512_loadu_ps(w + v * LANES);
            UNROLL for (int r = 0; r < rows; r++)
            {
                __m512 x = _mm512_set1_ps(a[(size_t)r * d->source_step + (size_t)k]);
                UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
                    _mm512_fmadd_ps(x, b[v], sum[r][v]);
            }
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++)
        _mm512_storeu_ps(to + (size_t)r * d->to_step + v * LANES, sum[r][v]);
}

INLINE(BF16) int32_t pair_at(const uint16_t *p)
{
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return pair;
}

INLINE(BF16) void dot_bf16(const struct dot *d, int rows, int vectors)
{
    __m512 sum[TILE_ROWS][TILE_VECTORS];
    uint16_t *to = d->to;
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
        _mm512_setzero_ps();
    for (int t = 0; t < d->taps; t++) {
        const uint16_t *a = (const uint16_t *)d->source + d->tap[t].a,
                       *w = (const uint16_t *)d->weights + d->tap[t].b;
        for (int k = 0; k < d->depth; k += 2, w += 2 * vectors * LANES) {
            __m512bh b[TILE_VECTORS];
            UNROLL for (int v = 0; v < vectors; v++) b[v] =
                (__m512bh)_mm512_loadu_si512(w + 2 * v * LANES);
            UNROLL for (int r = 0; r < rows; r++)
            {
                __m512bh x = (__m512bh)_mm512_set1_epi32(
                    pair_at(a + (size_t)r * d->source_step + (size_t)k));
                UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
                    _mm512_dpbf16_ps(sum[r][v], x, b[v]);
            }
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++)
        _mm256_storeu_si256((__m256i *)(void *)(to + (size_t)r * d->to_step + v * LANES),
                            (__m256i)_mm512_cvtneps_pbh(sum[r][v]));
}

/* A pixel that is missing is read from its neighbour and masked out of the only sum that it would
 * enter. */
INLINE(F32) void slide_f32(const struct slide *s, int rows, int vectors)
{
    __m512 sum[SLIDE_ROWS][SLIDE_VECTORS];
    const __mmask16 before = s->before ? 0xffff : 0, after = s->after ? 0xffff : 0;
    const ptrdiff_t step = (ptrdiff_t)s->source_step, first = s->before ? -step : 0,
                    last = s->after ? rows * step : 0;
    float *to = s->to;
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
        _mm512_setzero_ps();
    for (int t = 0; t < s->taps; t++) {
        const float *a = (const float *)s->source + s->tap[t].a,
                    *w = (const float *)s->weights + s->tap[t].b;
        for (int k = 0; k < s->depth; k++, a++, w += vectors * LANES) {
            __m512 b[3][SLIDE_VECTORS];
            UNROLL for (int i = 0; i < 3; i++) UNROLL for (int v = 0; v < vectors; v++) b[i][v] =
                _mm512_loadu_ps(w + i * s->weight_step + v * LANES);
            UNROLL for (int r = 0; r < rows; r++)
            {
                __m512 x = _mm512_set1_ps(a[r * step]);
                UNROLL for (int i = 0; i < 3; i++) if (r + 1 - i >= 0 && r + 1 - i < rows)
                    UNROLL for (int v = 0; v < vectors; v++) sum[r + 1 - i][v] =
                        _mm512_fmadd_ps(x, b[i][v], sum[r + 1 - i][v]);
            }
            __m512 x = _mm512_set1_ps(a[first]), y = _mm512_set1_ps(a[last]);
            UNROLL for (int v = 0; v < vectors; v++)
            {
                sum[0][v] = _mm512_mask3_fmadd_ps(x, b[0][v], sum[0][v], before);
                sum[rows - 1][v] = _mm512_mask3_fmadd_ps(y, b[2][v], sum[rows - 1][v], after);
            }
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++)
        _mm512_storeu_ps(to + (size_t)r * s->to_step + v * LANES, sum[r][v]);
}

/* The missing pixel is zero: _mm512_mask_dpbf16_ps has only 8 of its 16 lanes' masks in gcc 12,
 * once the mask is spilled. */
INLINE(BF16) void slide_bf16(const struct slide *s, int rows, int vectors)
{
    __m512 sum[SLIDE_ROWS][SLIDE_VECTORS];
    const __mmask16 before = s->before ? 0xffff : 0, after = s->after ? 0xffff : 0;
    const ptrdiff_t step = (ptrdiff_t)s->source_step, first = s->before ? -step : 0,
                    last = s->after ? rows * step : 0;
    uint16_t *to = s->to;
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
        _mm512_setzero_ps();
    for (int t = 0; t < s->taps; t++) {
        const uint16_t *a = (const uint16_t *)s->source + s->tap[t].a,
                       *w = (const uint16_t *)s->weights + s->tap[t].b;
        for (int k = 0; k < s->depth; k += 2, a += 2, w += 2 * vectors * LANES) {
            __m512bh b[3][SLIDE_VECTORS];
            UNROLL for (int i = 0; i < 3; i++) UNROLL for (int v = 0; v < vectors; v++) b[i][v] =
                (__m512bh)_mm512_loadu_si512(w + i * s->weight_step + 2 * v * LANES);
            UNROLL for (int r = 0; r < rows; r++)
            {
                __m512bh x = (__m512bh)_mm512_set1_epi32(pair_at(a + r * step));
                UNROLL for (int i = 0; i < 3; i++) if (r + 1 - i >= 0 && r + 1 - i < rows)
                    UNROLL for (int v = 0; v < vectors; v++) sum[r + 1 - i][v] =
                        _mm512_dpbf16_ps(sum[r + 1 - i][v], x, b[i][v]);
            }
            __m512bh x = (__m512bh)_mm512_maskz_set1_epi32(before, pair_at(a + first));
            __m512bh y = (__m512bh)_mm512_maskz_set1_epi32(after, pair_at(a + last));
            UNROLL for (int v = 0; v < vectors; v++)
            {
                sum[0][v] = _mm512_dpbf16_ps(sum[0][v], x, b[0][v]);
                sum[rows - 1][v] = _mm512_dpbf16_ps(sum[rows - 1][v], y, b[2][v]);
            }
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++)
        _mm256_storeu_si256((__m256i *)(void *)(to + (size_t)r * s->to_step + v * LANES),
                            (__m256i)_mm512_cvtneps_pbh(sum[r][v]));
}

INLINE(F32)
void load_sums(const struct outer *o, int rows, int vectors, __m512 sum[TILE_ROWS][TILE_VECTORS])
{
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
        o->add ? _mm512_loadu_ps(o->to + (size_t)r * o->to_step + v * LANES) : _mm512_setzero_ps();
}

INLINE(F32)
void store_sums(const struct outer *o, int rows, int vectors, __m512 sum[TILE_ROWS][TILE_VECTORS])
{
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++)
        _mm512_storeu_ps(o->to + (size_t)r * o->to_step + v * LANES, sum[r][v]);
}

INLINE(F32) const void *at_pixel(const struct factor *f, int pixel)
{
    return (const float *)f->at +
           (size_t)(pixel - f->first) * f->pixel; /* a pair is as large as a float */
}

INLINE(F32) void outer_f32(const struct outer *o, int rows, int vectors)
{
    __m512 sum[TILE_ROWS][TILE_VECTORS];
    load_sums(o, rows, vectors, sum);
    for (int t = 0; t < o->taps; t++) {
        const float *a = at_pixel(&o->a, o->tap[t].a), *b = at_pixel(&o->b, o->tap[t].b);
        for (int k = 0; k < o->count; k++, a += o->a.step, b += o->b.step) {
            __m512 x[TILE_VECTORS];
            UNROLL for (int v = 0; v < vectors; v++) x[v] = _mm512_loadu_ps(b + v * LANES);
            UNROLL for (int r = 0; r < rows; r++)
            {
                __m512 y = _mm512_set1_ps(a[r]);
                UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
                    _mm512_fmadd_ps(y, x[v], sum[r][v]);
            }
        }
    }
    store_sums(o, rows, vectors, sum);
}

INLINE(BF16) void outer_bf16(const struct outer *o, int rows, int vectors)
{
    __m512 sum[TILE_ROWS][TILE_VECTORS];
    load_sums(o, rows, vectors, sum);
    for (int t = 0; t < o->taps; t++) {
        const uint16_t *a = at_pixel(&o->a, o->tap[t].a), *b = at_pixel(&o->b, o->tap[t].b);
        for (int k = 0; k < o->count; k++, a += 2 * o->a.step, b += 2 * o->b.step) {
            __m512bh x[TILE_VECTORS];
            UNROLL for (int v = 0; v < vectors; v++) x[v] =
                (__m512bh)_mm512_loadu_si512(b + 2 * v * LANES);
            UNROLL for (int r = 0; r < rows; r++)
            {
                __m512bh y = (__m512bh)_mm512_set1_epi32(pair_at(a + 2 * r));
                UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
                    _mm512_dpbf16_ps(sum[r][v], y, x[v]);
            }
        }
    }
    store_sums(o, rows, vectors, sum);
}

#define UP_TO_6(what, v) what(1, v) what(2, v) what(3, v) what(4, v) what(5, v) what(6, v)
#define UP_TO_8(what, v) UP_TO_6(what, v) what(7, v) what(8, v)
#define UP_TO_12(what, v) UP_TO_8(what, v) what(9, v) what(10, v) what(11, v) what(12, v)
#define UP_TO_16(what, v) UP_TO_12(what, v) what(13, v) what(14, v) what(15, v) what(16, v)
#define COPY(isa, name, type, r, v)                                                                \
    __attribute__((isa)) static void name##_##r##_##v(const struct type *p)                        \
    {                                                                                              \
        name(p, r, v);                                                                             \
    }
#define COPY_DOT(r, v) COPY(F32, dot_f32, dot, r, v) COPY(BF16, dot_bf16, dot, r, v)
#define COPY_SLIDE(r, v) COPY(F32, slide_f32, slide, r, v) COPY(BF16, slide_bf16, slide, r, v)
#define COPY_OUTER(r, v) COPY(F32, outer_f32, outer, r, v) COPY(BF16, outer_bf16, outer, r, v)
#define DOT_F32(r, v) [r - 1] = dot_f32_##r##_##v,
#define DOT_BF16(r, v) [r - 1] = dot_bf16_##r##_##v,
#define SLIDE_F32(r, v) [r - 1] = slide_f32_##r##_##v,
#define SLIDE_BF16(r, v) [r - 1] = slide_bf16_##r##_##v,
#define OUTER_F32(r, v) [r - 1] = outer_f32_##r##_##v,
#define OUTER_BF16(r, v) [r - 1] = outer_bf16_##r##_##v,

UP_TO_12(COPY_DOT, 1)
UP_TO_12(COPY_DOT, 2)
UP_TO_8(COPY_DOT, 3)
UP_TO_6(COPY_DOT, 4)
UP_TO_16(COPY_SLIDE, 1)
UP_TO_8(COPY_SLIDE, 2)
UP_TO_16(COPY_OUTER, 1)
UP_TO_8(COPY_OUTER, 2)
UP_TO_6(COPY_OUTER, 3)
UP_TO_6(COPY_OUTER, 4)

static void (*const dots[2][TILE_VECTORS][TILE_ROWS])(const struct dot *) = {
    {{UP_TO_12(DOT_F32, 1)}, {UP_TO_12(DOT_F32, 2)}, {UP_TO_8(DOT_F32, 3)}, {UP_TO_6(DOT_F32, 4)}},
    {{UP_TO_12(DOT_BF16, 1)},
     {UP_TO_12(DOT_BF16, 2)},
     {UP_TO_8(DOT_BF16, 3)},
     {UP_TO_6(DOT_BF16, 4)}},
};
static void (*const slides[2][SLIDE_VECTORS][SLIDE_ROWS])(const struct slide *) = {
    {{UP_TO_16(SLIDE_F32, 1)}, {UP_TO_8(SLIDE_F32, 2)}},
    {{UP_TO_16(SLIDE_BF16, 1)}, {UP_TO_8(SLIDE_BF16, 2)}},
};
static void (*const outers[2][TILE_VECTORS][TILE_ROWS])(const struct outer *) = {
    {{UP_TO_16(OUTER_F32, 1)},
     {UP_TO_8(OUTER_F32, 2)},
     {UP_TO_6(OUTER_F32, 3)},
     {UP_TO_6(OUTER_F32, 4)}},
    {{UP_TO_16(OUTER_BF16, 1)},
     {UP_TO_8(OUTER_BF16, 2)},
     {UP_TO_6(OUTER_BF16, 3)},
     {UP_TO_6(OUTER_BF16, 4)}},
};

static void run_dot_f32(const struct dot *p, int rows, int vectors)
{
    dots[0][vectors - 1][rows - 1](p);
}

static void run_dot_bf16(const struct dot *p, int rows, int vectors)
{
    dots[1][vectors - 1][rows - 1](p);
}

static void run_slide_f32(const struct slide *p, int rows, int vectors)
{
    slides[0][vectors - 1][rows - 1](p);
}

static void run_slide_bf16(const struct slide *p, int rows, int vectors)
{
    slides[1][vectors - 1][rows - 1](p);
}

static void run_outer_f32(const struct outer *p, int rows, int vectors)
{
    outers[0][vectors - 1][rows - 1](p);
}

static void run_outer_bf16(const struct outer *p, int rows, int vectors)
{
    outers[1][vectors - 1][rows - 1](p);
}

__attribute__((F32)) static void pack_transposed_f32(const float *from, size_t step, int depth,
                                                     int vectors, void *to)
{
    for (int k = 0; k < depth; k += LANES)
        for (int v = 0; v < vectors; v++) {
            __m512i row[LANES];
            UNROLL for (int i = 0; i < LANES; i++) row[i] =
                _mm512_loadu_si512(from + (size_t)(v * LANES + i) * step + k);
            turn(row);
            UNROLL for (int i = 0; i < LANES; i++) _mm512_storeu_si512(
                (float *)to + ((size_t)(k + i) * (size_t)vectors + (size_t)v) * LANES, row[i]);
        }
}

__attribute__((BF16)) static void pack_transposed_bf16(const float *from, size_t step, int depth,
                                                       int vectors, void *to)
{
    const struct packed p = {to, (size_t)vectors * sizeof(__m512i), sizeof(__m512i)};
    pack_columns(from, step, depth, vectors, p);
}

__attribute__((BF16)) static void pack_bf16(const float *from, size_t step, int depth, int vectors,
                                            void *to)
{
    const struct packed p = {to, (size_t)vectors * sizeof(__m512i), sizeof(__m512i)};
    pack_rows(from, step, depth, vectors, p);
}

/* The last elements of a row, fewer than a vector: nothing beyond them is touched. */
static void pair_rest(const uint16_t *a, const uint16_t *b, size_t count, uint16_t *to)
{
    for (size_t i = 0; i < count; i++) {
        to[2 * i] = a[i];
        to[2 * i + 1] = b ? b[i] : 0;
    }
}

__attribute__((F32)) static void pair(const void *a, const void *b, size_t count, void *to)
{
    const __m512i order = in_turn();
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        __m256i first =
            _mm256_loadu_si256((const __m256i *)(const void *)((const uint16_t *)a + i));
        __m256i second =
            b ? _mm256_loadu_si256((const __m256i *)(const void *)((const uint16_t *)b + i))
              : _mm256_setzero_si256();
        __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
        _mm512_storeu_si512((uint16_t *)to + 2 * i, _mm512_permutexvar_epi16(order, both));
    }
    pair_rest((const uint16_t *)a + i, b ? (const uint16_t *)b + i : NULL, count - i,
              (uint16_t *)to + 2 * i);
}

#define TARGET F32
#define SIMD LANES
#include "backend/onednn/winograd.inc"

/* Rows of dot are far apart in memory, at powers of two: more of them than the first cache has ways
 * would push each other out. */
#define SIZES                                                                                      \
    .dot_size = {4, {12, 12, 8, 6}}, .slide_size = {2, {16, 8}}, .outer_size = {4, {16, 8, 6, 6}}, \
    .group_rows = 12, .shared_bytes = 256 << 10

const struct tiles tiles_avx512 = {
    .name = "avx512",
    SIZES,
    .able = able,
    .dot = run_dot_f32,
    .slide = run_slide_f32,
    .outer = run_outer_f32,
    .pack_transposed = pack_transposed_f32,
    .pack = tile_pack_f32,
    .change = CHANGE_LIST,
};

const struct tiles tiles_avx512_bf16 = {
    .name = "avx512_bf16",
    .bf16 = true,
    SIZES,
    .able = able_bf16,
    .dot = run_dot_bf16,
    .slide = run_slide_bf16,
    .outer = run_outer_bf16,
    .pack_transposed = pack_transposed_bf16,
    .pack = pack_bf16,
    .pair = pair,
};

#endif
