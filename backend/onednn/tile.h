/* The innermost loops of our own convolutions: 24 sums or fewer held in AVX-512 registers, float32 or bf16 with float32 sums.
 *
 * At full width 6 rows of 64 columns: 24 accumulators, 4 vectors of one factor and a broadcast of the other, 10 loads for 24
 * multiply-adds; narrower tiles are taller. bf16 factors lie in pairs along the sum (VDPBF16PS adds two products at once). A row's
 * neighbours in memory may be any distance apart. */
#ifndef BACKEND_ONEDNN_TILE_H
#define BACKEND_ONEDNN_TILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TILE_VECTORS = 4, TILE_ROWS = 16, LANES = 16, PANEL = TILE_VECTORS * LANES, SLIDE_VECTORS = 2, SLIDE_ROWS = 16 };

/* At most so many rows, by the number of vectors across. Rows of dot are far apart in memory, at powers of two: more of them than
 * the first cache has ways would push each other out. */
static inline int dot_rows(int vectors)
{
    return vectors < 3 ? 12 : vectors == 3 ? 8 : 6;
}

static inline int outer_rows(int vectors)
{
    return vectors == 1 ? 16 : vectors == 2 ? 8 : 6;
}

static inline int slide_rows(int vectors)
{
    return vectors == 1 ? 16 : 8;
}

/* Two places that are multiplied. */
struct tap {
    int32_t a, b;
};

/* to[row][column] (+)= sum over taps and k < depth of source[row][tap.a + k] weights[tap.b + k][column]; taps count elements. A row
 * of weights is as wide as the tile; in bf16 two rows lie interleaved and depth is even. `to` is of the source's type. */
struct dot {
    const void *source, *weights;
    const struct tap *tap;
    int taps, depth;
    size_t source_step, to_step; /* elements from row to row */
    void *to;
    bool add; /* float32 only */
};

/* The same where the rows of the tile are neighbouring pixels and each tap of the list stands for three side by side, of which the
 * middle one is given: to[row][column] = sum over taps, i < 3 and k < depth of source[(row + i - 1) source_step + tap.a + k]
 * weights[tap.b + i weight_step + k][column]. A pixel serves up to three rows, so little is loaded even by narrow tiles. The pixel
 * before the first row and the one after the last may be missing. */
struct slide {
    const void *source, *weights;
    const struct tap *tap;
    int taps, depth;
    size_t source_step, to_step;
    ptrdiff_t weight_step;
    void *to;
    bool before, after;
};

/* One factor of an outer product: `at` is pixel `first`; elements from pixel to pixel and from one k to the next. */
struct factor {
    const void *at;
    int first;
    size_t pixel, step;
};

/* to[row][column] (+)= sum over taps and k < count of a[tap.a][k][row] b[tap.b][k][column]; taps count pixels, `to` is float32. In
 * bf16 an element is a pair of numbers. */
struct outer {
    struct factor a, b;
    const struct tap *tap;
    int taps, count;
    size_t to_step;
    float *to;
    bool add;
};

bool tile_able(bool bf16); /* does this machine have the instructions? */
void tile_dot(const struct dot *d, bool bf16, int rows, int vectors);
void tile_slide(const struct slide *s, bool bf16, int rows, int vectors); /* one or two vectors */
void tile_outer(const struct outer *o, bool bf16, int rows, int vectors);

/* Weights, float32, for tile_dot: `depth` rows of 16 vectors' columns. Turned: element (k, column) is from[column step + k], else
 * from[k step + column]. Depth and the number of columns are multiples of 16. */
void tile_pack_turned(const float *from, size_t step, int depth, int vectors, bool bf16, void *to);
void tile_pack(const float *from, size_t step, int depth, int vectors, bool bf16, void *to);

/* Two rows of bf16 as one of pairs; b == NULL: zeros. count is a multiple of 16. */
void tile_pair(const void *a, const void *b, size_t count, void *to);

#endif
