/* Eager SGD: an all-reduce begins as soon as one worker has finished its batch. The others give
 * what they have finished, or zero.
 *
 *   w(v+1) = w(v) - lr (1 / W B) sum over workers of the gradients finished since the last
 *            all-reduce, on every worker
 *
 *   solo      the first to finish a batch within a version triggers the next all-reduce; a later
 *             one keeps its gradient for the one after
 *   majority  a worker drawn at random for each version triggers; others that have finished wait
 *             for it, so that half of them contribute on average
 * All models are equal at all times: nothing synchronises them, as the paper does. A mini-batch
 * goes on during an all-reduce: its gradient is as many versions stale as were made while it ran.
 * Rank 0 only watches. Cost of an update: each worker sends 2 (W - 1) / W n floats (--allreduce); W
 * - 1 signals. Staleness mostly 0 or 1, unbounded. A lost worker ends the run: who is late adds its
 * zeros itself. Li, Ben-Nun, Di Girolamo, Alistarh, Hoefler PPoPP 2020, arXiv:1908.04207. */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "collective/collective.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"
#include "signals/signals.h"

struct eager_options {
    const char *eager_trigger;
};

#define AT(field) offsetof(struct eager_options, field)

static const struct option_row rows[] = {
    {.name = "eager-trigger",
     .type = OPTION_CHOICE,
     .offset = AT(eager_trigger),
     .preset = "solo",
     .choices = "solo|majority",
     .help = "who triggers an all-reduce: the first to finish, or a worker drawn at random",
     .old = "eager"},
    {0}};

static const struct option_set option_set = {.title = "Scheme eager",
                                             .owner = "--scheme eager",
                                             .rows = rows,
                                             .size = sizeof(struct eager_options)};

struct worker {
    struct node *n;
    struct ps_client *ps;
    struct collective *all;
    struct optimizer *optimizer;
    struct signals signals;
    bool majority;
    float *nothing;          /* what a worker gives that has nothing */
    float *newest;           /* where weights are stepped while a mini-batch still reads n->w */
    bool computing, stepped; /* a mini-batch is under way; newest is ahead of n->w */
};

/* One all-reduce, one step, one report to rank 0. */
static void take_part(struct worker *k)
{
    struct node *n = k->n;
    float *given = n->finished ? n->sum : k->nothing, *w = k->computing ? k->newest : n->w;
    if (!n->finished)
        node_sum(n, given, NULL, NULL, 0, n->count);
    collective_sum(k->all, given, 1.0 / ((double)n->context->workers * n->context->minibatches));
    if (k->computing && !k->stepped)
        node_copy(n, w, n->w, n->count);
    k->stepped = k->computing;
    node_step(n, k->optimizer, w, given, n->lr);
    ps_report(k->ps, w);
    ps_pull(k->ps, n->w);
    ps_wait(k->ps);
    node_clear(n);
    if (!k->computing)
        node_weights_changed(n);
    k->signals.round = n->version;
}

static enum node_flow hear(void *self)
{
    struct worker *k = self;
    if (!k->n->stop && signals_heard(&k->signals))
        take_part(k);
    return k->n->stop ? NODE_INTERRUPTED : NODE_CONTINUE;
}

/* A mini-batch, under which all-reduces may take place. */
static void compute(struct worker *k)
{
    struct node *n = k->n;
    int64_t began_at = n->version;
    k->computing = true;
    bool done = node_minibatch(n) == NODE_CONTINUE;
    k->computing = false;
    if (k->stepped) {
        float *w = n->w;
        n->w = k->newest;
        k->newest = w;
        k->stepped = false;
        node_weights_changed(n);
    }
    if (done && n->version - began_at > n->staleness)
        n->staleness = n->version - began_at;
}

static bool triggers(const struct worker *k, int64_t began_at)
{
    const struct node *n = k->n;
    if (!k->majority)
        return n->version == began_at;
    struct random draw =
        random_at(RANDOM_TRIGGER, (uint64_t)n->context->options->seed, (uint64_t)n->version, 0, 0);
    return random_below(&draw, (uint32_t)n->context->workers) == (uint32_t)n->worker;
}

/* The batch is done: starts an all-reduce, waits for one, or, when it came too late for that, goes
 * on. */
static void finish(struct worker *k, int64_t began_at)
{
    struct node *n = k->n;
    if (!signals_heard(&k->signals)) {
        if (triggers(k, began_at)) {
            signals_send(&k->signals);
        } else if (n->version > began_at) {
            return;
        } else {
            while (!signals_heard(&k->signals)) {
                struct request *list[2] = {NULL, k->signals.posted};
                node_wait(n, list, 2, INFINITY, "the signal to sum", NET_ANY);
            }
        }
    }
    take_part(k);
}

static void work(struct node *n)
{
    const struct eager_options *o = options_of(n->context->options, &option_set);
    struct worker k = {.n = n,
                       .ps = ps_client_open(n),
                       .all =
                           collective_open(n, n->count, codec_find(n->context->options->compress)),
                       .majority = !strcmp(o->eager_trigger, "majority")};
    k.optimizer = node_optimizer(n, (struct range){0, n->count});
    node_keep_optimizer(n, k.optimizer, "workers.optimizer");
    k.nothing = net_alloc(n->net, (size_t)n->count * sizeof *k.nothing);
    k.newest = net_alloc(n->net, (size_t)n->count * sizeof *k.newest);
    k.signals = signals_open(n, false);
    ps_pull(k.ps, n->w);
    ps_wait(k.ps);
    node_restore_weights(n);
    k.signals.round = n->version;
    node_set_interrupt(n, hear, &k, (struct request *const *[]){&k.signals.posted}, 1);
    while (!n->stop) {
        int64_t began_at = n->version;
        for (int i = 0; i < n->context->minibatches && !n->stop; i++)
            compute(&k);
        if (!n->stop)
            finish(&k, began_at);
    }
    node_set_interrupt(n, NULL, NULL, NULL, 0);
    signals_close(&k.signals, ps_depart(k.ps, k.signals.sent));
    optimizer_close(k.optimizer);
    collective_close(k.all);
    net_free(n->net, k.nothing);
    net_free(n->net, k.newest);
    ps_client_close(k.ps);
}

static void check(const struct options *o, int workers)
{
    (void)workers;
    collective_check(o->allreduce, codec_find(o->compress));
}

static void serve(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    ps_monitor(ps, true);
    ps_server_close(ps);
}

const struct scheme scheme_eager = {
    .name = "eager",
    .rule = "all-reduce as soon as one has finished, late gradients go into the next",
    .paper = "Li et al. 2020, arXiv:1908.04207",
    .deviations =
        "signals start an all-reduce, where the paper's collectives start themselves; who "
        "comes late in a version leaves its gradient for the next, and starts none; the "
        "models are equal at all times, so nothing synchronises them",
    .flags = DECENTRAL | COMPRESSES | SUMS,
    .messages = "2 W (W - 1) slices, W - 1 signals",
    .floats = "4 n (W - 1) / W",
    .staleness = "mostly 0 or 1, unbounded",
    .options = &option_set,
    .state = (const char *const[]){"workers.optimizer", "worker.coders", NULL},
    .check = check,
    .work = work,
    .serve = serve,
};
