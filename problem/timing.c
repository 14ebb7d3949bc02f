/* A network of which only its times count: as many weights, as many steps, each with its part of
 * the time, the same parts of a gradient final after each. Nothing is computed: gradients are zero,
 * and so are weights. So the simulator charges what it would charge for the network, whatever that
 * would take to compute, and a run costs its messages and its vector work alone.
 *
 * Its weights are judged as wrong in every sample. No data are read: of a data set only the shape
 * counts. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "data_loader/data_loader.h"
#include "problem/kinds.h"

enum { TRAINING_SAMPLES = 50000, JUDGED_SAMPLES = 1000 };

struct timing {
    struct model model;
    int64_t offset[MAX_UNITS], final_from[MAX_UNITS]; /* [units]: model_offsets() */
};

struct stream {
    int worker;
};

static void initialise(struct problem *p, float *w)
{
    memset(w, 0, (size_t)p->count * sizeof *w);
}

static struct stream *stream_open(struct problem *p, int worker, int workers)
{
    struct stream *s = xcalloc(1, sizeof *s);
    (void)p, (void)workers;
    s->worker = worker;
    return s;
}

static void stream_close(struct problem *p, struct stream *s)
{
    (void)p;
    xfree(s);
}

static double stream_wait_s(const struct stream *s)
{
    (void)s;
    return 0;
}

static bool gradient(struct problem *p, struct stream *s, int64_t index, struct weights w, float *g,
                     struct loss *loss, network_hook *hook, void *self)
{
    (void)s, (void)index, (void)w;
    memset(g, 0, (size_t)p->count * sizeof *g);
    *loss = (struct loss){.sum = p->minibatch};
    return !hook || hook(self, p->steps - 1, 0);
}

static double step_share(const struct problem *p, int step)
{
    const struct timing *q = p->self;
    return model_unit_share(&q->model, step);
}

static int64_t final_from(const struct problem *p, int step)
{
    const struct timing *q = p->self;
    return step < q->model.units ? p->count : q->final_from[p->steps - 1 - step];
}

static void statistics(struct problem *p, struct weights w, int shard, int shards, double *sums,
                       void (*progress)(void *), void *self)
{
    (void)p, (void)w, (void)shard, (void)shards, (void)sums, (void)progress, (void)self;
}

static void finish_statistics(const struct problem *p, const double *sums, float *unused)
{
    (void)p, (void)sums, (void)unused;
}

static void evaluate(struct problem *p, struct weights w, const float *unused, int shard,
                     int shards, struct loss *loss, void (*progress)(void *), void *self)
{
    (void)w, (void)unused, (void)progress, (void)self;
    for (int64_t i = shard; i < p->test_samples; i += shards)
        loss->sum += 1;
}

static bool save(struct problem *p, const struct weights_target *to, const float *w,
                 const float *unused)
{
    (void)p, (void)to, (void)w, (void)unused; /* it was refused at the start */
    return false;
}

static void timing_close(struct problem *p)
{
    xfree(p->self);
}

static const struct problem_kind timing_kind = {
    .initialise = initialise,
    .stream_open = stream_open,
    .stream_close = stream_close,
    .stream_wait_s = stream_wait_s,
    .gradient = gradient,
    .step_share = step_share,
    .final_from = final_from,
    .statistics = statistics,
    .evaluate = evaluate,
    .save = save,
    .close = timing_close,
    .finish_statistics = finish_statistics,
};

void timing_open(struct problem *p, const struct problem_options *po)
{
    const struct options *o = po->options;
    if (*o->save || *o->init)
        fatal("--save, --init: with --sim-gradients no there are no weights worth a file");
    struct timing *q = xcalloc(1, sizeof *q);
    const struct option_set *own = dataset_option_set(o->dataset, o->data);
    const struct dataset_shape images = dataset_shape(o->dataset, own ? options_of(o, own) : NULL);
    model_build(&q->model,
                &(struct model_request){.name = o->network,
                                        .batch = p->minibatch,
                                        .classes = images.classes,
                                        .channels = images.channels,
                                        .height = images.height,
                                        .width = images.width},
                o);
    model_offsets(&q->model, q->offset, q->final_from);
    p->kind = &timing_kind;
    p->self = q;
    p->count = model_parameters(&q->model);
    p->training_samples = o->train_samples ? o->train_samples : TRAINING_SAMPLES;
    p->test_samples = JUDGED_SAMPLES;
    p->steps = 2 * q->model.units;
    snprintf(p->source, sizeof p->source, "none: no gradient is computed (--sim-gradients no)");
    snprintf(p->judged, sizeof p->judged, "nothing");
    snprintf(p->computes, sizeof p->computes, "nothing: times alone");
}
