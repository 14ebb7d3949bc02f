/* A network is opened: units, offsets, two memory plans, three lists of steps; and what callers ask
 * of it is handed to network/execute.c.
 *
 * The second, smaller plan (network/memory_plan.h) serves evaluations: in the same memory between
 * gradients; in memory of its own, taken when it is first needed, while a gradient is under way. */
#include "network/network.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "network/private.h"

/* The first unit of the model that the backend lacks; NULL: none. */
static const struct unit_shape *lacking(const struct model *a, const struct backend *b,
                                        enum backend_dtype dtype)
{
    for (int i = 0; b->has_unit && i < a->units; i++)
        if (!b->has_unit(dtype, &a->unit[i].shape))
            return &a->unit[i].shape;
    return NULL;
}

const struct backend *network_backend(const struct model *a, const struct backend *first,
                                      enum backend_dtype dtype, bool says)
{
    const struct unit_shape *lacks = lacking(a, first, dtype);
    char unit[100];
    int next = 0;
    if (!lacks)
        return first;
    unit_describe(lacks, unit, sizeof unit);
    for (int i = 0; backends[i]; i++)
        if (backends[i] == first)
            next = i + 1;
    for (; backends[next]; next++)
        if (backends[next]->has(dtype) && !lacking(a, backends[next], dtype)) {
            if (says)
                fprintf(stderr,
                        "nbsgd: backend %s has no unit `%s`, which %s needs: %s computes it\n",
                        first->name, unit, a->name, backends[next]->name);
            return backends[next];
        }
    fatal("backend %s has no unit `%s` in %s, which %s needs, and no other backend here has it; "
          "choose --dtype f32 or another --network",
          first->name, unit, dtype == DTYPE_BF16 ? "bf16" : "f32", a->name);
}

static void find_readers(struct network *n)
{
    for (int i = 0; i < n->a.units; i++)
        n->reader[i][0] = n->reader[i][1] = -1;
    for (int i = 0; i < n->a.units; i++) {
        const int from[2] = {n->a.unit[i].input, n->a.unit[i].skip};
        for (int k = 0; k < 2; k++) {
            if (from[k] < 0)
                continue;
            assert(from[k] < i);
            int *reader = n->reader[from[k]];
            CHECK(reader[1] < 0, "%s: unit %d is read by more than two", n->a.name, from[k]);
            reader[reader[0] >= 0] = i;
        }
    }
}

static void set_offsets(struct network *n)
{
    int64_t statistics = 0;
    model_offsets(&n->a, n->offset, n->final_from);
    for (int at = 0; at < n->a.units; at++)
        for (int i = 0; i < n->a.units; i++)
            if (n->a.unit[i].parameter_index == at) {
                n->statistic[i] = statistics;
                statistics += n->a.unit[i].shape.norm ? 2 * n->a.unit[i].shape.out_c : 0;
            }
}

static void open_steps(struct network *n, bool training)
{
    const struct steps_layout layout = {&n->a, n->offset, n->final_from};
    steps_open_evaluation(&n->evaluation_steps, &layout);
    steps_open_statistics(&n->statistics_steps, &layout);
    if (training)
        steps_open_gradient(&n->gradient_steps, &layout);
}

static void tell(const struct network *n)
{
    if (n->listener.call)
        n->listener.call(n->listener.self, NULL);
}

