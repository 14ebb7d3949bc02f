/* By intrinsics, compiled for AVX2 and FMA whatever the rest is compiled for. A vector of the contract is two registers.
 *
 * Of 16 registers 12 hold sums: 6 rows of 16 columns, 8 loads for 12 multiply-adds. Sliding, three sums depend on each other, so the
 * columns are taken by halves and the tile is 11 rows high: else the units would wait for their own results. */
#include "backend/onednn/tile_avx2.h"

#ifdef __x86_64__

#include <immintrin.h>

#pragma GCC optimize("align-loops=64", "align-functions=64")

#define AVX2 target("avx2,fma")
#define INLINE __attribute__((AVX2, always_inline)) static inline
#define UNROLL _Pragma("GCC unroll 16")

enum { HALF = 8, ROWS = 6, SLIDE_ROWS = 11 };

static bool able(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

INLINE void load(const float *to, size_t step, bool add, int rows, __m256 sum[ROWS][2])
{
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int h = 0; h < 2; h++) sum[r][h] =
        add ? _mm256_loadu_ps(to + (size_t)r * step + h * HALF) : _mm256_setzero_ps();
}

INLINE void store(float *to, size_t step, int rows, __m256 sum[ROWS][2])
{
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int h = 0; h < 2; h++) _mm256_storeu_ps(to + (size_t)r * step + h * HALF, sum[r][h]);
}

INLINE void dot(const struct dot *d, int rows)
{
    __m256 sum[ROWS][2];
    load(d->to, d->to_step, d->add, rows, sum);
    for (int t = 0; t < d->taps; t++) {
        const float *a = (const float *)d->source + d->tap[t].a, *w = (const float *)d->weights + d->tap[t].b;
        for (int k = 0; k < d->depth; k++, w += LANES) {
            __m256 low = _mm256_loadu_ps(w), high = _mm256_loadu_ps(w + HALF);
            UNROLL for (int r = 0; r < rows; r++)
            {
                __m256 x = _mm256_broadcast_ss(a + (size_t)r * d->source_step + (size_t)k);
                sum[r][0] = _mm256_fmadd_ps(x, low, sum[r][0]);
                sum[r][1] = _mm256_fmadd_ps(x, high, sum[r][1]);
            }
        }
    }
    store(d->to, d->to_step, rows, sum);
}

