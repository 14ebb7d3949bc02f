/* Who does what in a convolution: arithmetic on the shape and the number of threads, nothing else.
 *
 * OpenBLAS first copies both operands of a product into an order of its own, which makes products
 * of few rows or columns slow; the splits below keep these copies small. Patches and dz are cut so
 * that a thread's part of them stays in its level 2 cache or in its share of level 3. */
#include "backend/openblas/conv.h"

enum {
    PATCH_FLOATS = 192 << 10, /* of patches, for each thread */
    BLOCK_ROWS = 384,         /* at least: fewer and the copies of w weigh */
    LARGE_IMAGE = 192,        /* pixels: enough for a product of its own */
    DZ_FLOATS = 256 << 10,    /* of dz, for each thread; at least one image */
    ROOM_FLOATS = 4 << 10,    /* of a gradient between two passes */
    ROOM_ROWS = 16, /* at least: sums over fewer rows would spend their time on the accumulators */
    FEW_ROWS = 20,  /* a product of so many rows runs at half speed (measured: 32 rows at 60 %, 128
                       at 88 %) */
    LINE = 16,      /* floats of a cache line */
};

static int64_t ceiling(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static size_t lines(int64_t floats)
{
    return (size_t)(ceiling(floats, LINE) * LINE);
}

/* The divisor r of `threads`, at most `most`, for which tiles of rows / r times columns / (threads
 * / r) have the smallest sides. */
static int row_parts(int threads, int most, int64_t rows, int64_t columns)
{
    int best = 1;
    int64_t least = INT64_MAX;
    for (int r = 1; r <= threads && r <= most; r++) {
        int64_t side = ceiling(rows, r) + ceiling(columns, threads / r);
        if (threads % r == 0 && side < least)
            least = side, best = r;
    }
    return best;
}

/* Teams that sum the weights' gradient over a range of the batch each, to be added up in the end:
 * smaller copies of the operands against more copies of the result. */
static int weight_teams(const struct unit_shape *s, int threads, int64_t rows, int64_t patch)
{
    int best = 1;
    int64_t least = INT64_MAX;
    for (int teams = 1; teams <= threads && teams <= s->batch; teams++) {
        if (threads % teams)
            continue;
        int size = threads / teams, parts = row_parts(size, size, s->out_c, patch);
        int64_t operands =
            ceiling(rows, teams) * (ceiling(s->out_c, parts) + ceiling(patch, size / parts));
        int64_t results = teams > 1 ? 4 * s->out_c * patch / size : 0;
        if (operands + results < least)
            least = operands + results, best = teams;
    }
    return best;
}

/* Pairs of an output pixel and a tap along one dimension, those left out that meet padding. */
static int64_t taps_seen(const struct unit_shape *s, int in, int out)
{
    int64_t seen = 0;
    for (int o = 0; o < out; o++)
        for (int k = 0; k < s->kernel; k++) {
            int i = o * s->stride + k - s->pad;
            seen += i >= 0 && i < in;
        }
    return seen;
}

static enum conv_algorithm algorithm_of(const struct unit_shape *s)
{
    if (s->kernel == 1 && s->stride == 1 && s->pad == 0)
        return CONV_POINTWISE;
    bool same = s->stride == 1 && s->in_h == s->out_h && s->in_w == s->out_w;
    int64_t pixels = (int64_t)s->out_h * s->out_w, all = pixels * s->kernel * s->kernel;
    if (same && pixels >= LARGE_IMAGE)
        return CONV_BY_ROW;
    int64_t seen = taps_seen(s, s->in_h, s->out_h) * taps_seen(s, s->in_w, s->out_w);
    return seen * (s->batch + FEW_ROWS) * pixels < all * (s->batch * pixels + FEW_ROWS)
               ? CONV_BY_POSITION
               : CONV_IM2COL;
}

static void plan_forward(struct conv_plan *plan, const struct unit_shape *s)
{
    int64_t rows = s->batch * plan->pixels, images;
    int threads = plan->threads, most = plan->algorithm == CONV_BY_POSITION ? 1
                                        : plan->algorithm == CONV_BY_ROW    ? s->batch
                                                                            : threads;
    plan->forward.teams = row_parts(threads, most, rows, s->out_c);
    rows = ceiling(rows, plan->forward.teams);
    images = ceiling(s->batch, plan->forward.teams);
    int64_t block =
        PATCH_FLOATS * (int64_t)(threads / plan->forward.teams) / greater(plan->patch, s->out_c);
    plan->forward.blocks =
        (int)(plan->algorithm == CONV_BY_ROW ? images : ceiling(rows, greater(BLOCK_ROWS, block)));
    if (plan->algorithm == CONV_IM2COL)
        plan->forward.patches = lines(ceiling(rows, plan->forward.blocks) * plan->patch);
    else if (plan->algorithm == CONV_BY_ROW)
        plan->forward.patches = lines(plan->pixels * s->kernel * s->in_c);
}

/* Patches of x for the weights' gradient; for that of x patches of dz (stride 1: a convolution of
 * dz) or patches of dx, of whole images, that are added up. */
static void plan_gathered(struct conv_plan *plan, const struct unit_shape *s, int64_t images,
                          int64_t budget)
{
    int64_t rows = images * plan->pixels, patches,
            window = (int64_t)s->kernel * s->kernel * s->out_c;
    plan->backward.weight_blocks = (int)ceiling(rows, greater(BLOCK_ROWS, budget / plan->patch));
    patches = ceiling(rows, plan->backward.weight_blocks) * plan->patch;
    if (s->stride == 1) {
        rows = images * s->in_h * s->in_w;
        plan->backward.data_blocks = (int)ceiling(rows, greater(BLOCK_ROWS, budget / window));
        patches = greater(patches, ceiling(rows, plan->backward.data_blocks) * window);
    } else {
        int64_t block =
            greater(ceiling(BLOCK_ROWS, plan->pixels), budget / (plan->pixels * plan->patch));
        plan->backward.data_blocks = (int)ceiling(images, block);
        patches = greater(patches,
                          ceiling(images, plan->backward.data_blocks) * plan->pixels * plan->patch);
    }
    plan->backward.patches = lines(patches);
}

static void plan_backward(struct conv_plan *plan, const struct unit_shape *s)
{
    bool whole = plan->algorithm == CONV_BY_POSITION;
    plan->backward.teams =
        whole ? 1 : weight_teams(s, plan->threads, s->batch * plan->pixels, plan->patch);
    int size = plan->threads / plan->backward.teams;
    int64_t images = ceiling(s->batch, plan->backward.teams);
    int64_t chunk =
        whole ? s->batch : greater(1, (int64_t)DZ_FLOATS * size / (plan->pixels * s->out_c));
    plan->backward.chunks = (int)ceiling(images, chunk);
    images = ceiling(images, plan->backward.chunks);
    plan->backward.dz = lines(images * plan->pixels * s->out_c);

    plan->backward.weight_blocks = plan->backward.data_blocks = 1;
    plan->backward.weight_rows = row_parts(size, size, s->out_c, plan->patch);
    plan->backward.data_rows = row_parts(size, size, images * s->in_h * s->in_w, s->in_c);
    if (plan->algorithm == CONV_IM2COL) {
        plan_gathered(plan, s, images, (int64_t)PATCH_FLOATS * size);
    } else if (plan->algorithm == CONV_BY_ROW) {
        plan->backward.weight_blocks = plan->backward.data_blocks = (int)images;
        plan->backward.patches = lines(plan->pixels * s->kernel * greater(s->in_c, s->out_c));
    }
}

struct conv_plan conv_plan(const struct unit_shape *s, int threads)
{
    struct conv_plan plan = {.algorithm = algorithm_of(s), .threads = threads};
    plan.pixels = (int64_t)s->out_h * s->out_w;
    plan.patch = (int64_t)s->kernel * s->kernel * s->in_c;
    plan.room_rows = greater(ROOM_ROWS, ROOM_FLOATS / s->out_c);
    plan_forward(&plan, s);
    plan_backward(&plan, s);
    return plan;
}

/* The next `floats` of the block; a call with block == NULL only counts. */
static float *carve(float *block, size_t *used, size_t floats)
{
    float *at = block ? block + *used : NULL;
    *used += lines((int64_t)floats);
    return at;
}

struct conv_scratch conv_scratch(const struct conv_plan *plan, const struct unit_shape *s,
                                 float *block)
{
    struct conv_scratch scratch = {0};
    size_t used = 0, channels = (size_t)s->out_c, threads = (size_t)plan->threads,
           teams = (size_t)plan->backward.teams;
    scratch.channels = carve(block, &used, 6 * channels);
    scratch.sums =
        (double *)carve(block, &used, threads * 3 * channels * sizeof(double) / sizeof(float));
    scratch.room = carve(block, &used, threads * (size_t)plan->room_rows * channels);
    size_t forward = (size_t)plan->forward.teams * plan->forward.patches,
           backward = teams * plan->backward.patches;
    scratch.patches = carve(block, &used, forward > backward ? forward : backward);
    scratch.dz = carve(block, &used, teams * plan->backward.dz);
    scratch.copies = carve(block, &used, (teams - 1) * channels * (size_t)plan->patch);
    scratch.floats = used;
    return scratch;
}

struct conv_saved conv_saved(const struct unit_shape *s, void *block)
{
    size_t used = 0, channels = (size_t)s->out_c;
    struct conv_saved saved = {0};
    if (!s->norm)
        return saved;
    saved.mean = carve(block, &used, channels);
    saved.inverse = carve(block, &used, channels);
    saved.z =
        carve(block, &used, (size_t)s->batch * (size_t)s->out_h * (size_t)s->out_w * channels);
    saved.bytes = used * sizeof(float);
    return saved;
}