struct network *network_open(const struct model *a, const struct backend *b, struct device *device,
                             float smoothing, bool training, struct network_listener listener)
{
    struct network *n = xcalloc(1, sizeof *n);
    size_t units = (size_t)a->units;
    n->a = *a;
    n->backend = b;
    n->device = device;
    n->smoothing = smoothing;
    n->listener = listener;
    n->unit = xcalloc(units, sizeof *n->unit);
    n->sizes = xcalloc(units, sizeof *n->sizes);
    n->offset = xcalloc(units, sizeof *n->offset);
    n->final_from = xcalloc(units, sizeof *n->final_from);
    n->statistic = xcalloc(units, sizeof *n->statistic);
    n->reader = xcalloc(units, sizeof *n->reader);
    for (int i = 0; i < a->units; i++) {
        const struct unit_spec *u = &a->unit[i];
        n->unit[i] = b->unit_open(device, &u->shape, u->input >= 0 ? n->unit[u->input] : NULL,
                                  u->skip >= 0 ? n->unit[u->skip] : NULL, &n->sizes[i]);
        tell(n);
    }
    n->statistics = b->alloc(device, (size_t)model_statistics(a) * sizeof(float));
    n->key = b->alloc(device, sizeof *n->key);
    n->labels = xcalloc((size_t)a->batch, sizeof *n->labels);
    find_readers(n);
    set_offsets(n);
    memory_plan_open(&n->evaluation, a, n->sizes, n->reader, false);
    if (training) {
        memory_plan_open(&n->training, a, n->sizes, n->reader, true);
        assert(n->training.bytes >= n->evaluation.bytes);
        n->training.base = b->alloc(device, n->training.bytes);
    }
    open_steps(n, training);
    if (b->device)
        device_side_open(n, training);
    return n;
}

void network_close(struct network *n)
{
    if (n->side)
        device_side_close(n);
    steps_close(&n->gradient_steps);
    steps_close(&n->evaluation_steps);
    steps_close(&n->statistics_steps);
    for (int i = n->a.units - 1; i >= 0; i--)
        n->backend->unit_close(n->unit[i]);
    void *of_backend[] = {n->training.base, n->aside, n->statistics, n->key};
    for (size_t i = 0; i < sizeof of_backend / sizeof *of_backend; i++)
        n->backend->free(n->device, of_backend[i]);
    memory_plan_close(&n->training);
    memory_plan_close(&n->evaluation);
    void *blocks[] = {n->unit,      n->sizes,  n->offset, n->final_from,
                      n->statistic, n->reader, n->labels, n};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
}

int64_t network_bytes(const struct network *n)
{
    return (int64_t)((n->training.base ? n->training.bytes : 0) +
                     (n->aside ? n->evaluation.bytes : 0));
}

int64_t network_final_from(const struct network *n, int step)
{
    return step < n->a.units ? model_parameters(&n->a) : n->final_from[2 * n->a.units - 1 - step];
}

struct unit_io network_io(const struct network *n, const struct memory_plan *p, int i,
                          struct weights w, float *g)
{
    const struct unit_spec *u = &n->a.unit[i];
    struct unit_io io = {.w = w.w + n->offset[i],
                         .weights_version = w.weights_version,
                         .g = g ? g + n->offset[i] : NULL};
    io.x = p->base + (u->input == IMAGES ? p->images.offset : p->output[u->input].offset);
    io.skip = u->skip >= 0 ? p->base + p->output[u->skip].offset : NULL;
    io.y = p->base + p->output[i].offset;
    io.saved = p->saved[i].bytes ? p->base + p->saved[i].offset : NULL;
    if (!g)
        return io;
    io.key = n->key;
    const void *from[2] = {NULL, NULL};
    for (int k = 0; k < 2 && n->reader[i][k] >= 0; k++) {
        int reader = n->reader[i][k];
        bool as_input = n->a.unit[reader].input == i;
        from[k] = p->base +
                  (as_input ? p->input_gradient[reader].offset : p->skip_gradient[reader].offset);
    }
    io.dy = i == n->a.units - 1 ? p->base + p->logits_gradient.offset : from[0];
    io.dy2 = from[1];
    io.dx = p->input_gradient[i].bytes ? p->base + p->input_gradient[i].offset : NULL;
    io.dskip = p->skip_gradient[i].bytes ? p->base + p->skip_gradient[i].offset : NULL;
    return io;
}

double network_traffic(const struct network *n)
{
    const struct memory_plan *p = &n->training;
    double bytes = 0;
    assert(p->base); /* which tensors there are is asked, not what they hold: any w and g will do */
    for (int i = 0; n->backend->traffic && i < n->a.units; i++) {
        struct unit_io io = network_io(n, p, i, (struct weights){n->statistics, 0}, n->statistics);
        bytes += n->backend->traffic(n->unit[i], &io);
    }
    return bytes;
}

