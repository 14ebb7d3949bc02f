/* Both directions are one loop: back to the input, a pixel sees its neighbours through the same
 * window rotated by half a circle.
 *
 * Weights are packed at every call, by all threads together, to panels of 32 columns: [panel][place
 * in the window][depth][column]. Each thread takes chunks of the images' rows; some rows meet all
 * panels before the next, so that they stay in the second cache. Multiply-adds: those of active
 * taps, and at the ends of a row one that is masked. */
#include "backend/onednn/simd.h"

#include "backend/onednn/chunks.h"
#include "base/alloc.h"

enum {
    SIDE = 3,
    WINDOW = SIDE * SIDE,
    NARROWEST = 8, /* pixels: below, the masked ends of rows are too many */
    PANEL_BYTES =
        384 << 10, /* of weights, which a panel's rows read again and again from the second cache */
    SOURCE_BYTES = 128 << 10, /* of rows that all panels visit before the next */
    LINE = 64,
};

struct simd {
    const struct tiles *tiles;
    bool forward;
    int threads, in_c; /* of x */
    int columns;       /* channels of the result in a panel */
    int rows, h, w;    /* of all images; of one */
    int depth, width;  /* channels of the source and of the result */
    int block;         /* rows that meet all panels together */
    struct tap tap[SIDE];
};

static size_t size_of(const struct simd *w)
{
    return w->tiles->bf16 ? 2 : 4;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static int panels(const struct simd *w)
{
    return (w->width + w->columns - 1) / w->columns;
}

static int panel_vectors(const struct simd *w, int panel)
{
    return smaller(w->width - panel * w->columns, w->columns) / LANES;
}

/* Elements of the weights of one panel at one place of the window. */
static size_t place_elements(const struct simd *w, int panel)
{
    return (size_t)w->depth * (size_t)panel_vectors(w, panel) * LANES;
}

struct simd *simd_open(enum direction d, const struct unit_shape *s, const struct layout *x,
                       const struct layout *y, const struct tiles *t, int threads)
{
    if (d == BACKWARD_WEIGHTS || s->kernel != SIDE || s->stride != 1 || s->pad != SIDE / 2 ||
        x->w < NARROWEST || x->c % LANES || y->c % LANES || !t || !t->slide || x->bf16 != t->bf16 ||
        y->bf16 != t->bf16)
        return NULL;
    const struct layout *source = d == FORWARD ? x : y, *result = d == FORWARD ? y : x;
    size_t row_bytes = (size_t)x->w * (size_t)source->c * (y->bf16 ? 2 : 4);
    if ((size_t)WINDOW * (size_t)source->c * (size_t)(t->slide_size.vectors * LANES) *
            (y->bf16 ? 2 : 4) >
        PANEL_BYTES)
        return NULL;
    struct simd *w = xcalloc(1, sizeof *w);
    *w = (struct simd){.tiles = t, .forward = d == FORWARD, .threads = threads, .in_c = x->c};
    w->columns = t->slide_size.vectors * LANES;
    w->rows = x->n * x->h, w->h = x->h, w->w = x->w;
    w->depth = source->c, w->width = result->c;
    w->block = row_bytes < SOURCE_BYTES ? (int)(SOURCE_BYTES / row_bytes) : 1;
    return w;
}

void simd_close(struct simd *w)
{
    xfree(w);
}

size_t simd_scratch(const struct simd *w)
{
    return (size_t)WINDOW * (size_t)w->depth * (size_t)w->width * size_of(w);
}

static size_t panel_at(const struct simd *w, int panel)
{
    return (size_t)WINDOW * (size_t)w->depth * (size_t)panel * (size_t)w->columns;
}

/* The weights of one panel at one place of the window; weights is [out][WINDOW][in]. */
static void pack(const struct simd *w, const float *weights, int panel, int place, char *packed)
{
    size_t step = (size_t)WINDOW * (size_t)w->in_c, column = (size_t)panel * (size_t)w->columns;
    void *to =
        packed + (panel_at(w, panel) + (size_t)place * place_elements(w, panel)) * size_of(w);
    int vectors = panel_vectors(w, panel);
    if (w->forward)
        w->tiles->pack_transposed(weights + column * step + (size_t)place * (size_t)w->in_c, step,
                                  w->depth, vectors, to);
    else
        w->tiles->pack(weights + (size_t)(WINDOW - 1 - place) * (size_t)w->in_c + column, step,
                       w->depth, vectors, to);
}

/* What the next rows will read and write. */
static void fetch(const char *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += LINE)
        __builtin_prefetch(at + i, 0, 2);
}

/* One row of the result, one panel. */
static void sum_row(const struct simd *w, const char *source, const char *packed, char *result,
                    int row, int panel)
{
    int y = row % w->h, vectors = panel_vectors(w, panel),
        most = tile_rows(&w->tiles->slide_size, vectors);
    int tiles = (w->w + most - 1) / most;
    size_t size = size_of(w), source_step = (size_t)w->depth * size,
           result_step = (size_t)w->width * size;
    size_t place = place_elements(w, panel), first = (size_t)row * (size_t)w->w;
    struct tap tap[SIDE];
    for (int i = 0; i < SIDE; i++)
        tap[i] = (struct tap){(i - 1) * w->w * w->depth, (int32_t)((size_t)(i * SIDE) * place)};
    struct slide t = {.weights = packed + panel_at(w, panel) * size,
                      .depth = w->depth,
                      .weight_step = (ptrdiff_t)place};
    t.tap = y ? tap : tap + 1;
    t.taps = SIDE - (y == 0) - (y == w->h - 1);
    t.source_step = (size_t)w->depth;
    t.to_step = (size_t)w->width;
    for (int tile = 0; tile < tiles; tile++) {
        int x = w->w * tile / tiles, end = w->w * (tile + 1) / tiles;
        t.source = source + (first + (size_t)x) * source_step;
        t.to = result + (first + (size_t)x) * result_step + (size_t)(panel * w->columns) * size;
        t.before = x > 0;
        t.after = end < w->w;
        if (!panel) {
            fetch((const char *)t.source + 2 * (size_t)w->w * source_step,
                  (size_t)(end - x) * source_step);
            fetch((const char *)t.to + (size_t)w->w * result_step, (size_t)(end - x) * result_step);
        }
        w->tiles->slide(&t, end - x, vectors);
    }
}

void simd_run(const struct simd *w, void *const operand[OPERANDS], void *scratch)
{
    const char *source = operand[w->forward ? OPERAND_X : OPERAND_Y];
    char *result = operand[w->forward ? OPERAND_Y : OPERAND_X];
    int chunks = chunks_of(w->rows, w->block, w->threads);
#pragma omp parallel num_threads(w->threads)
    {
#pragma omp for
        for (int i = 0; i < panels(w) * WINDOW; i++)
            pack(w, operand[OPERAND_W], i / WINDOW, i % WINDOW, scratch);
#pragma omp for schedule(dynamic)
        for (int chunk = 0; chunk < chunks; chunk++) {
            int from = (int)chunk_at(w->rows, chunks, chunk),
                to = (int)chunk_at(w->rows, chunks, chunk + 1);
            for (int block = from; block < to; block += w->block)
                for (int panel = 0; panel < panels(w); panel++)
                    for (int row = block; row < smaller(block + w->block, to); row++)
                        sum_row(w, source, scratch, result, row, panel);
        }
    }
}
