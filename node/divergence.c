/* The divergence detector: what a run that goes wrong looks like, said once and recorded. Never a
 * silent 10 %.
 *
 *   nan        a loss is no longer a number: training ends
 *   diverging  the test loss was above that of the first weights at PATIENCE evaluations in a row,
 *              each of another version
 *   at_chance  after --chance-samples samples (0: one epoch) the best top-1 is still within half of
 *              chance
 *
 * The likely cause is read off what the run knows: how stale its gradients are, its momentum
 * (asynchrony adds to it: Mitliagkas et al. 2016, arXiv:1605.09774), its learning rate. */
#include <stdio.h>

#include "base/check.h"
#include "node/private.h"

enum { PATIENCE = 3 };

static const char *likely_cause(const struct node *n)
{
    const struct options *o = n->context->options;
    const double momentum = optimizer_options_of(o, o->optimizer).momentum;
    if (!n->own->divergence.rising)
        return "it learns too slowly: a greater --lr, or more samples";
    if (histogram_mean(&n->counters.staleness) >= 0.5)
        return momentum > 0.5
                   ? "stale gradients under momentum: a smaller --momentum, then a smaller --lr"
                   : "stale gradients: a smaller --lr, or a scheme with a bound on the staleness";
    return momentum > 0.95 ? "much momentum: a smaller --momentum or --lr"
                           : "the learning rate: a smaller --lr, or a longer --warmup";
}

static void found(struct node *n, const char *what, const char *text)
{
    const struct evaluation *e = &n->own->evaluator.last;
    snprintf(n->own->divergence.found, sizeof n->own->divergence.found, "%s", what);
    results_event(
        n->context->results, "divergence", e->seconds,
        JSON_FIELDS(JSON_TEXT("what", what), JSON_FIXED("loss", e->loss),
                    JSON_FIXED("top1", e->top1),
                    JSON_FIXED("staleness_mean", histogram_mean(&n->counters.staleness))));
    fprintf(stderr, "nbsgd: %s after %lld samples (loss %.4f, top-1 %.2f %%). Likely cause: %s\n",
            text, (long long)e->samples, e->loss, e->top1, likely_cause(n));
}

void divergence_check(struct node *n)
{
    struct divergence *d = &n->own->divergence;
    const struct evaluation *e = &n->own->evaluator.last;
    const struct problem *p = n->context->problem;
    int64_t patience = n->context->options->chance_samples;
    if (e->updates == 0)
        d->first_loss = e->loss;
    if (!(e->loss > d->first_loss))
        d->rising = 0;
    else if (e->updates != d->updates)
        d->rising++;
    d->updates = e->updates;
    if (*d->found)
        return;
    if (d->rising == PATIENCE)
        found(n, "diverging", "the loss stays above that of the first weights");
    else if (p->classes && n->samples >= (patience ? patience : p->training_samples) &&
             results_best(n->context->results) <= 150.0 / p->classes)
        found(n, "at_chance", "the accuracy is still what guessing gives");
}

const char *divergence_found(const struct node *n)
{
    const char *found = n->own->divergence.found;
    return n->status == EXIT_NAN ? "nan" : *found ? found : NULL;
}

void divergence_nan(struct node *n, int rank)
{
    char whose[40] = "the evaluation's loss", path[5000], kept[5100];
    double best = results_best(n->context->results);
    snprintf(kept, sizeof kept, "best top-1 so far %.2f %%", best);
    if (saving_best(n, path, sizeof path, &best))
        snprintf(kept, sizeof kept, "best top-1 so far %.2f %% is kept in %s", best, path);
    if (rank != NET_ANY)
        snprintf(whose, sizeof whose, "the loss of rank %d", rank);
    n->status = EXIT_NAN;
    n->stop = true;
    results_event(n->context->results, "nan", node_clock(n),
                  JSON_FIELDS(JSON_INT("rank", rank), JSON_INT("version", n->version)));
    fprintf(
        stderr,
        "nbsgd: %s is no longer a number at update %lld (%lld samples); %s. A smaller --lr or a "
        "longer --warmup helps\n",
        whose, (long long)n->version, (long long)n->samples, kept);
}
