/* The walk over a list of units, and the plan of where its tensors lie.
 *
 * A training step has 2 x units steps: forward 0 .. units-1, then backward in reverse. Every tensor (a unit's output, what it
 * saves, each gradient of an output) lives from the step that writes it to the last that reads it; two tensors whose lives do not
 * meet may share a place. A second, smaller plan, forward only, serves evaluation: in the same memory between gradients, in memory
 * of its own, taken when it is first needed, while a gradient is under way. */
#include "network.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

enum { ALIGN = 4096, NEVER = -1 };

struct piece { /* a tensor in a plan */
    size_t bytes, offset;
    int first, last; /* steps */
};

struct plan {
    struct piece *output, *saved;     /* one a unit */
    struct piece *to_input, *to_skip; /* gradients that unit i writes for its input and its skip */
    struct piece pictures, labels, logits_gradient;
    char *base;
    size_t bytes;
};

struct network {
    struct architecture a;
    const struct backend *backend;
    struct device *device;
    float smoothing;
    struct unit **unit;
    struct unit_sizes *sizes;
    int64_t *offset;     /* of each unit's parameters in the flat vector */
    int64_t *final_from; /* when unit i's backward is done, floats from here on are final */
    int64_t *statistic;  /* of each unit's mean and variance in the statistics */
    int (*reader)[2];    /* units that read unit i's output: -1 for none */
    struct plan training, evaluation;
    bool busy;                          /* a gradient is under way */
    void *apart;                        /* memory for an evaluation in the middle of a gradient */
    float *batch_mean, *batch_variance; /* of one unit */
    int32_t *labels;
    size_t picture_bytes;
};

