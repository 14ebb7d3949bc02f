/* A convex toy: f(w) = 1/2 sum_i a_i (w_i - t_i)^2 with curvatures a_i from 0.1 to 1 and an optimum
 * t drawn by the seed.
 *
 * On the virtual clock the first half of a mini-batch's steps are forward's, in the second half the
 * gradient becomes final from its end. A mini-batch's gradient carries noise keyed by (seed,
 * worker, index), deviation NOISE / sqrt(samples). Evaluation: the exact loss; top-1 is the
 * percentage of coordinates within 0.1 of the optimum, top-5 within 0.5. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "base/simd.h"
#include "problem/kinds.h"

enum {
    COUNT = 1000,
    RUN = 8,
    TRAINING_SAMPLES = 50000,
    STEPS = 16
}; /* steps: how often a mini-batch listens on the virtual clock */
_Static_assert(COUNT % RUN == 0, "whole runs");
static const double noise = 1.0;

struct quadratic {
    uint64_t seed;
    double deviation; /* of a mini-batch's noise, a coordinate */
    float optimum[COUNT], curvature[COUNT];
    double drawn[COUNT]; /* of the gradient under way */
};

struct stream {
    uint64_t worker;
};

static void initialise(struct problem *p, float *w)
{
    for (int64_t i = 0; i < p->count; i++)
        w[i] = 0;
}

static struct stream *stream_open(struct problem *p, int worker, int workers)
{
    struct stream *s = xcalloc(1, sizeof *s);
    (void)p, (void)workers;
    s->worker = (uint64_t)worker;
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

/* The gradient, with the numbers drawn as its noise, which is uniform: cheap, and its deviation is
 * what counts. The loss is summed one coordinate after the other, run by run, so that these
 * additions, each of which waits for the one before, are made beside the rest. */
SIMD_LOOP slope_loop(const struct quadratic *q, const float *restrict w, float *restrict g,
                     double *loss)
{
    double spread = q->deviation * sqrt(12), sum = 0;
    for (int from = 0; from < COUNT; from += RUN) {
        double part[RUN];
#pragma omp simd
        for (int k = 0; k < RUN; k++) {
            int i = from + k;
            double away = w[i] - q->optimum[i];
            g[i] = (float)(q->curvature[i] * away + spread * (q->drawn[i] - 0.5));
            part[k] = 0.5 * q->curvature[i] * away * away;
        }
        for (int k = 0; k < RUN; k++)
            sum += part[k];
    }
    *loss = sum;
}

SIMD(slope, (const struct quadratic *q, const float *restrict w, float *restrict g, double *loss),
     (q, w, g, loss))

static bool gradient(struct problem *p, struct stream *s, int64_t index, struct weights w, float *g,
                     struct loss *loss, network_hook *hook, void *self)
{
    struct quadratic *q = p->self;
    struct random r = random_at(RANDOM_TEST, q->seed, s->worker, (uint64_t)index, 1);
    double sum;
    random_uniforms(&r, q->drawn, COUNT);
    slope(q, w.w, g, &sum);
    *loss = (struct loss){.sum = sum * p->minibatch};
    return !hook || hook(self, STEPS - 1, 0);
}

static double step_share(const struct problem *p, int step)
{
    (void)p, (void)step;
    return 1.0 / STEPS;
}

static int64_t final_from(const struct problem *p, int step)
{
    return step < STEPS / 2 ? p->count : p->count * (STEPS - 1 - step) / (STEPS / 2);
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
    const struct quadratic *q = p->self;
    (void)unused, (void)progress, (void)self;
    for (int i = shard; i < COUNT; i += shards) {
        double away = fabs(w.w[i] - q->optimum[i]);
        loss->sum += 0.5 * q->curvature[i] * away * away * COUNT;
        loss->top1 += away < 0.1;
        loss->top5 += away < 0.5;
    }
}

static bool save(struct problem *p, const struct weights_target *to, const float *w,
                 const float *unused)
{
    (void)p, (void)to, (void)w, (void)unused; /* it was refused at the start */
    return false;
}

static void quadratic_close(struct problem *p)
{
    xfree(p->self);
}

static const struct problem_kind quadratic_kind = {
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
    .close = quadratic_close,
    .finish_statistics = finish_statistics,
};

void quadratic_open(struct problem *p, const struct problem_options *o)
{
    struct quadratic *q = xcalloc(1, sizeof *q);
    if (*o->options->save || *o->options->init)
        fatal("--save, --init: the quadratic toy has no weights worth a file");
    if (strcmp(o->options->partition, "split"))
        fatal("--partition %s: the quadratic toy has no samples to part; take a network",
              o->options->partition);
    q->seed = (uint64_t)o->options->seed;
    q->deviation = noise / sqrt(o->minibatch);
    struct random r = random_at(RANDOM_TEST, q->seed, 0, 0, 0);
    for (int i = 0; i < COUNT; i++) {
        q->optimum[i] = (float)random_normal(&r);
        q->curvature[i] = (float)(0.1 + 0.9 * random_uniform(&r));
    }
    p->kind = &quadratic_kind;
    p->count = COUNT;
    p->training_samples = TRAINING_SAMPLES;
    p->test_samples = COUNT;
    p->steps = STEPS;
    p->self = q;
    snprintf(p->source, sizeof p->source, "a quadratic of %d floats", COUNT);
    snprintf(p->judged, sizeof p->judged, "the quadratic itself");
    snprintf(p->computes, sizeof p->computes, "plain C");
}
