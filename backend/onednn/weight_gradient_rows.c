/* Images are taken in groups of so many pairs that a row of all of them fills tiles of 16 places:
 * place = column x pairs + pair. A place is a pair of images because sums of bf16 go in pairs, and
 * a pair of neighbouring pixels would not stay one when x is shifted by a pixel.
 *
 * x is packed with zeros where the window reads beyond a row's ends, and with its columns by their
 * remainder of the stride, so that a shift by a tap is always a shift by whole places. dy is packed
 * with zeros up to whole tiles. A block of weights, 16 out by 16 in at a time, visits some groups
 * that were packed for it before the next, so that all stays in the second cache. */
#include "backend/onednn/weight_gradient_rows.h"

#include <omp.h>
#include <string.h>

#include "backend/onednn/chunks.h"
#include "base/alloc.h"

enum {
    PLACES = 16, /* of a tile */
    LINE = 64,   /* bytes of a place's 16 channels */
    TILE = PLACES * LINE,
    ENOUGH = 16,             /* tiles that are multiplied before sums are stored and loaded again */
    NEAR_BYTES = 1280 << 10, /* of what is packed, and of sums that are taken up again */
    LEAST_PANELS = 4,        /* of a block's side */
};

struct weight_gradient_rows {
    const struct geometry *geometry;
    const struct tiles *tiles;
    struct grid x, y;
    int threads;
    int pairs, groups;       /* of images in a group; how many there are */
    int chunks;              /* tiles in a row of y */
    int phases, places;      /* remainders of columns that are seen; places of one in a row of x */
    int out, in;             /* panels of weights, */
    int block_out, block_in; /* of a block */
    int at_once;             /* groups that are visited together */
};

/* Bytes of a panel of a group. */
static size_t x_row(const struct weight_gradient_rows *c)
{
    return (size_t)(c->phases * c->places) * LINE;
}

static size_t x_group(const struct weight_gradient_rows *c)
{
    return (size_t)c->x.h * x_row(c);
}

static size_t y_group(const struct weight_gradient_rows *c)
{
    return (size_t)c->y.h * (size_t)c->chunks * TILE;
}

static int groups_of(const struct weight_gradient_rows *c, int pairs)
{
    return divide_up(c->y.rows, 2 * pairs);
}

/* The number of pairs with the fewest tiles. */
static void choose_pairs(struct weight_gradient_rows *c)
{
    int64_t fewest = INT64_MAX;
    for (int pairs = 1; pairs <= PLACES; pairs++) {
        int64_t tiles = (int64_t)groups_of(c, pairs) * divide_up(c->y.w * pairs, PLACES);
        if (tiles < fewest) {
            fewest = tiles;
            c->pairs = pairs;
        }
    }
    c->groups = groups_of(c, c->pairs);
    c->chunks = divide_up(c->y.w * c->pairs, PLACES);
}

static int blocks_of(const struct weight_gradient_rows *c)
{
    return divide_up(c->out, c->block_out) * divide_up(c->in, c->block_in);
}

static size_t near_bytes(const struct weight_gradient_rows *c)
{
    size_t sums =
        (size_t)(c->geometry->active * c->block_out * c->block_in * LANES * LANES) * sizeof(float);
    return (size_t)c->at_once *
               ((size_t)c->block_in * x_group(c) + (size_t)c->block_out * y_group(c)) +
           (c->at_once < c->groups ? sums : 0);
}

/* Blocks about as wide as high: x is packed for each block of dy, and dy for each of x. */
static void cut_blocks(struct weight_gradient_rows *c)
{
    c->block_out = c->out;
    c->block_in = c->in;
    c->at_once = smaller(c->groups, divide_up(ENOUGH, c->y.h * c->chunks));
    while ((near_bytes(c) > NEAR_BYTES &&
            (c->block_out > LEAST_PANELS || c->block_in > LEAST_PANELS)) ||
           (blocks_of(c) % c->threads && c->block_out * c->block_in > 1))
        c->block_out > c->block_in ? (c->block_out = divide_up(c->block_out, 2))
                                   : (c->block_in = divide_up(c->block_in, 2));
    while (c->at_once > 1 && near_bytes(c) > NEAR_BYTES)
        c->at_once = divide_up(c->at_once, 2);
}

