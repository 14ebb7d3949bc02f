/* An exponential moving average of the weights over the updates, which evaluations judge (--ema).
 *
 *   a(v) = sum_{k=1..v} beta^(v-k) w(k) / sum_{k=1..v} beta^(v-k)
 *
 * Each server averages its slice after each update of it; where no server has the weights, the
 * first worker does. Unlike the papers' average it has no part of the first weights: the divisor is
 * Adam's correction of the bias, nearly 1 after some 1 / (1 - beta) updates. Cost: 3 passes over
 * the slice an update, and its memory once more.
 * Polyak, Juditsky 1992; Chen et al. 2016, arXiv:1604.00981, with beta 0.9999. */
#include <math.h>

#include "node/private.h"

static void open_average(struct node *n, struct range at)
{
    struct average *a = &n->own->evaluator.average;
    a->w = net_alloc(n->net, (size_t)n->count * sizeof *a->w);
    keeping_average(n, at);
}

void average_open(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    bool serves = n->rank < n->context->servers;
    e->set.average = n->context->options->ema > 0;
    if (!serves || !e->set.average)
        return;
    open_average(n, node_slice(n, n->rank));
    if (!e->average.updates)
        vector_copy(e->average.w, n->w, n->count, n->context->threads);
}

void average_close(struct node *n)
{
    net_free(n->net, n->own->evaluator.average.w);
}

/* These floats of w are an update further. */
static void add(struct node *n, const float *w, struct range at)
{
    struct average *a = &n->own->evaluator.average;
    double beta = n->context->options->ema;
    double fresh = (1 - beta) / (1 - pow(beta, (double)++a->updates));
    float *to = a->w + at.from;
    node_sum(n, to, (const float *const[]){to, w + at.from}, (double[]){1 - fresh, fresh}, 2,
             at.to - at.from);
}

void average_update(struct node *n)
{
    const struct average *a = &n->own->evaluator.average;
    if (a->w && !a->is_shown)
        add(n, n->w, node_slice(n, n->rank));
}

void node_average(struct node *n, const float *w)
{
    struct evaluator *e = &n->own->evaluator;
    if (!e->set.average || n->worker > 0)
        return;
    if (!e->average.w)
        open_average(n, (struct range){0, n->count});
    add(n, w, (struct range){0, n->count});
}
