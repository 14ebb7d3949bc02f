/* What a run that goes wrong looks like, said aloud once and recorded: never a silent 10 %.
 *
 *   climbs   the test loss has been above that of the first weights at PATIENCE evaluations in a
 *            row
 *   chance   after --chance-samples samples (0: one epoch) the best top-1 is still within half of
 *            chance
 *
 * A loss that is no number ends the run (node/node.c). The likely cause is read off what the run
 * knows: how stale its gradients are, its momentum (asynchrony adds to it: Mitliagkas et al. 2016,
 * arXiv:1605.09774), its rate. */
#include <stdio.h>

#include "base/check.h"
#include "node/private.h"

enum { PATIENCE = 3 };

static const char *likely_cause(const struct node *n)
{
    const struct options *o = n->context->options;
    if (!n->own->climbing)
        return "it learns too slowly: a greater --lr, or more samples";
    if (histogram_mean(&n->counters.staleness) >= 0.5)
        return o->momentum > 0.5
                   ? "stale gradients under momentum: a smaller --momentum, then a smaller --lr"
                   : "stale gradients: a smaller --lr, or a scheme with a bound on the staleness";
    return o->momentum > 0.95 ? "much momentum: a smaller --momentum or --lr"
                              : "the rate: a smaller --lr, or a longer --warmup";
}

static void say(struct node *n, const char *what, const char *text)
{
    const struct evaluation *s = &n->own->evaluation;
    n->own->guard = what;
    results_event(n->context->results, "guard", s->seconds,
                  "\"what\": \"%s\", \"loss\": %.6f, \"top1\": %.4f, \"stale_mean\": %.4f", what,
                  s->loss, s->top1, histogram_mean(&n->counters.staleness));
    fprintf(stderr, "nbsgd: %s after %lld samples (loss %.4f, top-1 %.2f %%). Likely cause: %s\n",
            text, (long long)s->samples, s->loss, s->top1, likely_cause(n));
}

void node_guard(struct node *n)
{
    struct node_private *own = n->own;
    const struct problem *p = n->context->problem;
    int64_t patience = n->context->options->chance_samples;
    if (own->evaluation.updates == 0)
        own->first_loss = own->evaluation.loss;
    own->climbing = own->evaluation.loss > own->first_loss ? own->climbing + 1 : 0;
    if (own->guard)
        return;
    if (own->climbing == PATIENCE)
        say(n, "climbs", "the loss stays above that of the first weights");
    else if (p->classes && n->samples >= (patience ? patience : p->training_samples) &&
             results_best(n->context->results) <= 150.0 / p->classes)
        say(n, "chance", "the accuracy is still what guessing gives");
}

const char *node_guarded(const struct node *n)
{
    return n->status == EXIT_NAN ? "nan" : n->own->guard;
}
