/* The starvation guard: a worker whose part in training is far below its part of the data, said
 * once and recorded.
 *
 *   used share   of the samples that updates used so far, those of this worker
 *   data share   of the training samples, those of its shard (all equal where there are no shards)
 *   starved      used share < data share / 3
 *
 * The weights hardly learn from the shard of a starved worker. Where shards are alike that costs
 * its computing. Where they are cut by labels it costs the classes that only it has, and no loss of
 * a mini-batch shows it: the others' stay low.
 *
 * Rank 0 counts. It looks when LEAST mini-batches a worker were used (a fair worker has a third of
 * these once in 10^5 runs), and whenever a quarter more were: O(W) each time. Workers that depart
 * (--depart) are not judged. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "node/private.h"

enum { LEAST = 32 };

static const double starved_below = 1.0 / 3, look_again = 1.25;

void starvation_open(struct node *n)
{
    n->own->starvation.used = xcalloc((size_t)n->context->workers, sizeof(int64_t));
}

void starvation_close(struct node *n)
{
    xfree(n->own->starvation.used);
}

void node_count_used(struct node *n, int worker, int64_t samples)
{
    struct starvation *s = &n->own->starvation;
    if (!s->used)
        return;
    s->used[worker] += samples;
    s->all += samples;
}

void node_explain_starvation(struct node *n, const char *advice)
{
    n->own->starvation.advice = advice;
}

static bool is_judged(const struct node *n, int worker)
{
    return isinf(departure_of(&n->context->departures, n->context->servers + worker));
}

static double used_share(const struct node *n, int worker)
{
    const struct starvation *s = &n->own->starvation;
    return (double)s->used[worker] / (double)s->all;
}

static double data_share(const struct node *n, int worker)
{
    const struct run_context *c = n->context;
    return c->data_share ? c->data_share[worker] : 1.0 / c->workers;
}

static double use_of(const struct node *n, int worker)
{
    return used_share(n, worker) / data_share(n, worker);
}

/* The worker whose part is least; -1: nobody can be judged. */
static int least(const struct node *n)
{
    const struct starvation *s = &n->own->starvation;
    int worker = -1;
    for (int i = 0; s->used && s->all && i < n->context->workers; i++)
        if (is_judged(n, i) && (worker < 0 || use_of(n, i) < use_of(n, worker)))
            worker = i;
    return worker;
}

static void say(struct node *n, int worker)
{
    const struct starvation *s = &n->own->starvation;
    const char *partition = n->context->options->partition;
    double used = used_share(n, worker), data = data_share(n, worker);
    bool alike = !n->context->data_share || !strcmp(partition, "split") ||
                 !strcmp(partition, "shared") || !strcmp(partition, "speed");
    int rank = n->context->servers + worker;
    results_event(n->context->results, "starved", node_clock(n),
                  JSON_FIELDS(JSON_INT("rank", rank), JSON_FIXED("used_share", used),
                              JSON_FIXED("data_share", data), JSON_BOOL("alike", alike)));
    fprintf(stderr,
            "nbsgd: STARVED: rank %d has %.1f %% of the data, %.1f %% of the samples that updates "
            "used so far. %s%s%s\n",
            rank, 100 * data, 100 * used,
            alike ? "Its shard is like the others', so classes are not missed; under --partition "
                    "label they would be"
                  : "Shards are not alike (--partition): classes that only it has are hardly "
                    "learned",
            s->advice ? ". " : "", s->advice ? s->advice : "");
}

void starvation_check(struct node *n)
{
    struct starvation *s = &n->own->starvation;
    const struct run_context *c = n->context;
    int64_t enough = (int64_t)LEAST * c->workers * c->minibatch;
    if (s->said || s->all < enough || (s->all < s->look_at && !n->stop))
        return;
    s->look_at = (int64_t)(look_again * (double)s->all);
    int worker = least(n);
    if (worker < 0 || use_of(n, worker) >= starved_below)
        return;
    s->said = true;
    say(n, worker);
}

double starvation_least_use(const struct node *n)
{
    int worker = least(n);
    return worker < 0 ? NAN : use_of(n, worker);
}

bool starvation_said(const struct node *n)
{
    return n->own->starvation.said;
}
