/* --nb-weigh: how far an update of N mini-batches goes.
 *
 *   the sum of their gradients is divided by
 *     finished   N                      a full step, however few they are
 *     full       P B                    P: workers that are present, B: mini-batches of a batch
 *     samples    M                      each sample weighs the same
 *     capped     max(N, M)              the same, but a step is never more than a full one
 *   M = the mean of N over all updates so far, this one included
 *
 * `finished` is the published reading. `capped` is the default: it was better in all twelve
 * comparisons of results/2026-11-30_nbssgd_choices.
 *
 * So f = N / divisor is the size of the step against a full one on the mean gradient, lr x f. Under
 * sgd and nesterov the gradient is scaled, not lr: momentum then holds each sample with the same
 * weight, whatever N is later on. Weight decay keeps its full rate, and --clip meets the scaled
 * gradient. Rules that divide a gradient by its size would undo that: for them lr is scaled. Pushed
 * weights move the server's by f times their way, under any rule.
 *
 * An update without a mini-batch is no step, and is left out of M. M is part of the scheme's state.
 * All servers have the same: locked ones meet the same N, racing ones take pushes in one order
 * (ps_agree_on_order()). */
#include "scheme/nbssgd.h"

#include <math.h>
#include <string.h>

struct nbssgd_weigh nbssgd_weigh_open(const struct nbssgd_options *o)
{
    return (struct nbssgd_weigh){.by = !strcmp(o->nb_weigh, "full")      ? WEIGH_FULL
                                       : !strcmp(o->nb_weigh, "samples") ? WEIGH_SAMPLES
                                       : !strcmp(o->nb_weigh, "capped")  ? WEIGH_CAPPED
                                                                         : WEIGH_FINISHED};
}

double nbssgd_divisor(struct nbssgd_weigh *k, double minibatches, double full)
{
    k->minibatches += minibatches;
    k->updates++;
    double mean = k->minibatches / (double)k->updates;
    switch (k->by) {
    case WEIGH_FULL:
        return full;
    case WEIGH_SAMPLES:
        return mean;
    case WEIGH_CAPPED:
        return fmax(minibatches, mean);
    default:
        return minibatches;
    }
}