struct weight_gradient_rows *weight_gradient_rows_open(const struct geometry *g,
                                                       const struct tiles *t, int threads)
{
    struct weight_gradient_rows *c = xcalloc(1, sizeof *c);
    *c = (struct weight_gradient_rows){
        .geometry = g, .tiles = t, .x = g->x, .y = g->y, .threads = threads};
    c->out = c->y.c / LANES;
    c->in = c->x.c / LANES;
    choose_pairs(c);
    c->phases = smaller(g->stride, g->kernel);
    c->places = (divide_up(c->chunks * PLACES, c->pairs) + (g->kernel - 1) / g->stride) * c->pairs;
    cut_blocks(c);
    return c;
}

void weight_gradient_rows_close(struct weight_gradient_rows *c)
{
    xfree(c);
}

/* From panel to panel of what is packed. The same line of each must not fall into one set of the
 * caches. */
static size_t panel_step(const struct weight_gradient_rows *c, size_t group)
{
    return (size_t)c->at_once * group + LINE;
}

static size_t x_bytes(const struct weight_gradient_rows *c)
{
    return (size_t)c->block_in * panel_step(c, x_group(c));
}

static size_t thread_bytes(const struct weight_gradient_rows *c)
{
    return x_bytes(c) + (size_t)c->block_out * panel_step(c, y_group(c));
}

size_t weight_gradient_rows_scratch(const struct weight_gradient_rows *c)
{
    return thread_bytes(c) * (size_t)c->threads + LINE;
}

/* Panels of weights, from .. to - 1, and the groups that they visit. */
struct block {
    int out, out_end, in, in_end, group, group_end;
};

/* What is packed: panels of one tensor, some groups of it. */
struct packing {
    const struct grid *grid;
    const uint16_t *tensor;
    int panel, panels, group, row; /* row: of an image */
    size_t step;                   /* bytes from panel to panel */
};

/* This column of a pair's images. */
static struct pixel_pair place_at(const struct weight_gradient_rows *c, const struct packing *p,
                                  int column, int pair)
{
    const struct grid *g = p->grid;
    int image = (p->group * c->pairs + pair) * 2;
    if (column < 0 || column >= g->w || image >= g->rows)
        return (struct pixel_pair){NULL, NULL};
    size_t next = (size_t)pixels(g) * (size_t)g->c;
    const uint16_t *a = p->tensor + (size_t)image * next +
                        (size_t)(p->row * g->w + column) * (size_t)g->c + p->panel * LANES;
    return (struct pixel_pair){a, image + 1 < g->rows ? a + next : NULL};
}

/* Does any row of y see this one of x? */
static bool is_seen(const struct weight_gradient_rows *c, int row)
{
    const struct geometry *g = c->geometry;
    for (int tap = 0; tap < g->kernel; tap++) {
        int down = row + g->pad - tap;
        if (down >= 0 && down % g->stride == 0 && down / g->stride < c->y.h)
            return true;
    }
    return false;
}

static void pack_x(const struct weight_gradient_rows *c, const struct block *b, const uint16_t *x,
                   char *to)
{
    const struct geometry *g = c->geometry;
    struct packing p = {.grid = &c->x, .tensor = x, .panel = b->in, .panels = b->in_end - b->in};
    p.step = panel_step(c, x_group(c));
    for (p.group = b->group; p.group < b->group_end; p.group++)
        for (p.row = 0; p.row < c->x.h; p.row++) {
            char *row = to + (size_t)(p.group - b->group) * x_group(c) + (size_t)p.row * x_row(c);
            if (!is_seen(c, p.row))
                continue;
            for (int pair = 0; pair < c->pairs; pair++)
                for (int phase = 0; phase < c->phases; phase++)
                    for (int place = pair; place < c->places; place += c->pairs)
                        c->tiles->pack_place(
                            place_at(c, &p, place / c->pairs * g->stride + phase - g->pad, pair),
                            p.panels * LANES, row + (size_t)(phase * c->places + place) * LINE,
                            p.step);
        }
}

static void pack_y(const struct weight_gradient_rows *c, const struct block *b, const uint16_t *y,
                   char *to)
{
    struct packing p = {.grid = &c->y, .tensor = y, .panel = b->out, .panels = b->out_end - b->out};
    p.step = panel_step(c, y_group(c));
    for (p.group = b->group; p.group < b->group_end; p.group++)
        for (p.row = 0; p.row < c->y.h; p.row++) {
            char *row =
                to + (size_t)(p.group - b->group) * y_group(c) + (size_t)(p.row * c->chunks) * TILE;
            for (int chunk = 0; chunk < c->chunks; chunk++) {
                struct pixel_pair place[PLACES];
                for (int i = 0; i < PLACES; i++)
                    place[i] = place_at(c, &p, (chunk * PLACES + i) / c->pairs,
                                        (chunk * PLACES + i) % c->pairs);
                c->tiles->pack_places(place, p.panels * LANES, row + (size_t)chunk * TILE, p.step);
            }
        }
}