bool network_gradient(struct network *n, struct weights w, struct images images,
                      const int32_t *labels, float *g, struct loss *loss, network_hook *hook,
                      void *self)
{
    assert(n->training.base && !n->busy);
    struct execution x = {.n = n,
                          .steps = &n->gradient_steps,
                          .plan = &n->training,
                          .mode = UNIT_TRAIN,
                          .host_w = w,
                          .w = w,
                          .images = images,
                          .labels = labels,
                          .count = n->a.batch,
                          .host_g = g,
                          .g = g,
                          .loss = loss};
    bool done;
    n->busy = true;
    if (n->side) {
        device_side_begin(&x);
        done = execute_in_segments(&x, hook, self);
        if (done)
            *loss = n->side->host_sums[x.sums_slot];
    } else {
        done = execute_in_order(&x, hook, self);
    }
    n->busy = false;
    return done;
}

/* Where an evaluation may put its tensors now. */
static const struct memory_plan *evaluation_plan(struct network *n)
{
    bool between = n->training.base && !n->busy;
    if (!between && !n->aside)
        n->aside = n->backend->alloc(n->device, n->evaluation.bytes);
    n->evaluation.base = between ? n->training.base : n->aside;
    return &n->evaluation;
}

/* The nearest multiple of 2^-32. Sums of such numbers are exact below 2^21, so they have the same
 * bits in any order. */
static double on_grid(double x)
{
    return rint(x * 0x1p32) * 0x1p-32;
}

void network_statistics(struct network *n, struct weights w, struct images images, double *sums)
{
    struct execution x = {.n = n,
                          .steps = &n->statistics_steps,
                          .plan = evaluation_plan(n),
                          .mode = UNIT_TRAIN,
                          .host_w = w,
                          .w = w,
                          .images = images};
    if (n->side)
        device_side_begin(&x);
    execute_in_order(&x, NULL, NULL);
    const float *statistics = n->side ? n->side->host_statistics : n->statistics;
    for (int i = 0; i < n->a.units; i++) {
        int channels = n->a.unit[i].shape.norm ? n->a.unit[i].shape.out_c : 0;
        const float *from = statistics + n->statistic[i];
        double *to = sums + n->statistic[i];
        for (int c = 0; c < channels; c++) {
            double mean = from[c];
            to[c] += on_grid(mean);
            to[channels + c] += on_grid(from[channels + c] + mean * mean);
        }
    }
}

void network_finish_statistics(const struct network *n, const double *sums, int64_t batches,
                               float *statistics)
{
    for (int i = 0; i < n->a.units; i++) {
        int channels = n->a.unit[i].shape.norm ? n->a.unit[i].shape.out_c : 0;
        for (int64_t c = n->statistic[i]; c < n->statistic[i] + channels; c++) {
            double mean = sums[c] / (double)batches,
                   variance = sums[c + channels] / (double)batches - mean * mean;
            statistics[c] = (float)mean;
            statistics[c + channels] = (float)(variance > 0 ? variance : 0);
        }
    }
}

void network_evaluate(struct network *n, struct weights w, const float *statistics,
                      struct images images, const int32_t *labels, int count, struct loss *loss)
{
    struct loss batch = {0};
    struct execution x = {.n = n,
                          .steps = &n->evaluation_steps,
                          .plan = evaluation_plan(n),
                          .mode = UNIT_INFER,
                          .host_w = w,
                          .w = w,
                          .images = images,
                          .labels = n->labels,
                          .count = count,
                          .statistics = statistics,
                          .loss = &batch};
    memcpy(n->labels, labels, (size_t)count * sizeof *labels);
    if (n->side)
        device_side_begin(&x);
    execute_in_order(&x, NULL, NULL);
    if (n->side)
        batch = n->side->host_sums[x.sums_slot];
    loss->sum += batch.sum;
    loss->top1 += batch.top1;
    loss->top5 += batch.top5;
}
