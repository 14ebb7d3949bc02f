/* The walk of a backend that has memory of its own and runs behind (a GPU).
 *
 * Weights are brought there once for each weights_version, a stage at a time in the order in which
 * forward needs them; gradients come back a stage at a time as backward leaves them, so both hide
 * behind the computing. The walk is cut into stretches, one a stage forward and one back (the stem
 * goes with the first, the head with the last: they are short), which a backend can record and
 * start as one. Stretches are started AHEAD of the one under way, so that the device never waits
 * for the host and an abort never waits for long. While the device computes, the hook is asked
 * again and again. Whoever leaves this file has waited for all of it: so memory of both sides is
 * free then, and a new gradient need not ask what the one before still reads. */
#include <assert.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/check.h"
#include "network/private.h"

enum { AHEAD = 2, MOST_STAGES = 16, PAGE = 4096, MIDDLE = 1 };

static const long nap_ns = 20000; /* between two looks at the device */

struct span { /* of a network: units first .. last */
    int first, last;
};

struct apart {
    float *w[2]; /* of the gradient and of evaluations; of evaluations in the MIDDLE of a gradient,
                    when first needed */
    uint64_t weights_version[2];
    float *g;
    struct loss *sums; /* [2], as w */
    struct graph_segment *segment[2 * MOST_STAGES];
    struct span stage[MOST_STAGES];
    int stages;
    struct loss *sums_here; /* [2]; the block that holds the rest, too: whole pages of the host's,
                               shared with the backend */
    float *statistics_here;
};

static int64_t parameters(const struct network *n)
{
    return model_parameters(&n->a);
}

/* Does a stretch end in front of unit i? */
static bool parts(const struct model *a, int i)
{
    int before = a->unit[i - 1].stage, here = a->unit[i].stage, head = a->unit[a->units - 1].stage;
    return here != before && before > 0 && here != head;
}

static void find_stages(struct network *n)
{
    struct apart *d = n->apart;
    for (int i = 0; i < n->a.units; i++) {
        if (i == 0 || parts(&n->a, i)) {
            CHECK(d->stages < MOST_STAGES, "%s has more than %d stages", n->a.name, MOST_STAGES);
            d->stage[d->stages++].first = i;
        }
        d->stage[d->stages - 1].last = i;
    }
}

void apart_open(struct network *n, bool training)
{
    const struct backend *b = n->backend;
    struct apart *d = n->apart = xcalloc(1, sizeof *d);
    size_t floats = (size_t)parameters(n) * sizeof(float),
           statistics = (size_t)model_statistics(&n->a) * sizeof(float);
    size_t here = (2 * sizeof *d->sums + statistics + PAGE - 1) / PAGE * PAGE;
    d->w[0] = b->alloc(n->device, floats);
    d->sums = b->alloc(n->device, 2 * sizeof *d->sums);
    d->sums_here = alloc_pages(here);
    d->statistics_here = (float *)(d->sums_here + 2);
    b->device->register_memory(n->device, d->sums_here, here);
    if (!training)
        return;
    d->g = b->alloc(n->device, floats);
    find_stages(n);
    for (int i = 0; i < 2 * d->stages; i++)
        d->segment[i] = b->device->segment_open(n->device);
}

void apart_close(struct network *n)
{
    const struct backend *b = n->backend;
    struct apart *d = n->apart;
    for (int i = 0; d->g && i < 2 * d->stages; i++)
        b->device->segment_close(d->segment[i]);
    b->device->unregister_memory(n->device, d->sums_here);
    void *there[] = {d->w[0], d->w[1], d->g, d->sums};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        b->free(n->device, there[i]);
    xfree(d->sums_here);
    xfree(d);
}

static bool is_resident(const struct apart *d, int which, uint64_t weights_version)
{
    return d->w[which] && weights_version && d->weights_version[which] == weights_version;
}

struct weights apart_weights(struct network *n, struct weights w)
{
    struct apart *d = n->apart;
    size_t bytes = (size_t)parameters(n) * sizeof(float);
    int which = n->busy && !is_resident(d, 0, w.weights_version) ? MIDDLE : 0;
    if (!d->w[which])
        d->w[which] = n->backend->alloc(n->device, bytes);
    if (!is_resident(d, which, w.weights_version))
        n->backend->upload(n->device, d->w[which], w.w, bytes);
    d->weights_version[which] = w.weights_version;
    return (struct weights){d->w[which], 0};
}

struct loss *apart_sums(struct network *n)
{
    return n->apart->sums + MIDDLE;
}

struct loss apart_loss(struct network *n)
{
    struct apart *d = n->apart;
    n->backend->device->download(n->device, d->sums_here + MIDDLE, d->sums + MIDDLE,
                                 sizeof *d->sums);
    n->backend->finish(n->device);
    return d->sums_here[MIDDLE];
}

const float *apart_statistics(struct network *n)
{
    struct apart *d = n->apart;
    n->backend->device->download(n->device, d->statistics_here, n->statistics,
                                 (size_t)model_statistics(&n->a) * sizeof(float));
    n->backend->finish(n->device);
    return d->statistics_here;
}

