/* Tiles of weights: some of y's channels (rows) by up to 64 of x's (columns), each an outer product of two pixels' channels summed over
 * all that see each other through the tap. In float32 nothing is copied; in bf16 pictures are paired first, since its instruction
 * adds products in pairs.
 *
 * Many tiles sum over the same few pixels of x and y before they go on to the next, which are fetched meanwhile. */
#include "backend/onednn/correlate.h"

#include <omp.h>
#include <string.h>

#include "backend/onednn/tile.h"
#include "base/alloc.h"

enum {
    SUMMED_PIXELS = 128,     /* of x and dy, that all of a block's tiles visit before the next */
    BLOCK_BYTES = 300 << 10, /* of the gradient of a block of weights */
    FETCH_BYTES = 1 << 20,   /* of x and dy, from which on they are fetched ahead */
    LINE = 64,
    ELEMENT = 4,  /* bytes: bf16 lies in pairs here */
    LONG_ROW = 8, /* of a picture: pixels in a row are summed along, in shorter ones pictures */
};

/* Sums go along the pixels of a row, or, where rows are short, along the pictures. So a unit of a picture of y is a row or a pixel. */
struct correlate {
    const struct geometry *geometry;
    struct grid x, y;
    bool bf16;
    int threads;
    int *run;   /* along rows: pixels of y, side by side, that each living tap sees in one; else NULL */
    int units;  /* of a picture */
    int *first; /* tap[first[i * units + u]] ..: where living tap i's sums begin in unit u */
    struct tap *tap;
    int block_panels, block_tiles; /* weights whose gradient is summed at a time */
    int at_once, some;             /* pictures (bf16: pairs), and units of them, that all of a block's tiles visit before the next */
    int x_pixels, y_pixels;        /* at most, of a picture, in so many units */
    bool *used;                    /* does any tap see this pixel of x? */
    bool fetch;                    /* large tensors: the next pixels are fetched while these are summed */
};

static size_t size_of(const struct correlate *c)
{
    return c->bf16 ? 2 : 4;
}

/* Sixteen channels of y, a line of memory, are one tile, two, or three of 6, 5 and 5, as wide as x's channels allow. */
static int tile_begin(const struct correlate *c, int tile)
{
    if (c->x.c < 3 * LANES)
        return c->x.c == LANES ? tile * LANES : tile * LANES / 2;
    return tile / 3 * LANES + tile % 3 * 5 + (tile % 3 > 0);
}

static int tiles_of(const struct correlate *c)
{
    return c->y.c / LANES * (c->x.c < 3 * LANES ? c->x.c / LANES : 3);
}

/* A tap sees as many pixels in every row that it sees. */
static void measure_runs(struct correlate *c)
{
    const struct geometry *g = c->geometry;
    int row = 0;
    c->run = obtain((size_t)g->living, sizeof *c->run);
    for (int i = 0; i < g->connections; i++) {
        const struct connection *at = &g->connection[i];
        if (i == 0 || at[-1].tap != at->tap)
            row = at->out / c->y.w;
        c->run[at->tap] += at->out / c->y.w == row;
    }
}

