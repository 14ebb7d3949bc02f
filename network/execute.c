/* Runs a list of steps (network/steps.h): in order, or recorded in segments on a device.
 *
 * On a device weights go up one stage at a time in the order in which forward reads them, and
 * gradients come down one stage at a time as backward leaves them: both overlap with computing.
 * Segments are started AHEAD of the one under way, so that the device never waits for the host and
 * an abort never waits for long. While the device computes, the hook is called again and again.
 * execute_in_segments() returns when all is done: memory of both sides is free then. */
#include <math.h>
#include <time.h>

#include "network/private.h"

enum { AHEAD = 2 };

static const long nap_ns = 20000; /* between two looks at the device */

/* ---- one step */

static void load_images(struct execution *x)
{
    const struct network *n = x->n;
    const struct backend *b = n->backend;
    const struct model *a = &n->a;
    const struct memory_plan *p = x->plan;
    size_t bytes = (size_t)a->batch * (size_t)a->channels * (size_t)a->height * (size_t)a->width *
                   sizeof(float);
    if (!n->side) {
        b->upload(n->device, p->base + p->images.offset, x->images.floats, bytes);
        return;
    }
    void *raw = p->base + p->raw_batch.offset;
    if (x->images.resident)
        b->upload(n->device, raw, x->images.crops, (size_t)a->batch * sizeof(struct crop));
    else
        b->upload(n->device, raw, x->images.floats, bytes);
    b->device->load_batch(n->unit[0], x->images.resident, raw, p->base + p->images.offset);
}

static void upload_weights(struct execution *x, const struct step *s)
{
    const struct network *n = x->n;
    struct range r = s->floats;
    if (!n->side)
        return;
    if (!x->w_is_resident && r.from < r.to)
        n->backend->upload(n->device, n->side->w[x->w_slot] + r.from, x->host_w.w + r.from,
                           (size_t)(r.to - r.from) * sizeof(float));
    if (s->segment >= 0)
        n->backend->device->segment_needs_uploads(n->side->segment[s->segment]);
}

static void download(const struct execution *x, void *to, const void *from, size_t bytes)
{
    if (x->n->side && bytes)
        x->n->backend->device->download(x->n->device, to, from, bytes);
}

/* Outside of gradients each norm writes or reads its part of n->statistics. */
static void forward(struct execution *x, int i)
{
    const struct network *n = x->n;
    const struct unit_shape *s = &n->a.unit[i].shape;
    struct unit_io io = network_io(n, x->plan, i, x->w, x->g);
    if (!x->g && s->norm) {
        io.mean = n->statistics + n->statistic[i];
        io.variance = io.mean + s->out_c;
    }
    n->backend->forward(n->unit[i], &io, x->mode);
}

static void backward(struct execution *x, int i)
{
    struct unit_io io = network_io(x->n, x->plan, i, x->w, x->g);
    x->n->backend->backward(x->n->unit[i], &io);
}

/* The greatest; among equals one that is not the label's. -1: none is a number. */
static int predicted(const float *row, int classes, int label)
{
    int best = -1;
    for (int c = 0; c < classes; c++)
        if (!isnan(row[c]) &&
            (best < 0 || row[c] > row[best] || (row[c] == row[best] && best == label)))
            best = c;
    return best;
}

static void count_predictions(const struct execution *x, const float *logits)
{
    int classes = x->n->a.classes;
    for (int i = 0; i < x->count; i++) {
        int class = predicted(logits + (int64_t)i * classes, classes, x->labels[i]);
        if (class >= 0)
            x->n->confusion[(int64_t)x->labels[i] * classes + class]++;
    }
}

static void loss(struct execution *x)
{
    const struct network *n = x->n;
    const struct memory_plan *p = x->plan;
    const float *logits = (const float *)(p->base + p->output[n->a.units - 1].offset);
    float *gradient = x->g ? (float *)(p->base + p->logits_gradient.offset) : NULL;
    n->backend->loss(n->device, logits, (int32_t *)(p->base + p->labels.offset), x->count,
                     n->a.classes, n->smoothing, gradient, x->loss);
    if (n->confusion && !x->g && !n->side)
        count_predictions(x, logits);
}

