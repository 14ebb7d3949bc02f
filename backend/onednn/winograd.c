/* Squares are taken by blocks: all windows of a block are changed into points,
 * [point][square][channel], then multiplied point by point, while the block's points lie in the
 * second cache. A pixel beyond the image's edge is read from a line of zeros and written to a line
 * that nobody reads, so that all squares are whole.
 *
 * Forward and to the input each thread takes blocks as it comes to them; weights are changed and
 * packed before, by all together. To the weights the sums of the points' products grow with every
 * block. Where they are few each thread has its own, of its own squares; where they are many there
 * is one set, of which each thread takes chunks: then a block is changed by all together before. */
#include "backend/onednn/winograd.h"

#include <omp.h>
#include <string.h>

#include "backend/onednn/chunks.h"
#include "base/alloc.h"

enum {
    SIDE = 3,
    TAPS = SIDE * SIDE,
    WINDOW = 4,
    RESULT = 2,         /* pixels of a square's side */
    DEPTH = 64,         /* channels of weights that are changed before they are packed */
    LEAST = 24,         /* squares in a block: a multiple of most tiles' rows */
    LEAST_SUMMED = 96,  /* the same to the weights */
    PRIVATE = 64 << 10, /* up to so many sums each thread has its own */
};

struct winograd {
    const struct tiles *tiles;
    enum direction direction;
    int threads;
    int n, h, w;      /* images */
    int x_c, y_c;     /* channels */
    int down, across; /* squares of an image */
    int block;        /* squares at a time */
    bool private;     /* each thread has its own squares; to the weights also its own sums */
};

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static int greater(int a, int b)
{
    return a > b ? a : b;
}

static size_t points_of_weights(const struct winograd *w)
{
    return (size_t)POINTS * (size_t)w->x_c * (size_t)w->y_c;
}

static int squares_of(const struct winograd *w)
{
    return w->n * w->down * w->across;
}

/* Squares enough that weights, or sums, which every block reads anew, are worth it. */
static void cut(struct winograd *w)
{
    size_t square = (size_t)(POINTS * (w->x_c + w->y_c)), weights = points_of_weights(w);
    bool sums = w->direction == BACKWARD_WEIGHTS;
    w->private = !sums || w->threads == 1 || weights <= PRIVATE;
    w->block = sums ? greater((int)(weights / square), LEAST_SUMMED)
                    : greater((int)(weights / square / 2) / LEAST * LEAST, LEAST);
    if (!w->private)
        w->block *= w->threads;
    w->block = smaller(w->block, squares_of(w));
}

struct winograd *winograd_open(enum direction d, const struct unit_shape *s, const struct layout *x,
                               const struct layout *y, const struct tiles *t, int threads)
{
    if (s->kernel != SIDE || s->stride != 1 || s->pad != 1 || x->c % LANES || y->c % LANES || !t ||
        t->bf16 || x->bf16 || y->bf16)
        return NULL;
    struct winograd *w = xcalloc(1, sizeof *w);
    *w = (struct winograd){.tiles = t,
                           .direction = d,
                           .threads = threads,
                           .n = x->n,
                           .h = x->h,
                           .w = x->w,
                           .x_c = x->c,
                           .y_c = y->c};
    w->down = (x->h + RESULT - 1) / RESULT;
    w->across = (x->w + RESULT - 1) / RESULT;
    cut(w);
    return w;
}

void winograd_close(struct winograd *w)
{
    xfree(w);
}

/* A block's points of one tensor: [point][line of channels][square][channel of the line], with some
 * room between the points, which would else lie at the same places of the first cache. */
struct points {
    float *at;
    int channels, line;
    size_t squares, step;
};

static struct points points_of(const struct winograd *w, float *at, int channels, bool in_lines)
{
    size_t squares = (size_t)w->block;
    return (struct points){at, channels, in_lines ? LANES : channels, squares,
                           squares * (size_t)channels + LANES};
}

static size_t points_count(const struct points *p)
{
    return POINTS * p->step;
}