/* The rows of y that see a row of x through row `down` of the window: first .. end - 1. */
static void rows_of(const struct weight_gradient_rows *c, int down, int *first, int *end)
{
    const struct geometry *g = c->geometry;
    *first = g->pad > down ? divide_up(g->pad - down, g->stride) : 0;
    *end = c->x.h - 1 + g->pad - down < 0 ? 0 : (c->x.h - 1 + g->pad - down) / g->stride + 1;
    *end = smaller(*end, c->y.h);
}

/* One tap of up to two by two panels. */
static void sum_tap(const struct weight_gradient_rows *c, struct outer_rows *o, int tap,
                    const char *a, const char *b, const size_t step[2], float *gradient)
{
    const struct geometry *g = c->geometry;
    int down = tap / g->kernel, right = tap % g->kernel, first, end;
    rows_of(c, down, &first, &end);
    o->rows = end > first ? end - first : 0;
    if (o->rows) {
        a += (size_t)first * o->a_row;
        b += (size_t)(first * g->stride + down - g->pad) * x_row(c) +
             (size_t)(right % g->stride * c->places + right / g->stride * c->pairs) * LINE;
    }
    o->a[0] = a;
    o->a[1] = step[0] ? a + step[0] : NULL;
    o->b[0] = b;
    o->b[1] = step[1] ? b + step[1] : NULL;
    o->to = gradient + (size_t)tap * (size_t)c->x.c;
    c->tiles->outer_rows(o);
}

/* A block of weights over what was packed for it. */
static void sum_block(const struct weight_gradient_rows *c, const struct block *b, const char *x,
                      const char *y, float *gradient)
{
    int groups = b->group_end - b->group, taps = c->geometry->kernel * c->geometry->kernel;
    struct outer_rows o = {.a_group = y_group(c),
                           .a_row = (size_t)c->chunks * TILE,
                           .b_group = x_group(c),
                           .b_row = (size_t)c->geometry->stride * x_row(c),
                           .groups = groups,
                           .chunks = c->chunks,
                           .to_step = (size_t)taps * (size_t)c->x.c,
                           .add = b->group > 0};
    size_t x_step = panel_step(c, o.b_group), y_step = panel_step(c, o.a_group);
    c->tiles->claim();
    for (int in = b->in; in < b->in_end; in += 2)
        for (int out = b->out; out < b->out_end; out += 2) {
            size_t step[2] = {out + 1 < b->out_end ? y_step : 0, in + 1 < b->in_end ? x_step : 0};
            for (int tap = 0; tap < taps; tap++)
                sum_tap(c, &o, tap, y + (size_t)(out - b->out) * y_step,
                        x + (size_t)(in - b->in) * x_step, step,
                        gradient + (size_t)(out * LANES) * o.to_step + (size_t)(in * LANES));
        }
    c->tiles->release();
}

void weight_gradient_rows_run(const struct weight_gradient_rows *c, const void *x, float *gradient,
                              const void *dy, void *scratch)
{
    int across = divide_up(c->in, c->block_in), blocks = blocks_of(c);
    char *first = (char *)scratch + (LINE - (uintptr_t)scratch % LINE) % LINE;
#pragma omp parallel for schedule(dynamic) num_threads(c->threads)
    for (int i = 0; i < blocks; i++) {
        int out = i / across * c->block_out, in = i % across * c->block_in;
        struct block b = {.out = out,
                          .out_end = smaller(c->out, out + c->block_out),
                          .in = in,
                          .in_end = smaller(c->in, in + c->block_in)};
        char *own = first + thread_bytes(c) * (size_t)omp_get_thread_num();
        for (; b.group < c->groups; b.group = b.group_end) {
            b.group_end = smaller(c->groups, b.group + c->at_once);
            pack_x(c, &b, x, own);
            pack_y(c, &b, dy, own + x_bytes(c));
            sum_block(c, &b, own, own + x_bytes(c), gradient);
        }
    }
}
