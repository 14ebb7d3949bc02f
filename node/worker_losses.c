/* The training loss of each worker, for worker_losses.csv: the mean over the samples that updates
 * used since the evaluation before, at the weights at which the worker had computed them. Where
 * workers have classes of their own (--partition label) these curves part.
 *
 * Rank 0 counts what it takes from pushes and reports anyway, so no worker sends or waits for
 * anything. Cost: an addition a push. */
#include <string.h>

#include "base/alloc.h"
#include "node/private.h"

void worker_losses_open(struct node *n)
{
    struct loss_sums *l = &n->own->loss_sums;
    l->sum = xcalloc((size_t)n->context->workers, sizeof *l->sum);
    l->samples = xcalloc((size_t)n->context->workers, sizeof *l->samples);
}

void worker_losses_close(struct node *n)
{
    xfree(n->own->loss_sums.sum);
    xfree(n->own->loss_sums.samples);
}

void node_count_loss(struct node *n, int worker, int64_t samples, double loss)
{
    struct loss_sums *l = &n->own->loss_sums;
    if (!l->sum)
        return;
    l->sum[worker] += loss;
    l->samples[worker] += samples;
}

void worker_losses_record(struct node *n)
{
    struct loss_sums *l = &n->own->loss_sums;
    const struct evaluation *e = &n->own->evaluator.last;
    size_t workers = (size_t)n->context->workers;
    results_worker_losses(n->context->results, &(struct worker_losses){.seconds = e->seconds,
                                                                       .samples = e->samples,
                                                                       .updates = e->updates,
                                                                       .ranks = n->net->ranks,
                                                                       .workers = (int)workers,
                                                                       .used = l->samples,
                                                                       .loss = l->sum});
    memset(l->sum, 0, workers * sizeof *l->sum);
    memset(l->samples, 0, workers * sizeof *l->samples);
}