static float *point_at(const struct points *p, int point, int channel)
{
    return p->at + (size_t)point * p->step + (size_t)(channel / p->line * p->line) * p->squares +
           (size_t)(channel % p->line);
}

/* Narrow tiles read the factors of sums over squares so often that they must lie close together. */
static bool in_lines(const struct winograd *w)
{
    return w->direction == BACKWARD_WEIGHTS && w->tiles->narrow;
}

/* A block's points of x and of y, in floats. */
static size_t block_floats(const struct winograd *w)
{
    struct points x = points_of(w, NULL, w->x_c, false), y = points_of(w, NULL, w->y_c, false);
    return points_count(&x) + points_count(&y);
}

/* One thread's part of the scratch block, in floats: points, before that weights on their way, and
 * two lines for what lies beyond the edge. */
static size_t thread_floats(const struct winograd *w)
{
    size_t packing = (size_t)(POINTS * DEPTH * LANES) * (size_t)w->tiles->dot_size.vectors,
           points = w->private ? block_floats(w) : 0;
    return (points > packing ? points : packing) + 2 * (size_t)greater(w->x_c, w->y_c);
}

/* What all threads share: weights or sums, and the points where they have none of their own. */
static size_t shared_floats(const struct winograd *w)
{
    bool many = w->direction == BACKWARD_WEIGHTS && w->private;
    return points_of_weights(w) * (size_t)(many ? w->threads : 1) +
           (w->private ? 0 : block_floats(w));
}

size_t winograd_scratch(const struct winograd *w)
{
    return (shared_floats(w) + thread_floats(w) * (size_t)w->threads) * sizeof(float);
}

/* How a tensor's pixels make squares: so many a side, the first of them `before` pixels before the
 * four of the result. */
struct cut {
    enum change change;
    int side, before;
};

static const struct cut windows = {WINDOW_TO_POINTS, WINDOW, 1},
                        read_results = {RESULT_TO_POINTS, RESULT, 0},
                        written_results = {POINTS_TO_RESULT, RESULT, 0};

/* Places square `at` and, where it lies inside the image, all of its row that do so after it, at
 * most `most`; returns how many. */
static int place_pixels(const struct winograd *w, const struct cut *cut, float *tensor,
                        float *beyond, int at, int most, struct square *s)
{
    int line = at / w->across, column = at % w->across, top = line % w->down * RESULT - cut->before,
        left = column * RESULT - cut->before;
    ptrdiff_t first = ((ptrdiff_t)(line / w->down * w->h + top) * w->w + left) * s->channels;
    bool whole = top >= 0 && left >= 0 && top + cut->side <= w->h && left + cut->side <= w->w;
    for (int i = 0; i < cut->side; i++, first += (ptrdiff_t)w->w * s->channels)
        for (int k = 0; k < cut->side; k++) {
            bool inside =
                whole || (top + i >= 0 && top + i < w->h && left + k >= 0 && left + k < w->w);
            s->place[i * cut->side + k] =
                inside ? tensor + first + (ptrdiff_t)k * s->channels : beyond;
        }
    return whole ? smaller(most, (w->w - left - cut->side) / RESULT + 1) : 1;
}

/* Squares from .. to - 1 of a block that begins with square `first`. */
static void change_block(const struct winograd *w, const struct cut *cut, const float *tensor,
                         const struct points *p, int first, int from, int to, float *beyond)
{
    struct square s = {
        .point_step = p->step, .channels = p->channels, .next_point = (size_t)p->line};
    s.line_step = p->line == LANES ? p->squares * LANES : LANES;
    s.next_place = (size_t)(RESULT * p->channels);
    s.ahead = (size_t)(RESULT * w->w) * (size_t)p->channels;
    for (int i = from; i < to; i += s.count) {
        s.count = place_pixels(w, cut, (float *)tensor, beyond, first + i, to - i, &s);
        s.point = p->at + (size_t)i * (size_t)p->line;
        w->tiles->change[cut->change](&s);
    }
}

/* Channels of the result in a panel of packed weights. */
static int panel_channels(const struct winograd *w)
{
    return w->tiles->dot_size.vectors * LANES;
}

