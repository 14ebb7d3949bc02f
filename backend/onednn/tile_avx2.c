/* By intrinsics, compiled for AVX2 and FMA whatever the rest is compiled for. A vector of the
 * contract is two registers.
 *
 * Of 16 registers 12 hold sums: 6 rows of 16 columns, 8 loads for 12 multiply-adds. Sliding, three
 * sums depend on each other, so the columns are taken by halves and the tile is 11 rows high: else
 * the units would wait for their own results.
 *
 * 12 multiply-adds go with few other instructions: on a rented machine, in bursts, a tile with 18
 * of them fell to two thirds of its speed, with 9 to four fifths (likely the decoding is then
 * shared with a neighbour's thread on the same core). */
#include "backend/onednn/tile_avx2.h"

#ifdef __x86_64__

#include <immintrin.h>

#pragma GCC optimize("align-loops=64", "align-functions=64")

#define AVX2 target("avx2,fma")
#define INLINE __attribute__((AVX2, always_inline)) static inline
#define UNROLL _Pragma("GCC unroll 16")
#define UNROLL_FEW _Pragma("GCC unroll 4")

#define OPAQUE(p)                                                                                  \
    __asm__(""                                                                                     \
            : "+r"(p)) /* a pointer of its own, which the compiler doesn't make out of others   \
                           */

enum { HALF = 8, ROWS = 6, SLIDE_ROWS = 11, AT_ONCE = 4 };

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
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int h = 0; h < 2; h++)
        _mm256_storeu_ps(to + (size_t)r * step + h * HALF, sum[r][h]);
}

/* The instruction that adds to its sum, by name: gcc takes others of the family as well, and copies
 * registers for them. */
INLINE void add_product(__m256 a, __m256 b, __m256 *sum)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(*sum) : "x"(a), "x"(b));
}

INLINE void add_products(const float *factor, __m256 low, __m256 high, __m256 sum[2])
{
    __m256 x = _mm256_broadcast_ss(factor);
    add_product(x, low, &sum[0]);
    add_product(x, high, &sum[1]);
}

INLINE void dot(const struct dot *d, int rows)
{
    __m256 sum[ROWS][2];
    const size_t step = d->source_step;
    load(d->to, d->to_step, d->add, rows, sum);
    for (int t = 0; t < d->taps; t++) {
        const float *a[2] = {(const float *)d->source + d->tap[t].a},
                    *w = (const float *)d->weights + d->tap[t].b;
        a[1] = a[0] + 3 * step;
        OPAQUE(a[1]);
        for (int k = 0; k < d->depth;
             k += AT_ONCE, a[0] += AT_ONCE, a[1] += AT_ONCE, w += AT_ONCE * LANES)
            UNROLL for (int i = 0; i < AT_ONCE; i++)
            {
                __m256 low = _mm256_loadu_ps(w + i * LANES),
                       high = _mm256_loadu_ps(w + i * LANES + HALF);
                UNROLL for (int r = 0; r < rows; r++)
                    add_products(a[r / 3] + (size_t)(r % 3) * step + i, low, high, sum[r]);
            }
    }
    store(d->to, d->to_step, rows, sum);
}

/* Eight columns, from `column` on. A pixel that is missing is read from its neighbour and masked to
 * zero. */
