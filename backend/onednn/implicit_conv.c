/* result[row][pixel] = sum over its connections of source[row][pixel'] times the tap's matrix of
 * weights, in tiles of some rows and a panel of weights (as many channels as the tiles are wide)
 * that see the same connections.
 *
 * Weights are packed to panels at every call: by each thread for its own panels just before it uses
 * them, so that they are read from memory once and stay in the second cache, or, when they are few,
 * by all threads for all. Beside that nothing is copied. */
#include "backend/onednn/implicit_conv.h"

#include <omp.h>
#include <string.h>

#include "backend/onednn/chunks.h"
#include "base/alloc.h"

enum {
    PANEL_BYTES = 512 << 10,  /* of a panel's weights that one pass over the rows uses */
    SOURCE_BYTES = 128 << 10, /* of rows that all panels visit before the next */
    NEAR_BYTES = 96 << 10, /* of rows of the source and of the result, where narrow tiles find all
                              weights in the second cache */
};

struct implicit_conv {
    const struct geometry *geometry;
    const struct grid *source, *result;
    const struct tiles *tiles;
    bool forward;
    int threads;
    int panel, panels; /* channels of the result in one; how many there are */
    int slice, slices; /* of the source's channels, that are summed at once */
    int group;         /* rows that are visited together */
    bool by_panel;     /* each thread has its panels (or its rows) */
    int *first;        /* tap[first[p]] .. tap[first[p + 1] - 1] are pixel p's connections */
    struct tap *tap;
};

static size_t size_of(const struct implicit_conv *g)
{
    return g->tiles->bf16 ? 2 : 4;
}

/* How the work is cut, so that what is used again is still in a cache. Only float32 sums can be
 * taken up again where they were left, so bf16 takes all channels at once. */
static void cut(struct implicit_conv *g)
{
    int depth = g->source->c;
    size_t row = (size_t)g->geometry->active * (size_t)g->panel * size_of(g),
           panel = (size_t)depth * row;
    g->panels = divide_up(g->result->c, g->panel);
    g->slice = depth;
    if (!g->tiles->bf16 && panel > PANEL_BYTES)
        g->slice = divide_up(depth, divide_up((int)(panel >> 10), PANEL_BYTES >> 10));
    g->slice = divide_up(g->slice, LANES) * LANES;
    g->slices = divide_up(depth, g->slice);
    g->by_panel = g->panels % g->threads == 0 && (size_t)g->panels * panel > g->tiles->shared_bytes;
    size_t bytes = (size_t)depth * (size_t)pixels(g->source) * size_of(g), all = SOURCE_BYTES;
    int least = g->tiles->group_rows;
    if (g->tiles->narrow && (size_t)g->panels * panel <= g->tiles->shared_bytes) {
        bytes += (size_t)g->result->c * (size_t)pixels(g->result) * size_of(g);
        all = NEAR_BYTES;
    }
    g->group = (int)(all / bytes) / least * least;
    g->group = g->group < least ? least : g->group;
    g->group = smaller(g->group, divide_up(g->source->rows, g->by_panel ? 1 : g->threads));
}

static int pixel_of(const struct implicit_conv *g, const struct connection *c)
{
    return g->forward ? c->out : c->in;
}

/* Sorts the connections by the result's pixel, by counting. */
static void sort(struct implicit_conv *g)
{
    const struct geometry *m = g->geometry;
    int places = pixels(g->result);
    g->first = xcalloc((size_t)places + 2, sizeof *g->first);
    g->tap = xcalloc((size_t)m->connections, sizeof *g->tap);
    /* moved on to the end of its pixel, it is the beginning of the next one's */
    int *next = g->first + 1;
    for (int i = 0; i < m->connections; i++)
        next[pixel_of(g, &m->connection[i]) + 1]++;
    for (int p = 0; p < places; p++)
        next[p + 1] += next[p];
    for (int i = 0; i < m->connections; i++) {
        const struct connection *c = &m->connection[i];
        int from = g->forward ? c->in : c->out;
        g->tap[next[pixel_of(g, c)]++] =
            (struct tap){from * g->source->c, c->tap * g->slice * g->panel};
    }
}

struct implicit_conv *implicit_conv_open(const struct geometry *geometry, bool forward,
                                         const struct tiles *t, int threads)
{
    struct implicit_conv *g = xcalloc(1, sizeof *g);
    *g = (struct implicit_conv){
        .geometry = geometry, .tiles = t, .forward = forward, .threads = threads};
    g->panel = t->dot_size.vectors * LANES;
    g->source = forward ? &geometry->x : &geometry->y;
    g->result = forward ? &geometry->y : &geometry->x;
    cut(g);
    sort(g);
    return g;
}

void implicit_conv_close(struct implicit_conv *g)
{
    if (!g)
        return;
    xfree(g->first);
    xfree(g->tap);
    xfree(g);
}

/* Of one slice of one panel. */
static size_t panel_bytes(const struct implicit_conv *g)
{
    return (size_t)g->geometry->active * (size_t)g->slice * (size_t)g->panel * size_of(g);
}

size_t implicit_conv_scratch(const struct implicit_conv *g)
{
    return panel_bytes(g) * (size_t)(g->by_panel ? g->threads : g->panels * g->slices);
}