/* Some of the weights of one panel of y's channels: packed are [point][panel][channel of x][channel
 * of y]. */
static void pack_forward(const struct winograd *w, const float *weights, int panel, int depth,
                         float *changed, float *packed)
{
    int out = panel * panel_channels(w), columns = smaller(panel_channels(w), w->y_c - out),
        depths = smaller(DEPTH, w->x_c - depth);
    struct square s = {.point_step = (size_t)(columns * depths),
                       .line_step = LANES,
                       .count = 1,
                       .channels = depths};
    for (int column = 0; column < columns; column++) {
        for (int tap = 0; tap < TAPS; tap++)
            s.place[tap] = (float *)weights +
                           ((size_t)(out + column) * TAPS + (size_t)tap) * (size_t)w->x_c + depth;
        s.point = changed + column * depths;
        w->tiles->change[KERNEL_TO_POINTS](&s);
    }
    for (int point = 0; point < POINTS; point++)
        w->tiles->pack_transposed(
            changed + (size_t)point * s.point_step, (size_t)depths, depths, columns / LANES,
            packed + ((size_t)point * (size_t)w->y_c + (size_t)out) * (size_t)w->x_c +
                depth * columns);
}

/* The same back to the input, [point][panel][channel of y][channel of x], of the kernel rotated by
 * half a circle. */
static void pack_data(const struct winograd *w, const float *weights, int panel, int depth,
                      float *packed)
{
    int in = panel * panel_channels(w), columns = smaller(panel_channels(w), w->x_c - in),
        depths = smaller(DEPTH, w->y_c - depth);
    struct square s = {.point_step = (size_t)w->x_c * (size_t)w->y_c,
                       .line_step = LANES,
                       .count = 1,
                       .channels = columns};
    for (int out = depth; out < depth + depths; out++) {
        for (int tap = 0; tap < TAPS; tap++)
            s.place[TAPS - 1 - tap] =
                (float *)weights + ((size_t)out * TAPS + (size_t)tap) * (size_t)w->x_c + in;
        s.point = packed + (size_t)in * (size_t)w->y_c + (size_t)(out * columns);
        w->tiles->change[KERNEL_TO_POINTS](&s);
    }
}

/* Point by point, `count` squares' points times the weights. */
static void multiply(const struct winograd *w, const struct points *source, const float *packed,
                     const struct points *result, int count)
{
    static const struct tap here;
    struct dot t = {.tap = &here, .taps = 1, .depth = source->channels};
    t.source_step = (size_t)source->channels;
    t.to_step = (size_t)result->channels;
    for (int point = 0; point < POINTS; point++)
        for (int first = 0; first < result->channels; first += panel_channels(w)) {
            int vectors = smaller(panel_channels(w), result->channels - first) / LANES,
                most = tile_rows(&w->tiles->dot_size, vectors);
            int tiles = (count + most - 1) / most;
            t.weights = packed + ((size_t)point * (size_t)result->channels + (size_t)first) *
                                     (size_t)source->channels;
            for (int tile = 0; tile < tiles; tile++) {
                int row = count * tile / tiles, end = count * (tile + 1) / tiles;
                t.source = point_at(source, point, 0) + (size_t)row * t.source_step;
                t.to = point_at(result, point, first) + (size_t)row * t.to_step;
                w->tiles->dot(&t, end - row, vectors);
            }
        }
}

