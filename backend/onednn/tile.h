/* The innermost loops of our own convolutions, for each instruction set and type of numbers: some
 * sums held in registers.
 *
 * A tile is some rows by some vectors of LANES columns; how many of both the registers hold, the
 * instruction set says. A row's neighbours in memory may be any distance apart. Factors of bf16 lie
 * in pairs along the sum, sums are always float32. An instruction set is one file with one table a
 * type, and a line in tile.c's list. */
#ifndef BACKEND_ONEDNN_TILE_H
#define BACKEND_ONEDNN_TILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LANES = 16,
    TILE_VECTORS = 4
}; /* columns of a vector, whatever a register holds; vectors that any tile has at most */

/* Two places that are multiplied. */
struct tap {
    int32_t a, b;
};

/* to[row][column] (+)= sum over taps and k < depth of source[row][tap.a + k] weights[tap.b +
 * k][column]; taps count elements. Weights lie as the tile's pack leaves them: a row is as wide as
 * the tile, in bf16 two rows lie interleaved (AMX: each vector's columns by themselves). Depth is a
 * multiple of LANES. `to` is of the source's type. */
struct dot {
    const void *source, *weights;
    const struct tap *tap;
    int taps, depth;
    size_t source_step, to_step; /* elements from row to row */
    void *to;
    bool add; /* float32 only */
};

/* The same where the rows of the tile are neighbouring pixels and each tap of the list means
 * three side by side, of which the middle one is given: to[row][column] = sum over taps, i < 3 and
 * k < depth of source[(row + i - 1) source_step + tap.a + k] weights[tap.b + i weight_step +
 * k][column]. A pixel serves up to three rows, so little is loaded even by narrow tiles. The pixel
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

/* One factor of an outer product: `at` is pixel `first`; elements from pixel to pixel and from one
 * k to the next. */
struct factor {
    const void *at;
    int first;
    size_t pixel, step;
};

/* to[row][column] (+)= sum over taps and k < count of a[tap.a][k][row] b[tap.b][k][column]; taps
 * count pixels, `to` is float32. In bf16 an element is a pair of numbers. */
struct outer {
    struct factor a, b;
    const struct tap *tap;
    int taps, count;
    size_t to_step;
    float *to;
    bool add;
};

/* What is packed as one place: the channels of two pixels; b, or both may be NULL: zeros. */
struct pixel_pair {
    const uint16_t *a, *b;
};

/* The same of factors that are packed for sums along rows of pixels (weight_gradient_rows.h). A
 * place is a pair of pixels. A tile of 16 places by 16 channels is 1024 bytes: in b a line of pairs
 * for each place, in a for each channel. to[row][column] (+)= sum over groups, rows, chunks and 16
 * places of a[place][row] b[place][column], for one or two panels of 16 channels of each factor. */
struct outer_rows {
    const char *a[2], *b[2];               /* panels; the second may be NULL */
    size_t a_group, a_row, b_group, b_row; /* bytes to the next; chunks follow each other */
    int groups, rows, chunks;
    float *to; /* of the first panels; the second's rows or columns follow it */
    size_t to_step;
    bool add;
};

/* Winograd's sums (winograd.h): a square of pixels or of a kernel's taps becomes sixteen points, or
 * points become a square. In brackets how many places a side the square has. */
enum change {
    WINDOW_TO_POINTS /* 4 */,
    RESULT_TO_POINTS /* 2 */,
    KERNEL_TO_POINTS /* 3 */,
    POINTS_TO_RESULT /* 2 */,
    POINTS_TO_KERNEL /* 3 */,
    CHANGES
};

enum { POINTS = 16 };

/* Some squares, the places and the points of the next each so many floats after those of the one
 * before. */
struct square {
    float *place[POINTS]; /* row by row; each has its channels side by side */
    float *point;         /* the first point's channels, LANES side by side, the next LANES
                             line_step after them */
    size_t point_step, line_step, next_place, next_point;
    size_t ahead;        /* floats from a place to one that will be asked for soon; 0: none */
    int count, channels; /* channels: a multiple of LANES */
};

/* So many vectors at most, and rows by the number of vectors. */
struct tile_size {
    int vectors, rows[TILE_VECTORS];
};

struct tiles {
    const char *name;
    bool bf16;
    bool narrow; /* so few columns that all is read very often, and must come from nearer */
    struct tile_size dot_size, slide_size, outer_size;
    int group_rows;      /* rows that all panels of dot visit before the next: a multiple of it */
    size_t shared_bytes; /* up to so many of dot's weights are packed by all threads together */
    bool (*able)(void);  /* does this machine have the instructions? */
    void (*dot)(const struct dot *, int rows, int vectors);
    void (*slide)(const struct slide *, int rows, int vectors);
    void (*outer)(const struct outer *, int rows, int vectors);
    /* Instead of outer. Between claim and release the unit's registers are this thread's own. A
     * place is packed as lines of b, and 16 places as tiles of a, each panel's `step` bytes after
     * the one's before. */
    void (*claim)(void), (*release)(void);
    void (*outer_rows)(const struct outer_rows *);
    void (*pack_place)(struct pixel_pair place, int channels, void *to, size_t step);
    void (*pack_places)(const struct pixel_pair place[LANES], int channels, void *to, size_t step);
    void (*change[CHANGES])(const struct square *); /* float32 only */
    /* Weights, float32, for dot: `depth` rows of `vectors` vectors' columns. Turned: element (k,
     * column) is from[column step + k], else from[k step + column]. Depth and the number of columns
     * are multiples of LANES. */
    void (*pack_transposed)(const float *from, size_t step, int depth, int vectors, void *to);
    void (*pack)(const float *from, size_t step, int depth, int vectors, void *to);
    /* bf16: two rows as one of pairs; b == NULL: zeros. */
    void (*pair)(const void *a, const void *b, size_t count, void *to);
};

/* The widest that this machine can do, NULL: none. Number `i` that is built in, able or not, NULL:
 * no more. */
const struct tiles *tiles_for(bool bf16);
const struct tiles *tiles_at(int i);

static inline int tile_rows(const struct tile_size *s, int vectors)
{
    return s->rows[vectors - 1];
}

/* float32's pack: rows are copied as they are. */
void tile_pack_f32(const float *from, size_t step, int depth, int vectors, void *to);

#endif
