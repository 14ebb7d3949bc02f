/* AMX's unit multiplies tiles: up to 16 rows of 64 bytes. One of bf16 by one of pairs adds 16 x 16
 * sums of 32 products each in 16 cycles. Of its eight tiles four are sums, two rows by two columns
 * of them, so that each tile that is loaded is used twice. (Intel, Software Developer's Manual,
 * volume 2; Optimization Reference Manual, chapter 20.)
 *
 * The shapes of tiles are a thread's configuration, and so are the library's kernels': it is set at
 * the beginning of each call and released at its end. That costs 160 cycles or ten
 * multiplications, so calls are large: many tiles' rows by 64 columns. */
#include "backend/onednn/tile_amx.h"

#ifdef __x86_64__

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend/onednn/pack_avx512.h"

#define AMX target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")

enum {
    SIDE = 16,       /* rows of a tile, and words of a row */
    DOT_ROWS = 128,  /* of a call */
    DOT_VECTORS = 4, /* of a call */
    ROW_BYTES = SIDE * 4,
    TILE_BYTES = SIDE * ROW_BYTES,
    TILES = 8,
    ARCH_REQ_XCOMP_PERM = 0x1023, /* arch_prctl(2), Linux 5.16 */
    XFEATURE_XTILEDATA = 18,
};

/* Tiles 0 .. 3 are sums (row by row), 4 and 5 rows of the first factor, 6 and 7 columns of the
 * second. */
struct configuration {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[SIDE];
    uint8_t rows[SIDE];
} __attribute__((aligned(64)));

/* Linux gives a process the registers when it asks, once or often; its threads have them, too. */
static bool able(void)
{
    return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
           __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA);
}

/* Tiles of so many rows that multiply so many numbers of each. */
INLINE(AMX) void configure(int rows, int depth)
{
    struct configuration c = {.palette = 1};
    for (int i = 0; i < TILES; i++) {
        c.rows[i] = (uint8_t)(i < 6 ? rows : depth / 2);
        c.row_bytes[i] = (uint16_t)(i == 4 || i == 5 ? depth * 2 : ROW_BYTES);
    }
    __asm__ volatile("" : : "r"(&c) : "memory"); /* gcc 12 believes that but 8 bytes are read */
    _tile_loadconfig(&c);
}

/* What one call of dot needs beside its struct. */
struct dot_place {
    int row, column;
    bool two_rows, two_columns; /* of tiles */
    int second;                 /* the second tile's first row, from the first's */
    int rows, step;             /* of a tile; numbers that are multiplied at once */
};

INLINE(AMX)
void dot_sums(const struct dot *d, const struct dot_place *p, bool two_rows, bool two_columns)
{
    const size_t a_step = d->source_step * 2, right = (size_t)d->depth * ROW_BYTES / 2;
    const char *source = (const char *)d->source + (size_t)p->row * a_step,
               *weights = (const char *)d->weights + (size_t)(p->column / LANES) * right;
    const size_t down = (size_t)p->second * a_step;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int t = 0; t < d->taps; t++) {
        const char *a = source + (ptrdiff_t)d->tap[t].a * 2,
                   *b = weights + (ptrdiff_t)d->tap[t].b * 2;
        for (int k = 0; k < d->depth;
             k += p->step, a += p->step * 2, b += p->step / 2 * ROW_BYTES) {
            _tile_loadd(4, a, a_step);
            _tile_loadd(6, b, ROW_BYTES);
            _tile_dpbf16ps(0, 4, 6);
            if (two_columns) {
                _tile_loadd(7, b + right, ROW_BYTES);
                _tile_dpbf16ps(1, 4, 7);
            }
            if (two_rows) {
                _tile_loadd(5, a + down, a_step);
                _tile_dpbf16ps(2, 5, 6);
                if (two_columns)
                    _tile_dpbf16ps(3, 5, 7);
            }
        }
    }
}