/* Forward, and back to the input. */
static void run_squares(const struct winograd *w, void *const operand[OPERANDS], float *packed,
                        float *own)
{
    bool forward = w->direction == FORWARD;
    int squares = squares_of(w),
        blocks = w->threads * ((squares + w->threads * w->block - 1) / (w->threads * w->block));
    const float *from = operand[forward ? OPERAND_X : OPERAND_Y];
    float *to = operand[forward ? OPERAND_Y : OPERAND_X];
    struct points source = points_of(w, own, forward ? w->x_c : w->y_c, false);
    struct points result =
        points_of(w, own + points_count(&source), forward ? w->y_c : w->x_c, false);
    float *zeros = own + thread_floats(w) - source.channels, *nowhere = zeros - result.channels;
    int panels = (result.channels + panel_channels(w) - 1) / panel_channels(w),
        depths = (source.channels + DEPTH - 1) / DEPTH;
#pragma omp for
    for (int i = 0; i < panels * depths; i++)
        if (forward)
            pack_forward(w, operand[OPERAND_W], i / depths, i % depths * DEPTH, own, packed);
        else
            pack_data(w, operand[OPERAND_W], i / depths, i % depths * DEPTH, packed);
    memset(zeros, 0, (size_t)source.channels * sizeof *zeros);
#pragma omp for schedule(dynamic)
    for (int i = 0; i < blocks; i++) {
        int first = (int)chunk_at(squares, blocks, i),
            count = (int)chunk_at(squares, blocks, i + 1) - first;
        change_block(w, &windows, from, &source, first, 0, count, zeros);
        multiply(w, &source, packed, &result, count);
        change_block(w, &written_results, to, &result, first, 0, count, nowhere);
    }
}

/* The sums to the weights, [point][line of x's channels][channel of y][channel of the line], where
 * a line is all of them or LANES. */
static float *sums_at(const struct winograd *w, float *sums, int line, int point, int out, int in)
{
    return sums + ((size_t)point * (size_t)w->x_c + (size_t)(in / line * line)) * (size_t)w->y_c +
           (size_t)(out * line + in % line);
}

/* Channels of x in a panel of sums. */
static int panel_of_sums(const struct winograd *w)
{
    return w->tiles->outer_size.vectors * LANES;
}

/* One panel of x's channels at one point, all of y's, over `count` squares. */
static void sum_panel(const struct winograd *w, const struct points *x, const struct points *y,
                      int point, int in, int count, float *sums, bool add)
{
    static const struct tap here;
    int vectors = smaller(panel_of_sums(w), w->x_c - in) / LANES,
        most = tile_rows(&w->tiles->outer_size, vectors);
    int tiles = (LANES + most - 1) / most; /* in a line of y's channels */
    struct outer t = {
        .tap = &here, .taps = 1, .count = count, .to_step = (size_t)x->line, .add = add};
    t.a.step = (size_t)y->line;
    t.b.step = (size_t)x->line;
    t.b.at = point_at(x, point, in);
    for (int i = 0; i < y->channels / LANES * tiles; i++) {
        int out = (i * LANES + tiles - 1) / tiles, end = ((i + 1) * LANES + tiles - 1) / tiles;
        t.a.at = point_at(y, point, out);
        t.to = sums_at(w, sums, x->line, point, out, in);
        w->tiles->outer(&t, end - out, vectors);
    }
}

/* All threads' sums together, changed into weights. */
static void conclude(const struct winograd *w, float *sums, int line, float *weights)
{
    size_t count = points_of_weights(w);
    if (w->private) {
#pragma omp for
        for (size_t i = 0; i < count / LANES; i++)
            for (int other = 1; other < omp_get_num_threads(); other++)
                for (size_t k = i * LANES; k < (i + 1) * LANES; k++)
                    sums[k] += sums[(size_t)other * count + k];
    }
#pragma omp for
    for (int out = 0; out < w->y_c; out++) {
        struct square s = {.point = sums_at(w, sums, line, 0, out, 0),
                           .point_step = (size_t)w->x_c * (size_t)w->y_c,
                           .count = 1,
                           .channels = w->x_c};
        s.line_step = line == LANES ? (size_t)w->y_c * LANES : LANES;
        for (int tap = 0; tap < TAPS; tap++)
            s.place[tap] = weights + ((size_t)out * TAPS + (size_t)tap) * (size_t)w->x_c;
        w->tiles->change[POINTS_TO_KERNEL](&s);
    }
}

/* Some squares that follow one another: of a thread's own, or of all. */
struct run {
    int first, count;
};

