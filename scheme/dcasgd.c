/* Delay-compensated asynchronous SGD: a stale gradient is corrected by how far the weights have
 * moved since it was computed.
 *
 *   g' = g + lambda_t g . g . (w - w_bak(i)),   w(v+1) = w(v) - rate x g'      (. element by
 *                                               element)
 *
 * w_bak(i) is a copy of the weights taken when they were sent to worker i; g is the mean of its B
 * mini-batches. constant: lambda_t = lambda; adaptive: lambda_t = lambda / sqrt(MeanSquare + eps),
 * MeanSquare = m MeanSquare + (1 - m) g . g, one for all workers as in the paper (the authors' code
 * keeps one for each). Messages as asgd; the server keeps W copies of its slice. At staleness 0 w =
 * w_bak and the scheme is asgd. Zheng et al. ICML 2017, arXiv:1609.08326, section 4. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

static const float eps = 1e-7f;

struct compensation {
    float lambda, decay;
    float *mean_square; /* [slice]; NULL: constant */
    float *fixed;       /* [slice]; the corrected gradient */
    float **backup;     /* [workers][slice] */
    int64_t count;      /* of the slice */
};

static void compensate(struct compensation *c, const float *sum, float scale, const float *w,
                       const float *backup, int threads)
{
#pragma omp parallel for simd num_threads(threads)
    for (int64_t i = 0; i < c->count; i++) {
        float g = scale * sum[i], lambda = c->lambda;
        if (c->mean_square) {
            c->mean_square[i] = c->decay * c->mean_square[i] + (1 - c->decay) * g * g;
            lambda /= sqrtf(c->mean_square[i] + eps);
        }
        c->fixed[i] = g + lambda * g * g * (w[i] - backup[i]);
    }
}

static struct compensation compensation_open(const struct node *n, struct range slice)
{
    const struct options *o = n->context->options;
    struct compensation c = {
        .lambda = (float)o->dc_lambda, .decay = (float)o->dc_decay, .count = slice.to - slice.from};
    c.fixed = xcalloc((size_t)c.count, sizeof *c.fixed);
    c.backup = xcalloc((size_t)n->context->workers, sizeof *c.backup);
    for (int i = 0; i < n->context->workers; i++)
        c.backup[i] = xcalloc((size_t)c.count, sizeof **c.backup);
    if (!strcmp(o->dc, "adaptive"))
        c.mean_square = xcalloc((size_t)c.count, sizeof *c.mean_square);
    return c;
}

static void compensation_close(struct compensation *c, int workers)
{
    for (int i = 0; i < workers; i++)
        xfree(c->backup[i]);
    xfree(c->backup);
    xfree(c->fixed);
    xfree(c->mean_square);
}

void dcasgd_work(struct node *n)
{
    ps_work(n);
}

void dcasgd_serve(struct node *n)
{
    const struct options *o = n->context->options;
    int workers = n->context->workers, threads = n->context->threads;
    struct ps *ps = ps_open(n);
    struct range slice = ps_slice(ps);
    struct compensation c = compensation_open(n, slice);
    double *scale = xcalloc((size_t)workers, sizeof *scale);
    n->races = true;
    for (int i = 0; i < workers; i++)
        vector_copy(c.backup[i], n->w + slice.from, c.count, threads);
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        if (!a->header)
            continue; /* it has left */
        if (o->stale_bound && a->staleness > o->stale_bound) {
            ps_discard(ps, worker);
        } else {
            compensate(&c, ps_vector(ps, worker), 1.0f / (float)n->context->minibatches,
                       n->w + slice.from, c.backup[worker], threads);
            node_advance_vector(n, c.count, c.mean_square ? 6 : 4);
            ps_replace(ps, worker, c.fixed);
            scale[worker] = 1;
            ps_step(ps, scale);
            scale[worker] = 0;
        }
        vector_copy(c.backup[worker], n->w + slice.from, c.count, threads);
        ps_reply(ps, worker);
    }
    compensation_close(&c, workers);
    xfree(scale);
    ps_close(ps);
}
