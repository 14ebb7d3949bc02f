/* Tiles of weights: some of y's channels (rows) by some of x's (columns), each an outer product of
 * two pixels' channels summed over all that see each other through the tap. In bf16 images are
 * paired first, since its instruction adds products in pairs; in float32 nothing is copied, but for
 * small tiles, which read so often that pixels must lie close together.
 *
 * Many tiles sum over the same few pixels of x and y before they go on to the next, which are
 * fetched meanwhile. */
#include "backend/onednn/weight_gradient.h"

#include <omp.h>
#include <string.h>

#include "backend/onednn/weight_gradient_plan.h"

enum { LINE = 64 };

/* A block of weights: panels of x's channels, tiles of y's. */
struct block {
    int panel, panel_end, tile, tile_end;
};

/* What all of a block's tiles visit before the next: some units of some images, and of y's and x's
 * tensor the pixels there. */
struct part {
    const struct grid *grid;
    const char *tensor;
    int row, rows, pixel, pixels; /* images, and pixels of each */
    int channel, channels;
    int quota, at_row, at_pixel; /* fetched at a time, and which comes next */
};

static struct part part_of_y(const struct weight_gradient *c, const char *y, const struct block *b,
                             int row, int unit)
{
    int pairs = c->tiles->bf16 ? 2 : 1, channel = c->begin[b->tile], per_unit = c->run ? c->y.w : 1;
    return (struct part){
        .grid = &c->y,
        .tensor = y,
        .row = pairs * row,
        .rows = smaller(pairs * c->at_once, c->y.rows - pairs * row),
        .pixel = unit * per_unit,
        .pixels = smaller(c->some, c->units - unit) * per_unit,
        .channel = channel,
        .channels = c->begin[b->tile_end] - channel,
    };
}

static struct part part_of_x(const struct weight_gradient *c, const char *x, const struct block *b,
                             int row, int unit)
{
    int pairs = c->tiles->bf16 ? 2 : 1, first = 0, end = c->x.h;
    if (c->run && c->some < c->units) {
        first = unit * c->geometry->stride - c->geometry->pad,
        end = (smaller(unit + c->some, c->units) - 1) * c->geometry->stride + c->geometry->kernel -
              c->geometry->pad;
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
        .channel = b->panel * c->panel,
        .channels = smaller(c->x.c, b->panel_end * c->panel) - b->panel * c->panel,
    };
}

static const char *pixel_at(const struct weight_gradient *c, const struct part *p, int row,
                            int pixel)
{
    size_t at = (size_t)(p->row + row) * (size_t)pixels(p->grid) + (size_t)(p->pixel + pixel);
    return p->tensor + (at * (size_t)p->grid->c + (size_t)p->channel) * size_of(c);
}

/* Some more of the part's pixels. */
static void fetch(const struct weight_gradient *c, struct part *p)
{
    for (int n = p->quota; n > 0 && p->at_row < p->rows; n--) {
        const char *from = pixel_at(c, p, p->at_row, p->at_pixel);
        for (size_t byte = 0; byte < (size_t)p->channels * size_of(c); byte += LINE)
            __builtin_prefetch(from + byte, 0, 2);
        if (++p->at_pixel >= p->pixels)
            p->at_pixel = 0, p->at_row++;
    }
}

static bool is_used(const struct weight_gradient *c, const struct part *p, int pixel)
{
    return p->grid == &c->y || c->used[p->pixel + pixel];
}

/* In bf16: with its images paired in `to`. */
static struct factor paired(const struct weight_gradient *c, const struct part *p, char *to)
{
    size_t channels = (size_t)p->channels, row = (size_t)p->pixels * channels;
    for (int r = 0; r < p->rows; r += 2)
        for (int i = 0; i < p->pixels; i++)
            if (is_used(c, p, i))
                c->tiles->pair(pixel_at(c, p, r, i),
                               r + 1 < p->rows ? pixel_at(c, p, r + 1, i) : NULL, channels,
                               to + ((size_t)(r / 2) * row + (size_t)i * channels) * ELEMENT);
    return (struct factor){to, p->pixel, channels, row};
}