INLINE void slide_half(const struct slide *s, int rows, int column)
{
    __m256 sum[SLIDE_ROWS];
    const __m256 before = _mm256_castsi256_ps(_mm256_set1_epi32(s->before ? -1 : 0));
    const __m256 after = _mm256_castsi256_ps(_mm256_set1_epi32(s->after ? -1 : 0));
    const ptrdiff_t step = (ptrdiff_t)s->source_step, first = s->before ? -step : 0,
                    last = s->after ? rows * step : 0;
    float *to = (float *)s->to + column;
    UNROLL for (int r = 0; r < rows; r++) sum[r] = _mm256_setzero_ps();
    for (int t = 0; t < s->taps; t++) {
        const float *a = (const float *)s->source + s->tap[t].a,
                    *w = (const float *)s->weights + s->tap[t].b + column;
        for (int k = 0; k < s->depth; k++, a++, w += LANES) {
            __m256 b[3];
            UNROLL for (int i = 0; i < 3; i++) b[i] = _mm256_loadu_ps(w + i * s->weight_step);
            add_product(_mm256_and_ps(_mm256_broadcast_ss(a + first), before), b[0], &sum[0]);
            UNROLL for (int r = 0; r < rows; r++)
            {
                __m256 x = _mm256_broadcast_ss(a + r * step);
                UNROLL for (int i = 0; i < 3; i++) if (r + 1 - i >= 0 && r + 1 - i < rows)
                    add_product(x, b[i], &sum[r + 1 - i]);
            }
            add_product(_mm256_and_ps(_mm256_broadcast_ss(a + last), after), b[2], &sum[rows - 1]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) _mm256_storeu_ps(to + (size_t)r * s->to_step, sum[r]);
}

INLINE const float *at_pixel(const struct factor *f, int pixel)
{
    return (const float *)f->at + (size_t)(pixel - f->first) * f->pixel;
}

/* `count` steps of the sum. Distances that the compiler knows are part of the loads. */
INLINE void outer_steps(const float *a, size_t a_step, const float *b, size_t b_step, int count,
                        int rows, __m256 sum[ROWS][2])
{
    UNROLL_FEW for (int k = 0; k < count; k++, a += a_step, b += b_step)
    {
        __m256 low = _mm256_loadu_ps(b), high = _mm256_loadu_ps(b + HALF);
        UNROLL for (int r = 0; r < rows; r++) add_products(a + r, low, high, sum[r]);
    }
}

/* Lines of LANES floats one after the other are what is summed most: AT_ONCE steps cost one of the
 * loop. */
INLINE void outer(const struct outer *o, int rows)
{
    __m256 sum[ROWS][2];
    const bool lines = o->a.step == LANES && o->b.step == LANES;
    load(o->to, o->to_step, o->add, rows, sum);
    for (int t = 0; t < o->taps; t++) {
        const float *a = at_pixel(&o->a, o->tap[t].a), *b = at_pixel(&o->b, o->tap[t].b);
        int left = o->count;
        for (; lines && left >= AT_ONCE;
             left -= AT_ONCE, a += AT_ONCE * LANES, b += AT_ONCE * LANES)
            outer_steps(a, LANES, b, LANES, AT_ONCE, rows, sum);
        outer_steps(a, o->a.step, b, o->b.step, left, rows, sum);
    }
    store(o->to, o->to_step, rows, sum);
}

#define UP_TO_6(what) what(1) what(2) what(3) what(4) what(5) what(6)
#define UP_TO_11(what) UP_TO_6(what) what(7) what(8) what(9) what(10) what(11)
#define COPY(name, r, ...)                                                                         \
    __attribute__((AVX2)) static void name##_##r(const struct name *p)                             \
    {                                                                                              \
        __VA_ARGS__                                                                                \
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

__attribute__((AVX2)) static void pack_transposed(const float *from, size_t step, int depth,
                                                  int vectors, void *to)
{
    size_t width = (size_t)vectors * LANES;
    for (int k = 0; k < depth; k += HALF)
        for (size_t column = 0; column < width; column += HALF) {
            __m256 row[HALF];
            UNROLL for (int i = 0; i < HALF; i++) row[i] =
                _mm256_loadu_ps(from + (column + (size_t)i) * step + k);
            turn(row);
            UNROLL for (int i = 0; i < HALF; i++)
                _mm256_storeu_ps((float *)to + (size_t)(k + i) * width + column, row[i]);
        }
}

#define TARGET AVX2
#define SIMD HALF
#include "backend/onednn/winograd.inc"

const struct tiles tiles_avx2 = {
    .name = "avx2",
    .narrow = true,
    .group_rows = ROWS,
    .shared_bytes = 256 << 10,
    .dot_size = {1, {ROWS}},
    .slide_size = {1, {SLIDE_ROWS}},
    .outer_size = {1, {ROWS}},
    .able = able,
    .dot = run_dot,
    .slide = run_slide,
    .outer = run_outer,
    .pack_transposed = pack_transposed,
    .pack = tile_pack_f32,
    .change = CHANGE_LIST,
};

#endif