/* Connections lie by tap, then by pixel of y: in the order of units. Of runs only the beginnings are listed. */
static void list_taps(struct correlate *c)
{
    const struct geometry *g = c->geometry;
    int places = g->living * c->units, count = 0;
    c->first = obtain((size_t)places + 1, sizeof *c->first);
    c->tap = obtain((size_t)g->connections, sizeof *c->tap);
    c->used = obtain((size_t)pixels(&c->x), sizeof *c->used);
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

/* Blocks of weights, as many as stay in the cache while they are summed up again and again, or all if they are stored but once; and
 * blocks enough for all threads. */
static void cut_blocks(struct correlate *c, int rows)
{
    int tiles = tiles_of(c), panels = divide_up(c->x.c, PANEL), room = tiles * panels;
    if (c->at_once < rows || c->some < c->units)
        room = BLOCK_BYTES / (c->geometry->living * outer_rows(TILE_VECTORS) * PANEL * (int)sizeof(float));
    c->block_tiles = smaller(tiles, room < 4 ? 4 : room);
    c->block_panels = smaller(panels, room > c->block_tiles ? room / c->block_tiles : 1);
    while (divide_up(tiles, c->block_tiles) * divide_up(panels, c->block_panels) % c->threads && c->block_tiles > 4)
        c->block_panels > 1 ? (c->block_panels = divide_up(c->block_panels, 2)) : (c->block_tiles = divide_up(c->block_tiles, 2));
}

struct correlate *correlate_open(const struct geometry *g, bool bf16, int threads)
{
    struct correlate *c = obtain(1, sizeof *c);
    int rows = bf16 ? divide_up(g->x.rows, 2) : g->x.rows;
    *c = (struct correlate){.geometry = g, .x = g->x, .y = g->y, .bf16 = bf16, .threads = threads};
    if (c->y.w >= LONG_ROW)
        measure_runs(c);
    c->units = c->run ? c->y.h : pixels(&c->y);
    c->some = c->run ? smaller(c->units, divide_up(SUMMED_PIXELS, c->y.w)) : c->units;
    c->at_once = c->run ? 1 : smaller(rows, divide_up(SUMMED_PIXELS, c->units));
    c->y_pixels = c->run ? c->some * c->y.w : c->some;
    c->x_pixels = c->run ? smaller(c->x.h, (c->some - 1) * g->stride + g->kernel) * c->x.w : pixels(&c->x);
    cut_blocks(c, rows);
    list_taps(c);
    size_t elements = (size_t)c->x.rows * (size_t)(pixels(&c->x) * c->x.c + pixels(&c->y) * c->y.c);
    c->fetch = elements * size_of(c) > FETCH_BYTES;
    return c;
}

void correlate_close(struct correlate *c)
{
    if (!c)
        return;
    release(c->run);
    release(c->first);
    release(c->tap);
    release(c->used);
    release(c);
}

/* Bytes of a part's pairs: x's, then y's. */
static size_t paired_x_bytes(const struct correlate *c)
{
    return (size_t)c->at_once * (size_t)c->x_pixels * (size_t)smaller(c->x.c, c->block_panels * PANEL) * ELEMENT;
}

static size_t paired_y_bytes(const struct correlate *c)
{
    return (size_t)c->at_once * (size_t)c->y_pixels * (size_t)(tile_begin(c, c->block_tiles) + LANES) * ELEMENT;
}

size_t correlate_scratch(const struct correlate *c)
{
    return c->bf16 ? (paired_x_bytes(c) + paired_y_bytes(c)) * (size_t)c->threads : 0;
}

/* A block of weights: panels of x's channels, tiles of y's. */
struct block {
    int panel, panel_end, tile, tile_end;
};

/* What all of a block's tiles visit before the next: some units of some pictures, and of y's and x's tensor the pixels there. */
struct part {
    const struct grid *grid;
    const char *tensor;
    int row, rows, pixel, pixels; /* pictures, and pixels of each */
    int channel, channels;
};

static struct part part_of_y(const struct correlate *c, const char *y, const struct block *b, int row, int unit)
{
    int pairs = c->bf16 ? 2 : 1, channel = tile_begin(c, b->tile), per_unit = c->run ? c->y.w : 1;
    return (struct part){
        .grid = &c->y,
        .tensor = y,
        .row = pairs * row,
        .rows = smaller(pairs * c->at_once, c->y.rows - pairs * row),
        .pixel = unit * per_unit,
        .pixels = smaller(c->some, c->units - unit) * per_unit,
        .channel = channel,
        .channels = tile_begin(c, b->tile_end) - channel,
    };
}

static struct part part_of_x(const struct correlate *c, const char *x, const struct block *b, int row, int unit)
{
    int pairs = c->bf16 ? 2 : 1, first = 0, end = c->x.h;
    if (c->run) {
        first = unit * c->geometry->stride - c->geometry->pad,
        end = (smaller(unit + c->some, c->units) - 1) * c->geometry->stride + c->geometry->kernel - c->geometry->pad;
        first = first < 0 ? 0 : first;
        end = smaller(end, c->x.h);
    }
    return (struct part){
        .grid = &c->x,
        .tensor = x,
        .row = pairs * row,
        .rows = smaller(pairs * c->at_once, c->x.rows - pairs * row),
        .pixel = first * c->x.w,
        .pixels = end > first ? (end - first) * c->x.w : 0,
        .channel = b->panel * PANEL,
        .channels = smaller(c->x.c, b->panel_end * PANEL) - b->panel * PANEL,
    };
}

static const char *pixel_at(const struct correlate *c, const struct part *p, int row, int pixel)
{
    size_t at = (size_t)(p->row + row) * (size_t)pixels(p->grid) + (size_t)(p->pixel + pixel);
    return p->tensor + (at * (size_t)p->grid->c + (size_t)p->channel) * size_of(c);
}

/* Share i of n of the part's pixels. */
static void fetch(const struct correlate *c, const struct part *p, int i, int n)
{
    int64_t all = (int64_t)p->rows * p->pixels;
    for (int64_t at = all * i / n; at < all * (i + 1) / n; at++) {
        const char *from = pixel_at(c, p, (int)(at / p->pixels), (int)(at % p->pixels));
        for (size_t byte = 0; byte < (size_t)p->channels * size_of(c); byte += LINE)
            __builtin_prefetch(from + byte, 0, 2);
    }
}

/* The part as a factor, where it lies, or in bf16 with its pictures paired in `to`. */
static struct factor factor_of(const struct correlate *c, const struct part *p, char *to)
{
    size_t channels = (size_t)p->channels, row = (size_t)p->pixels * channels, count = (size_t)pixels(p->grid);
    if (!c->bf16)
        return (struct factor){pixel_at(c, p, 0, -p->pixel), 0, (size_t)p->grid->c, count * (size_t)p->grid->c};
    for (int r = 0; r < p->rows; r += 2)
        for (int i = 0; i < p->pixels; i++)
            if (p->grid == &c->y || c->used[p->pixel + i])
                tile_pair(pixel_at(c, p, r, i), r + 1 < p->rows ? pixel_at(c, p, r + 1, i) : NULL, channels,
                          to + ((size_t)(r / 2) * row + (size_t)i * channels) * ELEMENT);
    return (struct factor){to, p->pixel, channels, row};
}

/* All of a block's tiles against what t sums over, for living tap i; between them the next parts are fetched (NULL: none). */
static void sum_tiles(const struct correlate *c, const struct outer *all, float *gradient, int i, const struct block *b,
                      const struct part next[2])
{
    int count = (b->panel_end - b->panel) * (b->tile_end - b->tile), k = i * count, first = tile_begin(c, b->tile);
    struct outer t = *all;
    for (int panel = b->panel; panel < b->panel_end; panel++) {
        int column = panel * PANEL, vectors = panel_vectors(c->x.c, panel);
        t.b.at = (const char *)all->b.at + (size_t)(column - b->panel * PANEL) * ELEMENT;
        for (int tile = b->tile; tile < b->tile_end; tile++, k++) {
            int o = tile_begin(c, tile);
            for (int n = 0; next && n < 2; n++)
                fetch(c, &next[n], k, c->geometry->living * count);
            t.a.at = (const char *)all->a.at + (size_t)(o - first) * ELEMENT;
            t.to = gradient + (size_t)o * t.to_step + (size_t)c->geometry->tap[i] * (size_t)c->x.c + (size_t)column;
            tile_outer(&t, c->bf16, tile_begin(c, tile + 1) - o, vectors);
        }
    }
}

/* The gradient of one block, summed over some rows of some pictures at a time by all taps, so that both stay in a cache: along the
 * rows, or, where they are short (or the kernel is 1x1, and all pixels are rows), along the pictures. */
static void sum_block(const struct correlate *c, const char *x, const char *y, float *gradient, const struct block *b, char *scratch)
{
    int rows = c->bf16 ? divide_up(c->x.rows, 2) : c->x.rows;
    struct outer t = {.to_step = (size_t)c->geometry->kernel * (size_t)c->geometry->kernel * (size_t)c->x.c};
    for (int row = 0; row < rows; row += c->at_once)
        for (int unit = 0; unit < c->units; unit += c->some) {
            bool more = unit + c->some < c->units;
            int next_row = more ? row : row + c->at_once, next_unit = more ? unit + c->some : 0;
            struct part next[2], here[2] = {part_of_x(c, x, b, row, unit), part_of_y(c, y, b, row, unit)};
            bool ahead = c->fetch && next_row < rows;
            if (ahead)
                next[0] = part_of_x(c, x, b, next_row, next_unit), next[1] = part_of_y(c, y, b, next_row, next_unit);
            t.b = factor_of(c, &here[0], scratch);
            t.a = factor_of(c, &here[1], scratch + paired_x_bytes(c));
            if (c->run) {
                t.b.step = (size_t)c->geometry->stride * t.b.pixel;
                t.a.step = t.a.pixel;
            }
            for (int i = 0; i < c->geometry->living; i++) {
                const int *first = c->first + i * c->units;
                t.tap = c->tap + first[unit];
                t.taps = first[smaller(unit + c->some, c->units)] - first[unit];
                t.count = c->run ? c->run[i] : smaller(c->at_once, rows - row);
                t.add = row || first[unit] > first[0];
                if (t.taps)
                    sum_tiles(c, &t, gradient, i, b, ahead ? next : NULL);
            }
        }
}

static void clear_dead(const struct correlate *c, float *gradient, int o)
{
    int taps = c->geometry->kernel * c->geometry->kernel, i = 0;
    for (int tap = 0; tap < taps; tap++)
        if (i < c->geometry->living && c->geometry->tap[i] == tap)
            i++;
        else
            memset(gradient + ((size_t)o * (size_t)taps + (size_t)tap) * (size_t)c->x.c, 0, (size_t)c->x.c * sizeof *gradient);
}

void correlate_run(const struct correlate *c, const void *x, float *gradient, const void *dy, void *scratch)
{
    int tiles = tiles_of(c), panels = divide_up(c->x.c, PANEL);
    int across = divide_up(tiles, c->block_tiles), blocks = across * divide_up(panels, c->block_panels);
    size_t own = paired_x_bytes(c) + paired_y_bytes(c);
#pragma omp parallel num_threads(c->threads)
    {
        if (c->geometry->living < c->geometry->kernel * c->geometry->kernel) {
#pragma omp for nowait
            for (int o = 0; o < c->y.c; o++)
                clear_dead(c, gradient, o);
        }
#pragma omp for
        for (int i = 0; i < blocks; i++) {
            int panel = i / across * c->block_panels, tile = i % across * c->block_tiles;
            struct block b = {panel, smaller(panels, panel + c->block_panels), tile, smaller(tiles, tile + c->block_tiles)};
            sum_block(c, x, dy, gradient, &b, (char *)scratch + own * (size_t)omp_get_thread_num());
        }
    }
}