void network_count_predictions(struct network *n, int64_t *confusion)
{
    n->confusion = confusion;
}

static void execute_step(struct execution *x, const struct step *s)
{
    const struct network *n = x->n;
    const struct backend *b = n->backend;
    const struct device_side *d = n->side;
    const size_t statistics = (size_t)model_statistics(&n->a) * sizeof(float);
    struct range r = s->floats;
    switch (s->kind) {
    case STEP_KEY:
        b->upload(n->device, n->key, &x->images.key, sizeof x->images.key);
        break;
    case STEP_STATISTICS_UPLOAD:
        b->upload(n->device, n->statistics, x->statistics, statistics);
        break;
    case STEP_IMAGES:
        load_images(x);
        break;
    case STEP_LABELS:
        b->upload(n->device, x->plan->base + x->plan->labels.offset, x->labels,
                  (size_t)n->a.batch * sizeof *x->labels);
        break;
    case STEP_WEIGHTS_UPLOAD:
        upload_weights(x, s);
        break;
    case STEP_FORWARD:
        forward(x, s->unit);
        break;
    case STEP_LOSS:
        loss(x);
        break;
    case STEP_BACKWARD:
        backward(x, s->unit);
        break;
    case STEP_LOSS_DOWNLOAD:
        if (d)
            download(x, &d->host_sums[x->sums_slot], x->loss, sizeof *x->loss);
        break;
    case STEP_GRADIENT_DOWNLOAD:
        download(x, x->host_g + r.from, x->g + r.from, (size_t)(r.to - r.from) * sizeof(float));
        break;
    case STEP_STATISTICS_DOWNLOAD:
        if (d)
            download(x, d->host_statistics, n->statistics, statistics);
        break;
    }
}

/* ---- all steps */

bool execute_in_order(struct execution *x, network_hook *hook, void *self)
{
    const struct network_listener listener = x->n->listener;
    for (int i = 0; i < x->steps->count; i++) {
        const struct step *s = &x->steps->step[i];
        execute_step(x, s);
        if (!hook && listener.call && (s->kind == STEP_FORWARD || s->kind == STEP_BACKWARD))
            listener.call(listener.self, NULL);
        if (hook && s->hook >= 0 && !hook(self, s->hook, s->final_from))
            return false;
    }
    x->n->backend->finish(x->n->device);
    return true;
}

static void execute_range(struct execution *x, int from, int to)
{
    for (int i = from; i < to; i++)
        execute_step(x, &x->steps->step[i]);
}

static void start(struct execution *x, int k)
{
    const struct device_kind *device = x->n->backend->device;
    const struct segment *s = &x->steps->segment[k];
    struct graph_segment *recorded = x->n->side->segment[k];
    if (device->segment_begin(recorded))
        execute_range(x, s->first, s->last + 1);
    device->segment_end(recorded);
    execute_range(x, s->last + 1, s->end);
}

/* Starts all segments, and calls the hook until they are done. */
static bool follow(struct execution *x, network_hook *hook, void *self)
{
    const struct device_kind *device = x->n->backend->device;
    int begun = 0, count = x->steps->segments;
    for (int k = 0; k < count; k++) {
        const struct segment *s = &x->steps->segment[k];
        while (begun < count && (!hook || begun <= k + AHEAD))
            start(x, begun++);
        if (!hook)
            continue;
        while (!device->segment_is_done(x->n->side->segment[k])) {
            if (!hook(self, s->first_hook, s->final_before))
                return false;
            nanosleep(&(struct timespec){.tv_nsec = nap_ns}, NULL);
        }
        if (!hook(self, s->last_hook, s->final_after))
            return false;
    }
    return true;
}

bool execute_in_segments(struct execution *x, network_hook *hook, void *self)
{
    execute_range(x, 0, x->steps->segment[0].first);
    bool done = follow(x, hook, self);
    x->n->backend->finish(x->n->device);
    return done;
}
