/* How far workers with weights of their own are from their mean and from each other, and the best
 * and the worst of them.
 *
 *   d_i = ||w_i - mean||;   distance^2 = (1 / W) sum d_i^2
 *   pairwise^2 = mean over pairs of ||w_i - w_j||^2 = 2 / (W - 1) sum d_i^2
 *
 * so no pair needs to be looked at. Cost: a pass over all workers' weights on rank 0, in an
 * evaluation. DiNNO's code takes the mean of the distances, of vectors of length 1. */
#include <math.h>

#include "node/private.h"

void consensus_judged(struct node *n, double top1)
{
    struct own_accuracies *own = &n->own->evaluator.own;
    own->best = own->count ? fmax(own->best, top1) : top1;
    own->worst = own->count ? fmin(own->worst, top1) : top1;
    own->sum += top1;
    own->count++;
}

/* ||a - b||^2; b NULL: ||a||^2. In double, sums of pieces. */
static double squared_distance(const float *a, const float *b, int64_t count)
{
    enum { PIECE = 4096 };
    double all = 0;
    for (int64_t from = 0; from < count; from += PIECE) {
        int64_t to = from + PIECE < count ? from + PIECE : count;
        double sum = 0;
        for (int64_t i = from; i < to; i++) {
            double d = (double)a[i] - (b ? (double)b[i] : 0);
            sum += d * d;
        }
        all += sum;
    }
    return all;
}

static void measure(struct node *n, struct workers_result *w)
{
    const struct evaluator *e = &n->own->evaluator;
    int workers = n->context->workers;
    double squares = 0, most = 0;
    for (int k = 0; k < workers; k++) {
        double d = squared_distance(e->workers[k], e->mean, n->count);
        squares += d;
        most = fmax(most, d);
    }
    w->distance = sqrt(squares / workers);
    w->farthest = sqrt(most);
    w->pairwise = workers > 1 ? sqrt(2 * squares / (workers - 1)) : 0;
    w->norm = sqrt(squared_distance(e->mean, NULL, n->count));
}

void consensus_record(struct node *n)
{
    struct evaluator *e = &n->own->evaluator;
    const struct own_accuracies own = e->own;
    struct workers_result w = {.seconds = e->last.seconds,
                               .samples = n->samples,
                               .updates = n->version,
                               .best_top1 = own.count ? own.best : NAN,
                               .worst_top1 = own.count ? own.worst : NAN,
                               .mean_top1 = own.count ? own.sum / own.count : NAN};
    e->own = (struct own_accuracies){.count = 0};
    if (n->rank > 0 || !e->set.mean)
        return;
    if (!node_forwards(n))
        measure(n, &w);
    w.distance = node_number(n, w.distance);
    w.farthest = node_number(n, w.farthest);
    w.pairwise = node_number(n, w.pairwise);
    w.norm = node_number(n, w.norm);
    results_workers(n->context->results, &w);
}