/* Sixteen channels of all pixels, a line of memory each, then the next sixteen. */
static struct factor in_lines(const struct weight_gradient *c, const struct part *p, char *to)
{
    size_t line = (size_t)p->rows * (size_t)p->pixels * LANES;
    for (int r = 0; r < p->rows; r++)
        for (int i = 0; i < p->pixels; i++) {
            const float *from = (const float *)(const void *)pixel_at(c, p, r, i);
            float *at = (float *)(void *)to + ((size_t)r * (size_t)p->pixels + (size_t)i) * LANES;
            for (int channel = 0; is_used(c, p, i) && channel < p->channels;
                 channel += LANES, from += LANES, at += line)
                memcpy(at, from, LINE);
        }
    return (struct factor){to, p->pixel, LANES, (size_t)p->pixels * LANES};
}

/* The part as a factor: copied, or where it lies, as narrow tiles want it where there are but
 * sixteen channels. */
static struct factor factor_of(const struct weight_gradient *c, const struct part *p, char *to)
{
    size_t channels = (size_t)p->grid->c;
    if (c->tiles->bf16)
        return paired(c, p, to);
    if (c->tiles->narrow && channels > LANES)
        return in_lines(c, p, to);
    return (struct factor){pixel_at(c, p, 0, -p->pixel), 0, channels,
                           (size_t)pixels(p->grid) * channels};
}

/* Elements from a factor's first channel to this one. */
static size_t to_channel(const struct weight_gradient *c, const struct part *p, int channel)
{
    size_t line = c->tiles->narrow ? (size_t)p->rows * (size_t)p->pixels * LANES : LANES;
    return (size_t)(channel / LANES) * line + (size_t)(channel % LANES);
}

static size_t gradient_step(const struct weight_gradient *c)
{
    return (size_t)c->geometry->kernel * (size_t)c->geometry->kernel * (size_t)c->x.c;
}

static float *in_gradient(const struct weight_gradient *c, float *gradient, int i, int out, int in)
{
    return gradient + (size_t)out * gradient_step(c) +
           (size_t)c->geometry->tap[i] * (size_t)c->x.c + (size_t)in;
}

/* The same where it is summed in scratch: [tap][panel][out][LANES]. */
static float *in_sums(const struct weight_gradient *c, float *sums, int i, const struct block *b,
                      int panel, int out)
{
    size_t at = (size_t)(i * (b->panel_end - b->panel) + panel - b->panel),
           first = (size_t)c->begin[b->tile];
    return sums + (at * ((size_t)c->begin[b->tile_end] - first) + (size_t)out - first) * LANES;
}

static void copy_sums(const struct weight_gradient *c, float *sums, const struct block *b,
                      float *gradient)
{
    for (int out = c->begin[b->tile]; out < c->begin[b->tile_end]; out++)
        for (int i = 0; i < c->geometry->active; i++)
            for (int panel = b->panel; panel < b->panel_end; panel++)
                memcpy(in_gradient(c, gradient, i, out, panel * c->panel),
                       in_sums(c, sums, i, b, panel, out), LANES * sizeof(float));
}

/* All of a block's tiles against what t sums over, for active tap i; between them the next parts
 * are fetched. */
static void sum_tiles(const struct weight_gradient *c, const struct outer *all, float *gradient,
                      float *sums, int i, const struct block *b, const struct part here[2],
                      struct part next[2])
{
    int first = c->begin[b->tile];
    struct outer t = *all;
    t.to_step = c->in_scratch ? LANES : gradient_step(c);
    for (int panel = b->panel; panel < b->panel_end; panel++) {
        int column = panel * c->panel,
            vectors = panel_vectors(c->x.c, panel, c->tiles->outer_size.vectors);
        t.b.at = (const char *)all->b.at +
                 to_channel(c, &here[0], column - b->panel * c->panel) * ELEMENT;
        for (int tile = b->tile; tile < b->tile_end; tile++) {
            int o = c->begin[tile];
            fetch(c, &next[0]);
            fetch(c, &next[1]);
            t.a.at = (const char *)all->a.at + to_channel(c, &here[1], o - first) * ELEMENT;
            t.to = c->in_scratch ? in_sums(c, sums, i, b, panel, o)
                                 : in_gradient(c, gradient, i, o, column);
            c->tiles->outer(&t, c->begin[tile + 1] - o, vectors);
        }
    }
}

/* The parts of x and y that come after these, none (of no pixels) at the end or where nothing
 * needs to be fetched. */