/* Weights of one panel, one slice and one active tap. */
static void pack(const struct implicit_conv *g, const float *w, int panel, int slice, int tap,
                 void *to)
{
    const struct geometry *m = g->geometry;
    int depth = smaller(g->source->c - slice * g->slice, g->slice),
        vectors = panel_vectors(g->result->c, panel, g->tiles->dot_size.vectors);
    size_t step = (size_t)m->kernel * (size_t)m->kernel * (size_t)m->x.c,
           k = (size_t)slice * (size_t)g->slice;
    void *at = (char *)to + (size_t)tap * (size_t)g->slice * (size_t)g->panel * size_of(g);
    w += (size_t)m->tap[tap] * (size_t)m->x.c;
    if (g->forward)
        g->tiles->pack_transposed(w + (size_t)panel * (size_t)g->panel * step + k, step, depth,
                                  vectors, at);
    else
        g->tiles->pack(w + k * step + (size_t)panel * (size_t)g->panel, step, depth, vectors, at);
}

/* What meets in the second cache: a panel's packed weights, a group of rows. */
struct meeting {
    const void *source, *weights;
    void *result;
    int panel, slice, group;
};

static int groups_of(const struct implicit_conv *g)
{
    return divide_up(g->source->rows, g->group);
}

/* Groups are as large as each other, or tiles at the end would be low. */
static int first_row(const struct implicit_conv *g, int group)
{
    return (int)((int64_t)g->source->rows * group / groups_of(g));
}

/* Pixels from .. to - 1 of the result. */
static void sum_tiles(const struct implicit_conv *g, const struct meeting *m, int from, int to)
{
    const struct grid *s = g->source, *r = g->result;
    size_t size = size_of(g), source_step = (size_t)pixels(s) * (size_t)s->c,
           result_step = (size_t)pixels(r) * (size_t)r->c;
    int vectors = panel_vectors(r->c, m->panel, g->tiles->dot_size.vectors),
        first = first_row(g, m->group), rows = first_row(g, m->group + 1) - first;
    int tiles = divide_up(rows, tile_rows(&g->tiles->dot_size, vectors)),
        channel = m->slice * g->slice;
    struct dot t = {.weights = m->weights,
                    .source_step = source_step,
                    .to_step = result_step,
                    .add = m->slice > 0};
    t.depth = smaller(s->c - channel, g->slice);
    for (int pixel = from; pixel < to; pixel++) {
        t.tap = g->tap + g->first[pixel];
        t.taps = g->first[pixel + 1] - g->first[pixel];
        for (int tile = 0; tile < tiles; tile++) {
            int row = first + rows * tile / tiles, end = first + rows * (tile + 1) / tiles;
            t.source =
                (const char *)m->source + ((size_t)row * source_step + (size_t)channel) * size;
            t.to = (char *)m->result + ((size_t)row * result_step + (size_t)pixel * (size_t)r->c +
                                        (size_t)(m->panel * g->panel)) *
                                           size;
            g->tiles->dot(&t, end - row, vectors);
        }
    }
}

/* Each thread takes panels, all rows of them. */
static void run_by_panel(const struct implicit_conv *g, const void *source, const float *w,
                         void *result, char *scratch)
{
    int groups = groups_of(g), places = pixels(g->result);
#pragma omp parallel num_threads(g->threads)
    {
        char *packed = scratch + (size_t)omp_get_thread_num() * panel_bytes(g);
#pragma omp for schedule(dynamic)
        for (int panel = 0; panel < g->panels; panel++)
            for (int slice = 0; slice < g->slices; slice++) {
                for (int tap = 0; tap < g->geometry->active; tap++)
                    pack(g, w, panel, slice, tap, packed);
                for (int group = 0; group < groups; group++)
                    sum_tiles(g, &(struct meeting){source, packed, result, panel, slice, group}, 0,
                              places);
            }
    }
}

/* Each thread takes rows and pixels, all panels of them. */
static void run_by_row(const struct implicit_conv *g, const void *source, const float *w,
                       void *result, char *scratch)
{
    int groups = groups_of(g), places = pixels(g->result), active = g->geometry->active;
    int pieces = g->panels * g->slices, chunks = chunks_of((int64_t)groups * places, 1, g->threads);
#pragma omp parallel num_threads(g->threads)
    {
#pragma omp for
        for (int i = 0; i < pieces * active; i++) {
            int piece = i / active;
            pack(g, w, piece / g->slices, piece % g->slices, i % active,
                 scratch + (size_t)piece * panel_bytes(g));
        }
#pragma omp for schedule(dynamic)
        for (int chunk = 0; chunk < chunks; chunk++) {
            int64_t at = chunk_at((int64_t)groups * places, chunks, chunk),
                    to = chunk_at((int64_t)groups * places, chunks, chunk + 1);
            for (; at < to; at += places - at % places) {
                int group = (int)(at / places), first = (int)(at % places);
                int last = to - at < places - first ? first + (int)(to - at) : places;
                for (int i = 0; i < pieces; i++) {
                    const char *packed = scratch + (size_t)i * panel_bytes(g);
                    sum_tiles(g,
                              &(struct meeting){source, packed, result, i / g->slices,
                                                i % g->slices, group},
                              first, last);
                }
            }
        }
    }
}

void implicit_conv_run(const struct implicit_conv *g, const void *source, const float *w,
                       void *result, void *scratch)
{
    (g->by_panel ? run_by_panel : run_by_row)(g, source, w, result, scratch);
}
