/* Lists of tiles and taps, and blocks of weights so large that their sums stay in a cache. */
#include "backend/onednn/weight_gradient_plan.h"

#include <string.h>

#include "base/alloc.h"

enum {
    SUMMED_PIXELS = 128,     /* of x and dy, that all of a block's tiles visit before the next */
    BLOCK_BYTES = 300 << 10, /* of the gradient of a block of weights */
    NARROW_BLOCK_BYTES = 160 << 10,
    FETCH_BYTES = 1 << 20, /* of x and dy, from which on they are fetched ahead */
    LONG_ROW = 8, /* of an image: pixels in a row are summed along, in shorter ones images */
};

/* Sixteen channels of y, a line of memory, are one tile, two, or three of 6, 5 and 5, as wide as
 * x's channels allow. */
static void list_tiles(struct weight_gradient *c)
{
    c->begin = xcalloc((size_t)tiles_of(c) + 1, sizeof *c->begin);
    for (int tile = 0; tile <= tiles_of(c); tile++)
        c->begin[tile] = tile / c->a_line * LANES + divide_up(tile % c->a_line * LANES, c->a_line);
}

/* A tap sees as many pixels in every row that it sees. */
static void measure_runs(struct weight_gradient *c)
{
    const struct geometry *g = c->geometry;
    int row = 0;
    c->run = xcalloc((size_t)g->active, sizeof *c->run);
    for (int i = 0; i < g->connections; i++) {
        const struct connection *at = &g->connection[i];
        if (i == 0 || at[-1].tap != at->tap)
            row = at->out / c->y.w;
        c->run[at->tap] += at->out / c->y.w == row;
    }
}

/* Connections lie by tap, then by pixel of y: in the order of units. Of runs only the beginnings
 * are listed. */
static void list_taps(struct weight_gradient *c)
{
    const struct geometry *g = c->geometry;
    int places = g->active * c->units, count = 0;
    c->first = xcalloc((size_t)places + 1, sizeof *c->first);
    c->tap = xcalloc((size_t)g->connections, sizeof *c->tap);
    c->used = xcalloc((size_t)pixels(&c->x), sizeof *c->used);
    for (int i = 0; i < g->connections; i++) {
        const struct connection *at = &g->connection[i];
        bool goes_on = i && at[-1].tap == at->tap && at[-1].out + 1 == at->out && at->out % c->y.w;
        c->used[at->in] = true;
        if (c->run && goes_on)
            continue;
        c->first[at->tap * c->units + (c->run ? at->out / c->y.w : at->out) + 1]++;
        c->tap[count++] = (struct tap){at->out, at->in};
    }
    for (int place = 0; place < places; place++)
        c->first[place + 1] += c->first[place];
}

/* Runs of small images, copied one after the other, go on from image to image. */
static void repeat_taps(struct weight_gradient *c)
{
    int all = c->first[c->geometry->active * c->units];
    struct tap *once = c->tap;
    c->tap = xcalloc((size_t)all * (size_t)c->repeats, sizeof *c->tap);
    for (int i = 0; i < c->geometry->active; i++) {
        int from = c->first[i * c->units], count = c->first[(i + 1) * c->units] - from;
        for (int k = 0; k < c->repeats * count; k++) {
            const struct tap *t = &once[from + k % count];
            c->tap[from * c->repeats + k] =
                (struct tap){t->a + k / count * c->y_pixels, t->b + k / count * c->x_pixels};
        }
    }
    xfree(once);
}

/* Narrow tiles want copies of both factors, which cost least where blocks are about as wide as
 * high; and whole lines. */
static void cut_squares(struct weight_gradient *c)
{
    int room = NARROW_BLOCK_BYTES / (c->geometry->active * LANES * LANES * (int)sizeof(float)),
        side = 1;
    int lines = c->y.c / LANES, panels = c->x.c / LANES;
    while ((side + 1) * (side + 1) <= room)
        side++;
    int high = smaller(lines, side), wide = smaller(panels, room > high ? room / high : 1);
    high = smaller(lines, room > wide ? room / wide : 1);
    while (divide_up(lines, high) * divide_up(panels, wide) % c->threads && high * wide > 1)
        wide > high ? (wide = divide_up(wide, 2)) : (high = divide_up(high, 2));
    high = divide_up(lines, divide_up(lines, high));
    c->block_panels = divide_up(panels, divide_up(panels, wide));
    c->block_tiles = high * c->a_line;
}

