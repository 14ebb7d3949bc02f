/* An exponential moving average of the weights over the updates, which evaluations judge (--ema).
 *
 *   a(v) = sum_{k=1..v} beta^(v-k) w(k) / sum_{k=1..v} beta^(v-k)
 *
 * Each server averages its slice after each update of it. Unlike the papers' average it has no part
 * of the first weights: the divisor is Adam's correction of the bias, nearly 1 after some
 * 1 / (1 - beta) updates. Cost: 3 passes over the slice an update, and its memory once more.
 * Polyak, Juditsky 1992; Chen et al. 2016, arXiv:1604.00981, with beta 0.9999. */
#include <math.h>

#include "node/private.h"

void average_open(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    bool serves = n->rank < n->context->servers;
    e->set.average = n->context->options->ema > 0;
    if (!serves || !e->set.average)
        return;
    e->average = net_alloc(n->net, (size_t)n->count * sizeof *e->average);
    vector_copy(e->average, n->w, n->count, n->context->threads);
}

void average_close(struct node *n)
{
    net_free(n->net, n->own->evaluator.average);
}

void average_update(struct node *n)
{
    const struct evaluator *e = &n->own->evaluator;
    double beta = n->context->options->ema,
           fresh = (1 - beta) / (1 - pow(beta, (double)n->version));
    if (!e->average)
        return;
    struct range at = node_slice(n, n->rank);
    float *average = e->average + at.from;
    node_sum(n, average, (const float *const[]){average, n->w + at.from},
             (double[]){1 - fresh, fresh}, 2, at.to - at.from);
}
