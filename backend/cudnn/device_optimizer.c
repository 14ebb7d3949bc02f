/* A server's weights on a GPU: pushes are uploaded, summed and stepped with, and the new weights
 * are downloaded, all of it piece by piece.
 *
 * Three streams. A piece is computed as soon as it is up in all sources, and comes down while the
 * next one is computed; what was prefetched is up already. So a step takes as long as the upload of
 * the sources that came last, or the download of the weights. Over the bus: 4 bytes per float and
 * source up, 4 down. On the GPU: floats x (1 + states + sources), and once more for an accumulator.
 * Order: a source's slot is written again only when all that was computed from it is done
 * (`computed`). A call returns when the weights are down, since others read them then. */
#include <assert.h>
#include <stdbool.h>

#include "backend/cudnn/check.h"
#include "backend/cudnn/device.h"
#include "base/alloc.h"

/* Floats: 2 MiB cost little to ask for, and a pipeline of them fills soon. */
enum { PIECE = 1 << 19 };

struct source_slot {
    const float *vector; /* the host's; NULL: free */
    float *data;         /* [count], the GPU's */
    cudaEvent_t up;      /* all of it is uploaded */
};

struct registration {
    void *block;
    bool ours; /* registered by this file */
};

struct device_optimizer {
    struct device_optimizer_options options; /* no_decay is the GPU's */
    int gpu;
    cudaStream_t up, compute, down;
    cudaEvent_t *piece;                /* this piece is up of all prefetched so far */
    cudaEvent_t ready, computed;       /* a piece that may come down; all that reads slots */
    float *w, *state[2], *accumulated; /* NULL until something is */
    float *partial; /* [PIECE], where there are more sources than a kernel takes */
    struct source_slot *slot, **late; /* [sources]; late: those that come up during this call */
    const float **from;               /* [sources + 1], the terms of this call's sum, on the GPU */
    int lates;
    struct registration *registered;
    int registrations, room;
};

static struct range piece_of(const struct device_optimizer *h, int64_t i)
{
    int64_t from = i * PIECE, left = h->options.count - from;
    return (struct range){from, from + (left < PIECE ? left : PIECE)};
}

static int64_t pieces(const struct device_optimizer *h)
{
    return (h->options.count + PIECE - 1) / PIECE;
}

static size_t bytes_of(struct range at)
{
    return (size_t)(at.to - at.from) * sizeof(float);
}

/* ---- opening */

static void *take(const struct device_optimizer *h, size_t bytes)
{
    void *block = NULL;
    size_t left = 0, all = 0;
    cudaError_t error = cudaMalloc(&block, bytes ? bytes : 1);
    if (error != cudaSuccess)
        cudaMemGetInfo(&left, &all);
    CHECK(error == cudaSuccess,
          "no memory for %zu bytes of a server on GPU %d, where %zu of %zu are left (%s): take "
          "--server-device cpu, or more --servers",
          bytes, h->gpu, left, all, cudaGetErrorString(error));
    return block;
}

static float *take_vector(const struct device_optimizer *h)
{
    size_t bytes = (size_t)h->options.count * sizeof(float);
    float *v = take(h, bytes);
    CUDA(cudaMemsetAsync(v, 0, bytes, h->compute));
    return v;
}

static void make_stream(cudaStream_t *stream)
{
    CUDA(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking));
}

static void make_event(cudaEvent_t *event)
{
    CUDA(cudaEventCreateWithFlags(event, cudaEventDisableTiming | cudaEventBlockingSync));
}

static struct device_optimizer *open_on_gpu(const struct device_optimizer_options *o)
{
    struct device_optimizer *h = xcalloc(1, sizeof *h);
    size_t sources = (size_t)o->sources, no_decay = (size_t)o->no_decay_count * sizeof *o->no_decay;
    struct range *ranges;
    h->options = *o;
    h->gpu = cuda_choose(o->number);
    make_stream(&h->up);
    make_stream(&h->compute);
    make_stream(&h->down);
    make_event(&h->ready);
    make_event(&h->computed);
    h->piece = xcalloc((size_t)pieces(h), sizeof *h->piece);
    for (int64_t i = 0; i < pieces(h); i++)
        make_event(&h->piece[i]);
    h->w = take_vector(h);
    for (int i = 0; i < o->states; i++)
        h->state[i] = take_vector(h);
    h->partial = take(h, PIECE * sizeof *h->partial);
    h->slot = xcalloc(sources, sizeof *h->slot);
    h->late = xcalloc(sources, sizeof *h->late);
    h->from = xcalloc(sources + 1, sizeof *h->from);
    for (int i = 0; i < o->sources; i++) {
        h->slot[i].data = take_vector(h);
        make_event(&h->slot[i].up);
    }
    h->options.no_decay = ranges = take(h, no_decay);
    CUDA(cudaMemcpyAsync(ranges, o->no_decay, no_decay, cudaMemcpyHostToDevice, h->compute));
    CUDA(cudaMemcpyAsync(h->w, o->w, (size_t)o->count * sizeof *o->w, cudaMemcpyHostToDevice,
                         h->compute));
    CUDA(cudaStreamSynchronize(h->compute)); /* zeros come before the uploads of other streams */
    return h;
}