static void look_ahead(const struct weight_gradient *c, const char *x, const char *y,
                       const struct block *b, int row, int unit, struct part next[2])
{
    int calls = (b->panel_end - b->panel) * (b->tile_end - b->tile) * c->geometry->active;
    if (unit + c->some < c->units)
        unit += c->some;
    else
        row += c->at_once, unit = 0;
    next[0] = next[1] = (struct part){0};
    if (!c->fetch || row * (c->tiles->bf16 ? 2 : 1) >= c->x.rows)
        return;
    next[0] = part_of_x(c, x, b, row, unit);
    next[1] = part_of_y(c, y, b, row, unit);
    for (int i = 0; i < 2; i++)
        next[i].quota = divide_up(next[i].rows * next[i].pixels, calls);
}

/* The gradient of one block, summed over some rows of some images at a time by all taps, so that
 * both stay in a cache: along the rows, or, where they are short (or the kernel is 1x1, and all
 * pixels are rows), along the images. */
static void sum_block(const struct weight_gradient *c, const char *x, const char *y,
                      float *gradient, const struct block *b, char *scratch)
{
    int rows = c->tiles->bf16 ? divide_up(c->x.rows, 2) : c->x.rows;
    float *sums =
        (float *)(void *)(scratch + weight_gradient_x_bytes(c) + weight_gradient_y_bytes(c));
    struct outer t = {0};
    for (int row = 0; row < rows; row += c->at_once)
        for (int unit = 0; unit < c->units; unit += c->some) {
            struct part next[2],
                here[2] = {part_of_x(c, x, b, row, unit), part_of_y(c, y, b, row, unit)};
            look_ahead(c, x, y, b, row, unit, next);
            t.b = factor_of(c, &here[0], scratch);
            t.a = factor_of(c, &here[1], scratch + weight_gradient_x_bytes(c));
            if (c->run) {
                t.b.step = (size_t)c->geometry->stride * t.b.pixel;
                t.a.step = t.a.pixel;
            }
            for (int i = 0; i < c->geometry->active; i++) {
                const int *first = c->first + i * c->units;
                int images = smaller(c->at_once, rows - row);
                t.tap = c->tap + first[0] * c->repeats + first[unit] - first[0];
                t.taps = (first[smaller(unit + c->some, c->units)] - first[unit]) *
                         (c->run ? images : 1);
                t.count = c->run ? c->run[i] : images;
                t.add = row || first[unit] > first[0];
                if (t.taps)
                    sum_tiles(c, &t, gradient, sums, i, b, here, next);
            }
        }
    if (c->in_scratch)
        copy_sums(c, sums, b, gradient);
}

static void clear_inactive(const struct weight_gradient *c, float *gradient, int o)
{
    int taps = c->geometry->kernel * c->geometry->kernel, i = 0;
    for (int tap = 0; tap < taps; tap++)
        if (i < c->geometry->active && c->geometry->tap[i] == tap)
            i++;
        else
            memset(gradient + ((size_t)o * (size_t)taps + (size_t)tap) * (size_t)c->x.c, 0,
                   (size_t)c->x.c * sizeof *gradient);
}

void weight_gradient_run(const struct weight_gradient *c, const void *x, float *gradient,
                         const void *dy, void *scratch)
{
    int tiles = tiles_of(c), panels = divide_up(c->x.c, c->panel);
    int across = divide_up(tiles, c->block_tiles),
        blocks = across * divide_up(panels, c->block_panels);
    size_t own = weight_gradient_thread_bytes(c);
#pragma omp parallel num_threads(c->threads)
    {
        if (c->geometry->active < c->geometry->kernel * c->geometry->kernel) {
#pragma omp for nowait
            for (int o = 0; o < c->y.c; o++)
                clear_inactive(c, gradient, o);
        }
#pragma omp for schedule(dynamic)
        for (int i = 0; i < blocks; i++) {
            int panel = i / across * c->block_panels, tile = i % across * c->block_tiles;
            struct block b = {panel, smaller(panels, panel + c->block_panels), tile,
                              smaller(tiles, tile + c->block_tiles)};
            sum_block(c, x, dy, gradient, &b, (char *)scratch + own * (size_t)omp_get_thread_num());
        }
    }
}