/* Blocks of weights, as many as stay in the cache while they are summed up again and again, or all
 * if they are stored but once; and blocks enough for all threads. */
static void cut_blocks(struct weight_gradient *c, int rows)
{
    int tiles = tiles_of(c), panels = divide_up(c->x.c, c->panel), room = tiles * panels;
    if (c->tiles->narrow)
        return cut_squares(c);
    if (c->at_once < rows || c->some < c->units)
        room = BLOCK_BYTES / (c->geometry->active *
                              tile_rows(&c->tiles->outer_size, c->tiles->outer_size.vectors) *
                              c->panel * (int)sizeof(float));
    c->block_tiles = smaller(tiles, room < 4 ? 4 : room);
    c->block_panels = smaller(panels, room > c->block_tiles ? room / c->block_tiles : 1);
    while (divide_up(tiles, c->block_tiles) * divide_up(panels, c->block_panels) % c->threads &&
           c->block_tiles > 4)
        c->block_panels > 1 ? (c->block_panels = divide_up(c->block_panels, 2))
                            : (c->block_tiles = divide_up(c->block_tiles, 2));
}

struct weight_gradient *weight_gradient_open(const struct geometry *g, const struct tiles *t,
                                             int threads)
{
    struct weight_gradient *c = xcalloc(1, sizeof *c);
    int rows = t->bf16 ? divide_up(g->x.rows, 2) : g->x.rows;
    *c = (struct weight_gradient){
        .geometry = g, .tiles = t, .x = g->x, .y = g->y, .threads = threads};
    c->panel = t->outer_size.vectors * LANES;
    c->a_line =
        divide_up(LANES, tile_rows(&t->outer_size, smaller(g->x.c / LANES, t->outer_size.vectors)));
    if (c->y.w >= LONG_ROW)
        measure_runs(c);
    c->units = c->run ? c->y.h : pixels(&c->y);
    c->some = c->run ? smaller(c->units, divide_up(SUMMED_PIXELS, c->y.w)) : c->units;
    c->at_once = c->run ? 1 : smaller(rows, divide_up(SUMMED_PIXELS, c->units));
    c->repeats = 1;
    if (c->run && t->narrow && 2 * pixels(&c->y) <= SUMMED_PIXELS)
        c->at_once = c->repeats = smaller(rows, SUMMED_PIXELS / pixels(&c->y));
    c->y_pixels = c->run ? c->some * c->y.w : c->some;
    c->x_pixels = pixels(&c->x);
    if (c->run && c->some < c->units)
        c->x_pixels = smaller(c->x.h, (c->some - 1) * g->stride + g->kernel) * c->x.w;
    list_tiles(c);
    cut_blocks(c, rows);
    c->in_scratch = t->narrow && (c->at_once < rows || c->some < c->units);
    list_taps(c);
    if (c->repeats > 1)
        repeat_taps(c);
    size_t elements = (size_t)c->x.rows * (size_t)(pixels(&c->x) * c->x.c + pixels(&c->y) * c->y.c);
    c->fetch = elements * size_of(c) > FETCH_BYTES;
    return c;
}

void weight_gradient_close(struct weight_gradient *c)
{
    if (!c)
        return;
    xfree(c->run);
    xfree(c->first);
    xfree(c->tap);
    xfree(c->used);
    xfree(c->begin);
    xfree(c);
}

size_t weight_gradient_x_bytes(const struct weight_gradient *c)
{
    return (size_t)c->at_once * (size_t)c->x_pixels *
           (size_t)smaller(c->x.c, c->block_panels * c->panel) * ELEMENT;
}

size_t weight_gradient_y_bytes(const struct weight_gradient *c)
{
    return (size_t)c->at_once * (size_t)c->y_pixels * (size_t)(c->begin[c->block_tiles] + LANES) *
           ELEMENT;
}

static size_t sums_bytes(const struct weight_gradient *c)
{
    size_t panels = (size_t)(c->block_panels * c->panel);
    return c->in_scratch ? (size_t)c->geometry->active * panels * (size_t)c->begin[c->block_tiles] *
                               sizeof(float)
                         : 0;
}

size_t weight_gradient_thread_bytes(const struct weight_gradient *c)
{
    bool copies = c->tiles->bf16 || c->tiles->narrow;
    return copies ? weight_gradient_x_bytes(c) + weight_gradient_y_bytes(c) + sums_bytes(c) : 0;
}

size_t weight_gradient_scratch(const struct weight_gradient *c)
{
    return weight_gradient_thread_bytes(c) * (size_t)c->threads;
}