static void close_on_gpu(struct device_optimizer *h)
{
    cudaStream_t streams[] = {h->up, h->compute, h->down};
    for (int i = 0; i < 3; i++)
        CUDA(cudaStreamSynchronize(streams[i]));
    for (int i = 0; i < h->registrations; i++)
        if (h->registered[i].ours)
            cuda_unregister(h->registered[i].block);
    for (int i = 0; i < h->options.sources; i++) {
        CUDA(cudaFree(h->slot[i].data));
        CUDA(cudaEventDestroy(h->slot[i].up));
    }
    void *blocks_on_gpu[] = {h->w,           h->state[0], h->state[1],
                             h->accumulated, h->partial,  (void *)h->options.no_decay};
    for (size_t i = 0; i < sizeof blocks_on_gpu / sizeof *blocks_on_gpu; i++)
        CUDA(cudaFree(blocks_on_gpu[i]));
    for (int64_t i = 0; i < pieces(h); i++)
        CUDA(cudaEventDestroy(h->piece[i]));
    CUDA(cudaEventDestroy(h->ready));
    CUDA(cudaEventDestroy(h->computed));
    for (int i = 0; i < 3; i++)
        CUDA(cudaStreamDestroy(streams[i]));
    void *blocks[] = {h->piece, h->slot, h->late, h->from, h->registered, h};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
}

static void register_memory(struct device_optimizer *h, const void *block, size_t bytes)
{
    for (int i = 0; i < h->registrations; i++)
        if (h->registered[i].block == block)
            return;
    if (h->registrations == h->room) {
        struct registration *more = xcalloc(2 * (size_t)h->room + 8, sizeof *more);
        for (int i = 0; i < h->registrations; i++)
            more[i] = h->registered[i];
        xfree(h->registered);
        h->registered = more;
        h->room = 2 * h->room + 8;
    }
    h->registered[h->registrations++] =
        (struct registration){(void *)block, cuda_register((void *)block, bytes)};
}

/* ---- sources */

static struct source_slot *slot_of(const struct device_optimizer *h, const float *vector)
{
    for (int i = 0; i < h->options.sources; i++)
        if (h->slot[i].vector == vector)
            return &h->slot[i];
    return NULL;
}

static struct source_slot *take_slot(struct device_optimizer *h, const float *vector)
{
    struct source_slot *p = slot_of(h, NULL);
    assert(p && vector && "more sources than the optimizer was opened for");
    p->vector = vector;
    CUDA(cudaStreamWaitEvent(h->up, h->computed, 0));
    return p;
}

static void copy_up(const struct device_optimizer *h, const struct source_slot *p, int64_t i)
{
    struct range at = piece_of(h, i);
    CUDA(cudaMemcpyAsync(p->data + at.from, p->vector + at.from, bytes_of(at),
                         cudaMemcpyHostToDevice, h->up));
}

static void prefetch(struct device_optimizer *h, const float *vector)
{
    if (slot_of(h, vector))
        return;
    struct source_slot *p = take_slot(h, vector);
    for (int64_t i = 0; i < pieces(h); i++) {
        copy_up(h, p, i);
        CUDA(cudaEventRecord(h->piece[i], h->up));
    }
    CUDA(cudaEventRecord(p->up, h->up));
}

static void discard(struct device_optimizer *h, const float *vector)
{
    struct source_slot *p = vector ? slot_of(h, vector) : NULL;
    if (!p)
        return;
    CUDA(cudaEventSynchronize(p->up));
    p->vector = NULL;
}

/* Finds where the sources lie on the GPU; those that do not yet are late. */
static void find(struct device_optimizer *h, const float *const *source, int sources)
{
    h->lates = 0;
    assert(sources <= h->options.sources + 1);
    for (int i = 0; i < sources; i++) {
        struct source_slot *p = slot_of(h, source[i]);
        if (source[i] != h->options.w && !p)
            p = h->late[h->lates++] = take_slot(h, source[i]);
        h->from[i] = p ? p->data : h->w;
    }
}

/* ---- updates */

/* The terms of the sum over piece `at`, as many as a kernel takes: earlier ones are added up, in
 * order, to a first one. */