void apart_images(struct network *n, const struct plan *p, struct images images)
{
    const struct backend *b = n->backend;
    const struct model *a = &n->a;
    size_t floats = (size_t)a->batch * (size_t)a->channels * (size_t)a->height * (size_t)a->width;
    void *arrived = p->base + p->arrived.offset;
    if (images.resident)
        b->upload(n->device, arrived, images.crops, (size_t)a->batch * sizeof *images.crops);
    else
        b->upload(n->device, arrived, images.floats, floats * sizeof *images.floats);
    b->device->load_batch(n->unit[0], images.resident, arrived, p->base + p->images.offset);
}

/* Brings the batch and the weights, each stage's announced to the stretch that reads it first. */
static void upload_all(struct network *n, struct weights w, struct images images,
                       const int32_t *labels)
{
    const struct backend *b = n->backend;
    const struct plan *p = &n->training;
    const struct model *a = &n->a;
    struct apart *d = n->apart;
    bool resident = is_resident(d, 0, w.weights_version);
    apart_images(n, p, images);
    b->upload(n->device, p->base + p->labels.offset, labels, (size_t)a->batch * sizeof *labels);
    for (int s = 0; s < d->stages; s++) {
        int64_t from = INT64_MAX, to = 0;
        for (int i = d->stage[s].first; i <= d->stage[s].last; i++) {
            int64_t count = unit_parameters(&a->unit[i].shape);
            if (count && n->offset[i] < from)
                from = n->offset[i];
            if (count && n->offset[i] + count > to)
                to = n->offset[i] + count;
        }
        if (!resident && to > from)
            b->upload(n->device, d->w[0] + from, w.w + from, (size_t)(to - from) * sizeof *w.w);
        b->device->segment_needs_uploads(d->segment[s]);
    }
    d->weights_version[0] = w.weights_version;
}

static struct unit_io io_of(const struct network *n, int i)
{
    return network_io(n, &n->training, i, (struct weights){n->apart->w[0], 0}, n->apart->g);
}

static void make_calls(struct network *n, int s)
{
    const struct backend *b = n->backend;
    const struct plan *p = &n->training;
    struct apart *d = n->apart;
    bool forward = s < d->stages;
    const struct span *units = &d->stage[forward ? s : 2 * d->stages - 1 - s];
    for (int k = 0; k <= units->last - units->first; k++) {
        int i = forward ? units->first + k : units->last - k;
        struct unit_io io = io_of(n, i);
        forward ? b->forward(n->unit[i], &io, UNIT_TRAIN) : b->backward(n->unit[i], &io);
    }
    if (s == d->stages - 1)
        b->loss(n->device, (float *)(p->base + p->output[n->a.units - 1].offset),
                (int32_t *)(p->base + p->labels.offset), n->a.batch, n->a.classes, n->smoothing,
                (float *)(p->base + p->logits_gradient.offset), &d->sums[0]);
}

/* The first float that is final when stretch s is done. */
static int64_t final_after(const struct network *n, int s)
{
    const struct apart *d = n->apart;
    return s < d->stages ? parameters(n) : n->final_from[d->stage[2 * d->stages - 1 - s].first];
}

static void start(struct network *n, int s, float *g)
{
    const struct backend *b = n->backend;
    struct apart *d = n->apart;
    if (b->device->segment_begin(d->segment[s]))
        make_calls(n, s);
    b->device->segment_end(d->segment[s]);
    if (s == d->stages - 1)
        b->device->download(n->device, &d->sums_here[0], &d->sums[0], sizeof *d->sums);
    if (s < d->stages)
        return;
    int64_t from = final_after(n, s), to = final_after(n, s - 1);
    if (to > from)
        b->device->download(n->device, g + from, d->g + from, (size_t)(to - from) * sizeof *g);
}

/* The steps of stretch s: its first, and its last. */
static int first_step(const struct network *n, int s)
{
    const struct apart *d = n->apart;
    return s < d->stages ? d->stage[s].first
                         : 2 * n->a.units - 1 - d->stage[2 * d->stages - 1 - s].last;
}

static int last_step(const struct network *n, int s)
{
    return s + 1 < 2 * n->apart->stages ? first_step(n, s + 1) - 1 : 2 * n->a.units - 1;
}

/* Starts all stretches, and asks the hook until they are done. False: it said no. */
static bool follow(struct network *n, float *g, network_hook *hook, void *self)
{
    const struct backend *b = n->backend;
    struct apart *d = n->apart;
    int begun = 0, count = 2 * d->stages;
    for (int s = 0; s < count; s++) {
        while (begun < count && (!hook || begun <= s + AHEAD))
            start(n, begun++, g);
        if (!hook)
            continue;
        int64_t from = final_after(n, s - 1);
        while (!b->device->segment_is_done(d->segment[s])) {
            if (!hook(self, first_step(n, s), from))
                return false;
            nanosleep(&(struct timespec){.tv_nsec = nap_ns}, NULL);
        }
        if (!hook(self, last_step(n, s), final_after(n, s)))
            return false;
    }
    return true;
}

bool apart_gradient(struct network *n, struct weights w, struct images images,
                    const int32_t *labels, float *g, struct loss *loss, network_hook *hook,
                    void *self)
{
    upload_all(n, w, images, labels);
    bool done = follow(n, g, hook, self);
    n->backend->finish(n->device);
    if (done)
        *loss = n->apart->sums_here[0];
    return done;
}