/* Eight columns, from `column` on. A pixel that is missing is read from its neighbour and masked to zero. */
INLINE void slide_half(const struct slide *s, int rows, int column)
{
    __m256 sum[SLIDE_ROWS];
    const __m256 before = _mm256_castsi256_ps(_mm256_set1_epi32(s->before ? -1 : 0));
    const __m256 after = _mm256_castsi256_ps(_mm256_set1_epi32(s->after ? -1 : 0));
    const ptrdiff_t step = (ptrdiff_t)s->source_step, first = s->before ? -step : 0, last = s->after ? rows * step : 0;
    float *to = (float *)s->to + column;
    UNROLL for (int r = 0; r < rows; r++) sum[r] = _mm256_setzero_ps();
    for (int t = 0; t < s->taps; t++) {
        const float *a = (const float *)s->source + s->tap[t].a, *w = (const float *)s->weights + s->tap[t].b + column;
        for (int k = 0; k < s->depth; k++, a++, w += LANES) {
            __m256 b[3];
            UNROLL for (int i = 0; i < 3; i++) b[i] = _mm256_loadu_ps(w + i * s->weight_step);
            sum[0] = _mm256_fmadd_ps(_mm256_and_ps(_mm256_broadcast_ss(a + first), before), b[0], sum[0]);
            UNROLL for (int r = 0; r < rows; r++)
            {
                __m256 x = _mm256_broadcast_ss(a + r * step);
                UNROLL for (int i = 0; i < 3; i++) if (r + 1 - i >= 0 && r + 1 - i < rows) sum[r + 1 - i] =
                    _mm256_fmadd_ps(x, b[i], sum[r + 1 - i]);
            }
            sum[rows - 1] = _mm256_fmadd_ps(_mm256_and_ps(_mm256_broadcast_ss(a + last), after), b[2], sum[rows - 1]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) _mm256_storeu_ps(to + (size_t)r * s->to_step, sum[r]);
}

INLINE const float *at_pixel(const struct factor *f, int pixel)
{
    return (const float *)f->at + (size_t)(pixel - f->first) * f->pixel;
}

INLINE void outer(const struct outer *o, int rows)
{
    __m256 sum[ROWS][2];
    load(o->to, o->to_step, o->add, rows, sum);
    for (int t = 0; t < o->taps; t++) {
        const float *a = at_pixel(&o->a, o->tap[t].a), *b = at_pixel(&o->b, o->tap[t].b);
        for (int k = 0; k < o->count; k++, a += o->a.step, b += o->b.step) {
            __m256 low = _mm256_loadu_ps(b), high = _mm256_loadu_ps(b + HALF);
            UNROLL for (int r = 0; r < rows; r++)
            {
                __m256 y = _mm256_broadcast_ss(a + r);
                sum[r][0] = _mm256_fmadd_ps(y, low, sum[r][0]);
                sum[r][1] = _mm256_fmadd_ps(y, high, sum[r][1]);
            }
        }
    }
    store(o->to, o->to_step, rows, sum);
}

#define UP_TO_6(what) what(1) what(2) what(3) what(4) what(5) what(6)
#define UP_TO_11(what) UP_TO_6(what) what(7) what(8) what(9) what(10) what(11)
#define COPY(name, r, ...)                                                                                                                 \
    __attribute__((AVX2)) static void name##_##r(const struct name *p)                                                                     \
    {                                                                                                                                      \
        __VA_ARGS__                                                                                                                        \
    }
#define COPY_DOT(r) COPY(dot, r, dot(p, r);)
#define COPY_SLIDE(r) COPY(slide, r, slide_half(p, r, 0); slide_half(p, r, HALF);)
#define COPY_OUTER(r) COPY(outer, r, outer(p, r);)
#define DOT(r) dot_##r,
#define SLIDE(r) slide_##r,
#define OUTER(r) outer_##r,

UP_TO_6(COPY_DOT)
UP_TO_11(COPY_SLIDE)
UP_TO_6(COPY_OUTER)

static void (*const dots[ROWS])(const struct dot *) = {UP_TO_6(DOT)};
static void (*const slides[SLIDE_ROWS])(const struct slide *) = {UP_TO_11(SLIDE)};
static void (*const outers[ROWS])(const struct outer *) = {UP_TO_6(OUTER)};

static void run_dot(const struct dot *p, int rows, int vectors)
{
    (void)vectors;
    dots[rows - 1](p);
}

static void run_slide(const struct slide *p, int rows, int vectors)
{
    (void)vectors;
    slides[rows - 1](p);
}

static void run_outer(const struct outer *p, int rows, int vectors)
{
    (void)vectors;
    outers[rows - 1](p);
}

/* Eight rows of eight words become eight columns. */
INLINE void turn(__m256 row[HALF])
{
    __m256 t[HALF];
    UNROLL for (int i = 0; i < HALF; i += 2)
    {
        t[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
    }
    UNROLL for (int i = 0; i < HALF; i += 4)
    {
        row[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        row[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        row[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        row[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    UNROLL for (int i = 0; i < HALF / 2; i++)
    {
        t[i] = _mm256_permute2f128_ps(row[i], row[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(row[i], row[i + 4], 0x31);
    }
    UNROLL for (int i = 0; i < HALF; i++) row[i] = t[i];
}

__attribute__((AVX2)) static void pack_turned(const float *from, size_t step, int depth, int vectors, void *to)
{
    size_t width = (size_t)vectors * LANES;
    for (int k = 0; k < depth; k += HALF)
        for (size_t column = 0; column < width; column += HALF) {
            __m256 row[HALF];
            UNROLL for (int i = 0; i < HALF; i++) row[i] = _mm256_loadu_ps(from + (column + (size_t)i) * step + k);
            turn(row);
            UNROLL for (int i = 0; i < HALF; i++) _mm256_storeu_ps((float *)to + (size_t)(k + i) * width + column, row[i]);
        }
}

#define TARGET AVX2
#define WIDE HALF
#include "backend/onednn/winograd.inc"

const struct tiles tiles_avx2 = {
    .name = "avx2",
    .narrow = true,
    .dot_size = {1, {ROWS}},
    .slide_size = {1, {SLIDE_ROWS}},
    .outer_size = {1, {ROWS}},
    .able = able,
    .dot = run_dot,
    .slide = run_slide,
    .outer = run_outer,
    .pack_turned = pack_turned,
    .pack = tile_pack_f32,
    .change = CHANGE_LIST,
};

#endif