static struct kernel_sources terms(const struct device_optimizer *h, const double *scale,
                                   int sources, struct range at)
{
    struct kernel_sources t = {.count = 0};
    for (int i = 0; i < sources; i++) {
        if (t.count == KERNEL_SOURCES) {
            kernel_sum(h->compute, &t, at.to - at.from, h->partial);
            t = (struct kernel_sources){.from = {h->partial}, .scale = {1}, .count = 1};
        }
        t.from[t.count] = h->from[i] + at.from;
        t.scale[t.count++] = (float)scale[i];
    }
    return t;
}

static void step_piece(const struct device_optimizer *h,
                       const struct step_coefficients step_coefficients[2],
                       const struct kernel_sources *terms, struct range at)
{
    const struct device_optimizer_options *o = &h->options;
    struct kernel_update u = {.rule = o->rule,
                              .step_coefficients = {step_coefficients[0], step_coefficients[1]},
                              .no_decay = o->no_decay,
                              .no_decay_count = o->no_decay_count,
                              .from = at.from,
                              .w = h->w + at.from,
                              .m = h->state[0] ? h->state[0] + at.from : NULL,
                              .v = h->state[1] ? h->state[1] + at.from : NULL};
    kernel_step(h->compute, &u, terms, at.to - at.from);
}

/* Piece by piece: uploads the late ones, sums what h->from says, and steps with the sum, or puts it
 * into `to` (no step_coefficients). */
static void compute(struct device_optimizer *h, const double *scale, int sources,
                    const struct step_coefficients *step_coefficients, float *to)
{
    for (int64_t i = 0; i < pieces(h); i++) {
        struct range at = piece_of(h, i);
        for (int k = 0; k < h->lates; k++)
            copy_up(h, h->late[k], i);
        if (h->lates)
            CUDA(cudaEventRecord(h->piece[i], h->up));
        CUDA(cudaStreamWaitEvent(h->compute, h->piece[i], 0));
        struct kernel_sources sum = terms(h, scale, sources, at);
        if (step_coefficients)
            step_piece(h, step_coefficients, &sum, at);
        else
            kernel_sum(h->compute, &sum, at.to - at.from, to + at.from);
        if (!step_coefficients && to != h->w)
            continue;
        CUDA(cudaEventRecord(h->ready, h->compute));
        CUDA(cudaStreamWaitEvent(h->down, h->ready, 0));
        CUDA(cudaMemcpyAsync(h->options.w + at.from, h->w + at.from, bytes_of(at),
                             cudaMemcpyDeviceToHost, h->down));
    }
    for (int k = 0; k < h->lates; k++)
        CUDA(cudaEventRecord(h->late[k]->up, h->up));
    CUDA(cudaEventRecord(h->computed, h->compute));
}

/* The weights are down; so all that made them is up and done. */
static void end(struct device_optimizer *h, const float *const *source, int sources)
{
    CUDA(cudaStreamSynchronize(h->down));
    for (int i = 0; i < sources; i++)
        discard(h, source[i]);
}

static void step(struct device_optimizer *h, const struct step_coefficients step_coefficients[2],
                 const float *const *source, const double *scale, int sources)
{
    find(h, source, sources);
    compute(h, scale, sources, step_coefficients, NULL);
    end(h, source, sources);
}

static void sum(struct device_optimizer *h, const float *const *source, const double *scale,
                int sources)
{
    find(h, source, sources);
    compute(h, scale, sources, NULL, h->w);
    end(h, source, sources);
}

static void accumulate(struct device_optimizer *h, const float *vector)
{
    if (!h->accumulated)
        h->accumulated = take_vector(h);
    find(h, &vector, 1);
    h->from[1] = h->from[0];
    h->from[0] = h->accumulated;
    compute(h, (const double[]){1, 1}, 2, NULL, h->accumulated);
    discard(h, vector);
}

static void step_accumulated(struct device_optimizer *h,
                             const struct step_coefficients step_coefficients[2], double scale)
{
    h->lates = 0;
    h->from[0] = h->accumulated;
    compute(h, &scale, h->accumulated ? 1 : 0, step_coefficients, NULL);
    if (h->accumulated)
        CUDA(cudaMemsetAsync(h->accumulated, 0, (size_t)h->options.count * sizeof *h->accumulated,
                             h->compute));
    end(h, NULL, 0);
}

const struct device_optimizer_kind cuda_device_optimizer = {
    .open = open_on_gpu,
    .close = close_on_gpu,
    .register_memory = register_memory,
    .prefetch = prefetch,
    .discard = discard,
    .step = step,
    .sum = sum,
    .accumulate = accumulate,
    .step_accumulated = step_accumulated,
};
