/* A pixel has four bytes, so that along rows two inputs make one vector of eight sums; along
 * columns all bytes are alike. `make bench PARTS=loader` has the cost beside decoding. */
#include "bitmap/resample.h"

#include <assert.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/simd.h"

enum { BITS = 22, HALF = 1 << (BITS - 1), CHANNELS = 4, PAIR = 2 };

static void *grown(void *block, size_t *room, size_t wanted, size_t size)
{
    if (wanted <= *room)
        return block;
    xfree(block);
    *room = wanted + wanted / 4;
    return xcalloc(*room, size);
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* Output i of the whole: where it begins to read, how many inputs, and their weights. */
static int weigh(int32_t *weight, int length, double from, double scale, double support, int i,
                 int *inputs)
{
    double centre = from + (i + 0.5) * scale, sum = 0;
    int low = (int)(centre - support + 0.5), high = (int)(centre + support + 0.5);
    low = low < 0 ? 0 : low;
    high = high > length ? length : high;
    for (int x = low; x < high; x++)
        sum += triangle((x - centre + 0.5) * (1 / support));
    for (int x = low; x < high; x++) {
        double w = triangle((x - centre + 0.5) * (1 / support));
        weight[x - low] = (int32_t)(0.5 + (sum != 0 ? w / sum : w) * (1 << BITS));
    }
    *inputs = high - low;
    return low;
}

void resample_axis_set(struct resample_axis *a, double from, double stretch, int size, int first,
                       int count)
{
    assert(from >= 0 && stretch > 0 && size > 0 && first >= 0 && count > 0);
    assert(first + count <= size);
    int begin = (int)from, length = (int)ceil(from + stretch) - begin;
    double scale = stretch / size, support = scale < 1 ? 1 : scale;
    int most = (int)ceil(support) * 2 + 1;
    a->taps = (most + PAIR - 1) / PAIR * PAIR;
    a->count = count;
    a->weight = grown(a->weight, &a->room, (size_t)count * (size_t)a->taps, sizeof *a->weight);
    a->first = grown(a->first, &a->list_room, 2 * (size_t)count, sizeof *a->first);
    a->inputs = a->first + count;
    memset(a->weight, 0, (size_t)count * (size_t)a->taps * sizeof *a->weight);
    a->from = begin + length;
    a->to = 0;
    for (int i = 0; i < count; i++) {
        a->first[i] = begin + weigh(a->weight + (int64_t)i * a->taps, length, from - begin, scale,
                                    support, first + i, &a->inputs[i]);
        int end = a->first[i] + a->inputs[i];
        a->from = a->first[i] < a->from ? a->first[i] : a->from;
        a->to = end > a->to ? end : a->to;
    }
}

static inline __attribute__((always_inline)) uint8_t rounded(int32_t sum)
{
    sum >>= BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

/* `count` rows, of `in_step` and `out_step` bytes: out[a->count][4] of in[][4], whose first pixel
 * is input `origin`. */
struct rows {
    uint8_t *out;
    const uint8_t *in;
    int64_t out_step, in_step;
    int count, origin;
};

static void rows_across_plain(const struct rows *r, const struct resample_axis *a)
{
    for (int i = 0; i < a->count; i++) {
        const int32_t *w = a->weight + (int64_t)i * a->taps;
        for (int b = 0; b < r->count * CHANNELS; b++) {
            int row = b / CHANNELS, c = b % CHANNELS;
            const uint8_t *at =
                r->in + row * r->in_step + (int64_t)(a->first[i] - r->origin) * CHANNELS + c;
            int32_t sum = HALF;
            for (int t = 0; t < a->inputs[i]; t++)
                sum += w[t] * at[t * CHANNELS];
            r->out[row * r->out_step + i * CHANNELS + c] = rounded(sum);
        }
    }
}

#ifdef __x86_64__
/* A vector has two inputs of four bytes each; AT_ONCE rows share their weights. */
enum { AT_ONCE = 4 };

SIMD_TARGET static inline __m128i sum_of(__m256i sum)
{
    __m128i both = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    return _mm_srai_epi32(_mm_add_epi32(both, _mm_set1_epi32(HALF)), BITS);
}

SIMD_TARGET static void four_rows_across(const struct rows *r, const struct resample_axis *a)
{
    const __m256i spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    const int32_t *w = a->weight;
    for (int i = 0; i < a->count; i++, w += a->taps) {
        const uint8_t *at = r->in + (int64_t)(a->first[i] - r->origin) * CHANNELS;
        __m256i sum[AT_ONCE] = {_mm256_setzero_si256(), _mm256_setzero_si256(),
                                _mm256_setzero_si256(), _mm256_setzero_si256()};
        for (int t = 0; t < a->inputs[i]; t += PAIR, at += PAIR * CHANNELS) {
            const __m256i pair = _mm256_castsi128_si256(_mm_loadl_epi64((const void *)(w + t))),
                          weights = _mm256_permutevar8x32_epi32(pair, spread);
#pragma GCC unroll 4
            for (int row = 0; row < AT_ONCE; row++) {
                const void *pixels = at + row * r->in_step;
                const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64(pixels));
                sum[row] = _mm256_add_epi32(sum[row], _mm256_mullo_epi32(wide, weights));
            }
        }
        /* saturating, as the largest sum may round to 256 */
        const __m128i all = _mm_packus_epi16(_mm_packs_epi32(sum_of(sum[0]), sum_of(sum[1])),
                                             _mm_packs_epi32(sum_of(sum[2]), sum_of(sum[3])));
        int32_t pixel[AT_ONCE];
        _mm_storeu_si128((void *)pixel, all);
#pragma GCC unroll 4
        for (int row = 0; row < AT_ONCE; row++)
            memcpy(r->out + row * r->out_step + i * CHANNELS, &pixel[row], CHANNELS);
    }
}
#else
enum { AT_ONCE = 1 };
#define four_rows_across rows_across_plain
#endif

/* `rows` rows across, into r->rows. */
static void all_across(uint8_t *out, const struct bitmap *from, int top, int rows,
                       const struct resample_axis *a)
{
    struct rows r = {.out_step = (int64_t)a->count * CHANNELS,
                     .in_step = (int64_t)from->part.width * CHANNELS,
                     .origin = from->part.left};
    const bool wide = SIMD_AVAILABLE;
    for (int y = 0; y < rows; y += r.count) {
        r.count = wide && y + AT_ONCE <= rows ? AT_ONCE : 1;
        r.out = out + y * r.out_step;
        r.in = from->pixels + (top + y) * r.in_step;
        if (r.count == AT_ONCE)
            four_rows_across(&r, a);
        else
            rows_across_plain(&r, a);
    }
}

/* out[bytes] is the weighted sum of `taps` rows. */
SIMD_LOOP rows_down_loop(uint8_t *out, const uint8_t *rows, int bytes, const int32_t *w, int taps)
{
    enum { SUMS = 32 };
    int x = 0;
    for (; x + SUMS <= bytes; x += SUMS) {
        int32_t sum[SUMS];
        for (int i = 0; i < SUMS; i++)
            sum[i] = HALF;
        for (int t = 0; t < taps; t++)
            for (int i = 0; i < SUMS; i++)
                sum[i] += w[t] * rows[(int64_t)t * bytes + x + i];
        for (int i = 0; i < SUMS; i++)
            out[x + i] = rounded(sum[i]);
    }
    for (; x < bytes; x++) {
        int32_t sum = HALF;
        for (int t = 0; t < taps; t++)
            sum += w[t] * rows[(int64_t)t * bytes + x];
        out[x] = rounded(sum);
    }
}

SIMD(rows_down, (uint8_t * out, const uint8_t *rows, int bytes, const int32_t *w, int taps),
     (out, rows, bytes, w, taps))

void resample(struct resampler *r, const struct bitmap *from, uint8_t *out)
{
    const struct resample_axis *across = &r->across, *down = &r->down;
    const struct bitmap_box *part = &from->part;
    assert(part->left <= across->from && across->to <= part->left + part->width);
    assert(part->top <= down->from && down->to <= part->top + part->height);
    int rows = down->to - down->from, bytes = across->count * CHANNELS;
    r->rows = grown(r->rows, &r->room, (size_t)rows * (size_t)bytes, 1);
    all_across(r->rows, from, down->from - part->top, rows, across);
    for (int i = 0; i < down->count; i++)
        rows_down(out + (int64_t)i * bytes,
                  r->rows + (int64_t)(down->first[i] - down->from) * bytes, bytes,
                  down->weight + (int64_t)i * down->taps, down->inputs[i]);
}

void resampler_close(struct resampler *r)
{
    xfree(r->across.weight);
    xfree(r->across.first);
    xfree(r->down.weight);
    xfree(r->down.first);
    xfree(r->rows);
}