/* Sums of `rows` rows of 32 columns (16: the second half is not there) as bf16. */
INLINE(AMX)
void round_rows(const float *sum, int rows, bool two_columns, uint16_t *to, size_t to_step)
{
    for (int r = 0; r < rows; r++, sum += 2 * SIDE, to += to_step)
        if (two_columns)
            _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(sum + SIDE),
                                                                 _mm512_loadu_ps(sum)));
        else
            _mm256_storeu_si256((__m256i *)(void *)to,
                                (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(sum)));
}

INLINE(AMX)
void dot_tiles(const struct dot *d, const struct dot_place *p, bool two_rows, bool two_columns)
{
    float sum[2 * SIDE * 2 * SIDE] __attribute__((aligned(64)));
    uint16_t *to = (uint16_t *)d->to + (size_t)p->row * d->to_step + p->column;
    dot_sums(d, p, two_rows, two_columns);
    _tile_stored(0, sum, 2 * ROW_BYTES);
    if (two_columns)
        _tile_stored(1, sum + SIDE, 2 * ROW_BYTES);
    if (two_rows) {
        _tile_stored(2, sum + SIDE * 2 * SIDE, 2 * ROW_BYTES);
        if (two_columns)
            _tile_stored(3, sum + SIDE * 2 * SIDE + SIDE, 2 * ROW_BYTES);
    }
    round_rows(sum, p->rows, two_columns, to, d->to_step);
    if (two_rows)
        round_rows(sum + SIDE * 2 * SIDE, p->rows, two_columns, to + (size_t)p->second * d->to_step,
                   d->to_step);
}

/* Where the rows are no multiple of a tile's, the last tile begins so early that it ends with them,
 * and computes some of them once more. */
__attribute__((AMX)) static void dot_bf16(const struct dot *d, int rows, int vectors)
{
    struct dot_place p = {.rows = rows < SIDE ? rows : SIDE,
                          .step = d->depth % (2 * SIDE) ? SIDE : 2 * SIDE};
    configure(p.rows, p.step);
    for (int v = 0; v < vectors; v += 2)
        for (int row = 0; row < rows; row += 2 * SIDE) {
            p.column = v * LANES;
            p.row = row + SIDE <= rows || rows < SIDE ? row : rows - SIDE;
            p.second = row + 2 * SIDE <= rows ? SIDE : rows - SIDE - row;
            bool two_rows = p.second > 0;
            if (v + 1 < vectors)
                two_rows ? dot_tiles(d, &p, true, true) : dot_tiles(d, &p, false, true);
            else
                two_rows ? dot_tiles(d, &p, true, false) : dot_tiles(d, &p, false, false);
        }
    _tile_release();
}

/* Weights lie panel by panel of 16 columns, so that a tile of them is one piece of memory. */
static struct packed panels(void *to, int depth)
{
    return (struct packed){to, ROW_BYTES, (size_t)depth * ROW_BYTES / 2};
}

__attribute__((AMX)) static void pack(const float *from, size_t step, int depth, int vectors,
                                      void *to)
{
    pack_rows(from, step, depth, vectors, panels(to, depth));
}

__attribute__((AMX)) static void pack_transposed(const float *from, size_t step, int depth,
                                                 int vectors, void *to)
{
    pack_columns(from, step, depth, vectors, panels(to, depth));
}

__attribute__((AMX)) static void claim(void)
{
    configure(SIDE, 2 * SIDE);
}

__attribute__((AMX)) static void release(void)
{
    _tile_release();
}