static struct run run_at(const struct run *all, int parts, int i)
{
    int from = (int)chunk_at(all->count, parts, i), to = (int)chunk_at(all->count, parts, i + 1);
    return (struct run){all->first + from, to - from};
}

/* A block's products, by one thread. */
static void sum_alone(const struct winograd *w, void *const operand[OPERANDS],
                      const struct points *x, const struct points *y, const struct run *block,
                      float *sums, float *zeros, bool add)
{
    int panel = panel_of_sums(w), panels = (w->x_c + panel - 1) / panel;
    change_block(w, &windows, operand[OPERAND_X], x, block->first, 0, block->count, zeros);
    change_block(w, &read_results, operand[OPERAND_Y], y, block->first, 0, block->count, zeros);
    for (int set = 0; set < POINTS * panels; set++)
        sum_panel(w, x, y, set / panels, set % panels * panel, block->count, sums, add);
}

/* By all threads, each with chunks of the squares and then of the sums. */
static void sum_together(const struct winograd *w, void *const operand[OPERANDS],
                         const struct points *x, const struct points *y, const struct run *block,
                         float *sums, float *zeros, bool add)
{
    int panel = panel_of_sums(w), panels = (w->x_c + panel - 1) / panel;
    int chunks = chunks_of(block->count, 1, w->threads),
        of_sums = chunks_of(POINTS * panels, 1, w->threads);
#pragma omp for schedule(dynamic) nowait
    for (int i = 0; i < chunks; i++)
        change_block(w, &windows, operand[OPERAND_X], x, block->first,
                     (int)chunk_at(block->count, chunks, i),
                     (int)chunk_at(block->count, chunks, i + 1), zeros);
#pragma omp for schedule(dynamic)
    for (int i = 0; i < chunks; i++)
        change_block(w, &read_results, operand[OPERAND_Y], y, block->first,
                     (int)chunk_at(block->count, chunks, i),
                     (int)chunk_at(block->count, chunks, i + 1), zeros);
#pragma omp for schedule(dynamic)
    for (int i = 0; i < of_sums; i++)
        for (int set = (int)chunk_at(POINTS * panels, of_sums, i);
             set < chunk_at(POINTS * panels, of_sums, i + 1); set++)
            sum_panel(w, x, y, set / panels, set % panels * panel, block->count, sums, add);
}

/* Back to the weights. `points` are the thread's own, or those of all. */
static void run_weights(const struct winograd *w, void *const operand[OPERANDS], float *sums,
                        float *points, float *own)
{
    int thread = w->private ? omp_get_thread_num() : 0,
        team = w->private ? omp_get_num_threads() : 1;
    struct points x = points_of(w, points, w->x_c, in_lines(w)),
                  y = points_of(w, points + points_count(&x), w->y_c, in_lines(w));
    float *zeros = own + thread_floats(w) - greater(w->x_c, w->y_c),
          *mine = sums + (size_t)thread * points_of_weights(w);
    struct run all = run_at(&(struct run){0, squares_of(w)}, team, thread);
    int blocks = (all.count + w->block - 1) / w->block;
    memset(zeros, 0, (size_t)greater(w->x_c, w->y_c) * sizeof *zeros);
    if (!blocks)
        memset(mine, 0, points_of_weights(w) * sizeof *mine);
    for (int i = 0; i < blocks; i++) {
        struct run block = run_at(&all, blocks, i);
        (w->private ? sum_alone : sum_together)(w, operand, &x, &y, &block, mine, zeros, i > 0);
    }
#pragma omp barrier
    conclude(w, sums, x.line, operand[OPERAND_W]);
}

void winograd_run(const struct winograd *w, void *const operand[OPERANDS], void *scratch)
{
    float *shared = scratch, *points = shared + shared_floats(w);
#pragma omp parallel num_threads(w->threads)
    {
        float *own = points + (size_t)omp_get_thread_num() * thread_floats(w);
        if (w->direction == BACKWARD_WEIGHTS)
            run_weights(w, operand, shared, w->private ? own : shared + points_of_weights(w), own);
        else
            run_squares(w, operand, shared, own);
    }
}