static bool gives_input_gradient(const struct unit_spec *u)
{
    return u->input != PICTURES;
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

/* How long each tensor lives. A unit's input, skip, output and saved tensor are read again in its own backward. */
static void set_lives(struct network *n, struct plan *p, bool training)
{
    int units = n->a.units, end = training ? 2 * units - 1 : units - 1;
    p->pictures = (struct piece){n->picture_bytes, 0, 0, training ? end : 0};
    p->labels = (struct piece){(size_t)n->a.batch * sizeof(int32_t), 0, 0, end};
    p->logits_gradient = (struct piece){training ? n->sizes[units - 1].y_bytes : 0, 0, units - 1, units};
    for (int i = 0; i < units; i++) {
        const struct unit_spec *u = &n->a.unit[i];
        int back = 2 * units - 1 - i, last = i;
        for (int k = 0; k < 2; k++)
            if (n->reader[i][k] > last)
                last = n->reader[i][k];
        p->output[i] = (struct piece){n->sizes[i].y_bytes, 0, i, training ? back : i == units - 1 ? end : last};
        p->saved[i] = (struct piece){training ? n->sizes[i].saved_bytes : 0, 0, i, training ? back : i};
        size_t input = training && gives_input_gradient(u) ? n->sizes[u->input].y_bytes : 0;
        size_t skip = training && u->skip >= 0 ? n->sizes[u->skip].y_bytes : 0;
        p->to_input[i] = (struct piece){input, 0, back, 2 * units - 1 - u->input};
        p->to_skip[i] = (struct piece){skip, 0, back, 2 * units - 1 - u->skip};
    }
}

static int by_size(const void *a, const void *b)
{
    const struct piece *x = *(struct piece *const *)a, *y = *(struct piece *const *)b;
    return x->bytes != y->bytes   ? (x->bytes < y->bytes) - (x->bytes > y->bytes)
           : x->first != y->first ? x->first - y->first
                                  : x->last - y->last;
}

/* Greedy: the largest first, each at the lowest place where nothing that lives at the same time lies. */
static void place(struct plan *p, struct piece **list, int count)
{
    qsort(list, (size_t)count, sizeof *list, by_size);
    for (int i = 0; i < count; i++) {
        struct piece *a = list[i];
        a->bytes = (a->bytes + ALIGN - 1) / ALIGN * ALIGN;
        bool moved = true;
        for (a->offset = 0; moved;) {
            moved = false;
            for (int k = 0; k < i; k++) {
                const struct piece *b = list[k];
                bool meet = a->first <= b->last && b->first <= a->last;
                if (meet && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes) {
                    a->offset = b->offset + b->bytes;
                    moved = true;
                }
            }
        }
        if (a->offset + a->bytes > p->bytes)
            p->bytes = a->offset + a->bytes;
    }
}

static void make_plan(struct network *n, struct plan *p, bool training)
{
    int units = n->a.units, count = 0;
    p->output = obtain((size_t)units * 4, sizeof(struct piece));
    p->saved = p->output + units;
    p->to_input = p->saved + units;
    p->to_skip = p->to_input + units;
    set_lives(n, p, training);
    struct piece **list = obtain((size_t)units * 4 + 3, sizeof *list);
    for (int i = 0; i < 4 * units; i++)
        if (p->output[i].bytes)
            list[count++] = &p->output[i];
    list[count++] = &p->pictures;
    list[count++] = &p->labels;
    if (p->logits_gradient.bytes)
        list[count++] = &p->logits_gradient;
    place(p, list, count);
    release(list);
}

static void set_offsets(struct network *n)
{
    int units = n->a.units;
    int64_t floats = 0, statistics = 0;
    for (int at = 0; at < units; at++)
        for (int i = 0; i < units; i++)
            if (n->a.unit[i].place == at) {
                n->offset[i] = floats;
                floats += unit_parameters(&n->a.unit[i].shape);
                n->statistic[i] = statistics;
                statistics += n->a.unit[i].shape.norm ? 2 * n->a.unit[i].shape.out_c : 0;
            }
    for (int i = 1; i < units; i++) { /* the earlier units are not done yet, the others are */
        int64_t floats_before = unit_parameters(&n->a.unit[i - 1].shape), end = n->offset[i - 1] + floats_before;
        n->final_from[i] = floats_before && end > n->final_from[i - 1] ? end : n->final_from[i - 1];
    }
}

struct network *network_open(const struct architecture *a, const struct backend *b, struct device *device, float smoothing, bool training)
{
    struct network *n = obtain(1, sizeof *n);
    size_t units = (size_t)a->units;
    n->a = *a;
    n->backend = b;
    n->device = device;
    n->smoothing = smoothing;
    n->unit = obtain(units, sizeof *n->unit);
    n->sizes = obtain(units, sizeof *n->sizes);
    n->offset = obtain(units, sizeof *n->offset);
    n->final_from = obtain(units, sizeof *n->final_from);
    n->statistic = obtain(units, sizeof *n->statistic);
    n->reader = obtain(units, sizeof *n->reader);
    n->picture_bytes = (size_t)a->batch * (size_t)a->channels * (size_t)a->height * (size_t)a->width * sizeof(float);
    size_t widest = 1;
    for (int i = 0; i < a->units; i++) {
        const struct unit_spec *u = &a->unit[i];
        n->unit[i] =
            b->unit_open(device, &u->shape, u->input >= 0 ? n->unit[u->input] : NULL, u->skip >= 0 ? n->unit[u->skip] : NULL, &n->sizes[i]);
        if ((size_t)u->shape.out_c > widest)
            widest = (size_t)u->shape.out_c;
    }
    n->batch_mean = obtain(widest, sizeof(float));
    n->batch_variance = obtain(widest, sizeof(float));
    n->labels = obtain((size_t)a->batch, sizeof *n->labels);
    find_readers(n);
    set_offsets(n);
    make_plan(n, &n->evaluation, false);
    if (training) {
        make_plan(n, &n->training, true);
        assert(n->training.bytes >= n->evaluation.bytes);
        n->training.base = b->obtain(device, n->training.bytes);
    }
    return n;
}

void network_close(struct network *n)
{
    for (int i = n->a.units - 1; i >= 0; i--)
        n->backend->unit_close(n->unit[i]);
    n->backend->release(n->device, n->training.base);
    n->backend->release(n->device, n->apart);
    release(n->training.output);
    release(n->evaluation.output);
    void *blocks[] = {n->unit, n->sizes, n->offset, n->final_from, n->statistic, n->reader, n->batch_mean, n->batch_variance, n->labels, n};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        release(blocks[i]);
}

int64_t network_bytes(const struct network *n)
{
    return (int64_t)((n->training.base ? n->training.bytes : 0) + (n->apart ? n->evaluation.bytes : 0));
}

/* What unit i reads and writes, as the plan has it; gradients are NULL in a plan without them. */
static struct unit_io io_of(const struct network *n, const struct plan *p, int i, struct weights w, float *g)
{
    const struct unit_spec *u = &n->a.unit[i];
    struct unit_io io = {.w = w.w + n->offset[i], .stamp = w.stamp, .g = g ? g + n->offset[i] : NULL};
    io.x = p->base + (u->input == PICTURES ? p->pictures.offset : p->output[u->input].offset);
    io.skip = u->skip >= 0 ? p->base + p->output[u->skip].offset : NULL;
    io.y = p->base + p->output[i].offset;
    io.saved = p->saved[i].bytes ? p->base + p->saved[i].offset : NULL;
    if (!g)
        return io;
    const void *from[2] = {NULL, NULL};
    for (int k = 0; k < 2 && n->reader[i][k] >= 0; k++) {
        int reader = n->reader[i][k];
        bool as_input = n->a.unit[reader].input == i;
        from[k] = p->base + (as_input ? p->to_input[reader].offset : p->to_skip[reader].offset);
    }
    io.dy = i == n->a.units - 1 ? p->base + p->logits_gradient.offset : from[0];
    io.dy2 = from[1];
    io.dx = p->to_input[i].bytes ? p->base + p->to_input[i].offset : NULL;
    io.dskip = p->to_skip[i].bytes ? p->base + p->to_skip[i].offset : NULL;
    return io;
}

static void *upload(const struct network *n, const struct plan *p, const struct piece *piece, const void *from, size_t bytes)
{
    void *to = p->base + piece->offset;
    n->backend->upload(n->device, to, from, bytes);
    return to;
}

static void softmax(const struct network *n, const struct plan *p, const int32_t *labels, int count, float *gradient, struct loss *loss)
{
    const int32_t *there = upload(n, p, &p->labels, labels, (size_t)n->a.batch * sizeof *labels);
    const float *logits = (const float *)(p->base + p->output[n->a.units - 1].offset);
    n->backend->loss(n->device, logits, there, count, n->a.classes, n->smoothing, gradient, loss);
}

static bool walk(struct network *n, struct weights w, const float *pictures, const int32_t *labels, float *g, struct loss *loss,
                 network_hook *hook, void *self)
{
    const struct plan *p = &n->training;
    const struct backend *b = n->backend;
    int units = n->a.units;
    int64_t floats = architecture_parameters(&n->a);
    upload(n, p, &p->pictures, pictures, n->picture_bytes);
    for (int i = 0; i < units; i++) {
        struct unit_io io = io_of(n, p, i, w, g);
        b->forward(n->unit[i], &io, UNIT_TRAIN);
        if (hook && !hook(self, i, floats))
            return false;
    }
    softmax(n, p, labels, n->a.batch, (float *)(p->base + p->logits_gradient.offset), loss);
    for (int i = units - 1; i >= 0; i--) {
        struct unit_io io = io_of(n, p, i, w, g);
        b->backward(n->unit[i], &io);
        if (hook && !hook(self, 2 * units - 1 - i, n->final_from[i]))
            return false;
    }
    b->finish(n->device);
    return true;
}

bool network_gradient(struct network *n, struct weights w, const float *pictures, const int32_t *labels, float *g, struct loss *loss,
                      network_hook *hook, void *self)
{
    assert(n->training.base && !n->busy);
    n->busy = true;
    bool done = walk(n, w, pictures, labels, g, loss, hook, self);
    n->busy = false;
    return done;
}

/* Where an evaluation may put its tensors now. */
static const struct plan *evaluation_plan(struct network *n)
{
    bool between = n->training.base && !n->busy;
    if (!between && !n->apart)
        n->apart = n->backend->obtain(n->device, n->evaluation.bytes);
    n->evaluation.base = between ? n->training.base : n->apart;
    return &n->evaluation;
}

void network_statistics(struct network *n, struct weights w, const float *pictures, double *sums)
{
    const struct plan *p = evaluation_plan(n);
    upload(n, p, &p->pictures, pictures, n->picture_bytes);
    for (int i = 0; i < n->a.units; i++) {
        struct unit_io io = io_of(n, p, i, w, NULL);
        io.mean = n->batch_mean;
        io.variance = n->batch_variance;
        n->backend->forward(n->unit[i], &io, UNIT_TRAIN);
        int channels = n->a.unit[i].shape.norm ? n->a.unit[i].shape.out_c : 0;
        double *to = sums + n->statistic[i];
        for (int c = 0; c < channels; c++) {
            double mean = n->batch_mean[c];
            to[c] += mean;
            to[channels + c] += n->batch_variance[c] + mean * mean;
        }
    }
    n->backend->finish(n->device);
}

void network_finish_statistics(const struct network *n, const double *sums, int64_t batches, float *statistics)
{
    for (int i = 0; i < n->a.units; i++) {
        int channels = n->a.unit[i].shape.norm ? n->a.unit[i].shape.out_c : 0;
        for (int64_t c = n->statistic[i]; c < n->statistic[i] + channels; c++) {
            double mean = sums[c] / (double)batches, variance = sums[c + channels] / (double)batches - mean * mean;
            statistics[c] = (float)mean;
            statistics[c + channels] = (float)(variance > 0 ? variance : 0);
        }
    }
}

void network_evaluate(struct network *n, struct weights w, const float *statistics, const float *pictures, const int32_t *labels, int count,
                      struct loss *loss)
{
    const struct plan *p = evaluation_plan(n);
    upload(n, p, &p->pictures, pictures, n->picture_bytes);
    for (int i = 0; i < n->a.units; i++) {
        struct unit_io io = io_of(n, p, i, w, NULL);
        int channels = n->a.unit[i].shape.norm ? n->a.unit[i].shape.out_c : 0;
        for (int c = 0; c < channels; c++) {
            n->batch_mean[c] = statistics[n->statistic[i] + c];
            n->batch_variance[c] = statistics[n->statistic[i] + channels + c];
        }
        io.mean = n->batch_mean;
        io.variance = n->batch_variance;
        n->backend->forward(n->unit[i], &io, UNIT_INFER);
    }
    memcpy(n->labels, labels, (size_t)count * sizeof *labels);
    struct loss batch;
    softmax(n, p, n->labels, count, NULL, &batch);
    loss->sum += batch.sum;
    loss->top1 += batch.top1;
    loss->top5 += batch.top5;
}