INLINE(AMX) void outer_tiles(const struct outer_rows *o, bool two_a, bool two_b)
{
    const size_t to_step = o->to_step * sizeof *o->to;
    float *below = o->to + SIDE * o->to_step;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (o->add) {
        _tile_loadd(0, o->to, to_step);
        if (two_b)
            _tile_loadd(1, o->to + SIDE, to_step);
        if (two_a)
            _tile_loadd(2, below, to_step);
        if (two_a && two_b)
            _tile_loadd(3, below + SIDE, to_step);
    }
    for (int group = 0; group < o->groups; group++)
        for (int row = 0; row < o->rows; row++) {
            const size_t in_a = (size_t)group * o->a_group + (size_t)row * o->a_row,
                         in_b = (size_t)group * o->b_group + (size_t)row * o->b_row;
            const char *a0 = o->a[0] + in_a, *a1 = two_a ? o->a[1] + in_a : NULL;
            const char *b0 = o->b[0] + in_b, *b1 = two_b ? o->b[1] + in_b : NULL;
            for (int chunk = 0; chunk < o->chunks; chunk++) {
                const size_t at = (size_t)chunk * TILE_BYTES;
                _tile_loadd(4, a0 + at, ROW_BYTES);
                _tile_loadd(6, b0 + at, ROW_BYTES);
                _tile_dpbf16ps(0, 4, 6);
                if (two_b) {
                    _tile_loadd(7, b1 + at, ROW_BYTES);
                    _tile_dpbf16ps(1, 4, 7);
                }
                if (two_a) {
                    _tile_loadd(5, a1 + at, ROW_BYTES);
                    _tile_dpbf16ps(2, 5, 6);
                    if (two_b)
                        _tile_dpbf16ps(3, 5, 7);
                }
            }
        }
    _tile_stored(0, o->to, to_step);
    if (two_b)
        _tile_stored(1, o->to + SIDE, to_step);
    if (two_a)
        _tile_stored(2, below, to_step);
    if (two_a && two_b)
        _tile_stored(3, below + SIDE, to_step);
}

__attribute__((AMX)) static void outer_rows(const struct outer_rows *o)
{
    if (o->a[1])
        o->b[1] ? outer_tiles(o, true, true) : outer_tiles(o, true, false);
    else
        o->b[1] ? outer_tiles(o, false, true) : outer_tiles(o, false, false);
}

/* Sixteen channels of two pixels as a line of pairs. */
INLINE(AMX) __m512i paired(const uint16_t *a, const uint16_t *b, __m512i order)
{
    __m256i first = _mm256_loadu_si256((const __m256i *)(const void *)a);
    __m256i second =
        b ? _mm256_loadu_si256((const __m256i *)(const void *)b) : _mm256_setzero_si256();
    __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
    return _mm512_permutexvar_epi16(order, both);
}

__attribute__((AMX)) static void pack_place(struct pixel_pair place, int channels, void *to,
                                            size_t step)
{
    const __m512i order = in_turn();
    for (int c = 0; c < channels; c += LANES, to = (char *)to + step)
        _mm512_storeu_si512(to, place.a ? paired(place.a + c, place.b ? place.b + c : NULL, order)
                                        : _mm512_set1_epi32(0));
}

__attribute__((AMX)) static void pack_places(const struct pixel_pair place[SIDE], int channels,
                                             void *to, size_t step)
{
    const __m512i order = in_turn();
    for (int c = 0; c < channels; c += LANES, to = (char *)to + step) {
        __m512i row[SIDE];
        UNROLL for (int i = 0; i < SIDE; i++) row[i] =
            place[i].a ? paired(place[i].a + c, place[i].b ? place[i].b + c : NULL, order)
                       : _mm512_set1_epi32(0);
        turn(row);
        UNROLL for (int i = 0; i < SIDE; i++)
            _mm512_storeu_si512((char *)to + i * ROW_BYTES, row[i]);
    }
}

const struct tiles tiles_amx_bf16 = {
    .name = "amx_bf16",
    .bf16 = true,
    .dot_size = {DOT_VECTORS, {DOT_ROWS, DOT_ROWS, DOT_ROWS, DOT_ROWS}},
    .group_rows = 2 * SIDE,
    .shared_bytes = 1024 << 10,
    .able = able,
    .dot = dot_bf16,
    .pack_transposed = pack_transposed,
    .pack = pack,
    .claim = claim,
    .release = release,
    .outer_rows = outer_rows,
    .pack_place = pack_place,
    .pack_places = pack_places,
};

#endif
