/* DropCompute: all-reduce in which a worker stops computing tau seconds after its batch began.
 *
 *   w(v+1) = w(v) - lr (1 / W B) sum of the gradients at w(v) that were finished within tau
 *
 * With --dropcompute-divide kept the sum is divided by their number. tau is --dropcompute-tau;
 * `auto` takes the one that would have given the most mini-batches a second in the first
 * --dropcompute-steps steps, which drop nothing (dropcompute.h), of those that would have dropped
 * --dropcompute-most of them at most; the paper's has no such bound. With tau infinite the scheme
 * is allreduce, bit for bit. Cost: allreduce's, one float more to sum, and once the times of those
 * steps. Staleness 0. A mini-batch under way at tau is dropped at its next unit (the authors' code
 * looks at the clock between mini-batches) and done again in the next batch.
 * Giladi et al. NeurIPS 2023, arXiv:2306.10598, algorithms 1 and 2. */
#include "scheme/dropcompute.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "collective/collective.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

enum { PATIENCE = 100 }; /* steps in a row in which nothing is kept */

struct worker {
    struct node *n;
    struct collective *all, *one; /* sums of gradients, of a number */
    double tau;                   /* s; INFINITY while times are recorded, too */
    float *kept;                  /* [1] mini-batches of the step, of all workers */
    float *seconds;               /* as dropcompute_tau() has them; NULL: none are recorded */
    int64_t times, step;          /* how many they are; the step under way */
    double most;                  /* part of the mini-batches that tau may drop */
    int empty;                    /* steps in a row */
};

/* [minibatches + 1] of the step under way. */
static float *own_seconds(const struct worker *k)
{
    const struct run_context *c = k->n->context;
    return k->seconds + (k->step * c->workers + k->n->worker) * (c->minibatches + 1);
}

static void compute(struct worker *k)
{
    struct node *n = k->n;
    double began_s = node_clock(n);
    node_clear(n);
    node_set_deadline(n, began_s + k->tau);
    while (n->finished < n->context->minibatches && !node_past_deadline(n))
        if (node_minibatch(n) == NODE_CONTINUE && k->seconds)
            own_seconds(k)[n->finished - 1] = (float)(node_clock(n) - began_s);
    node_set_deadline(n, INFINITY);
    if (!n->finished)
        memset(n->sum, 0, (size_t)n->count * sizeof *n->sum);
}

/* Mini-batches of the step, of all workers. */
static double count_kept(struct worker *k)
{
    const struct run_context *c = k->n->context;
    if (isinf(k->tau))
        return (double)c->workers * c->minibatches;
    *k->kept = (float)k->n->finished;
    collective_sum(k->one, k->kept, 1);
    *k->kept = (float)node_number(k->n, *k->kept);
    k->empty = *k->kept > 0 ? 0 : k->empty + 1;
    CHECK(k->empty < PATIENCE,
          "nobody finishes a mini-batch within --dropcompute-tau %g; give them more time", k->tau);
    return *k->kept;
}

static void take_step(struct worker *k, struct optimizer *optimizer, bool by_kept)
{
    struct node *n = k->n;
    const struct run_context *c = n->context;
    double kept = count_kept(k), began_s = node_clock(n);
    collective_sum(k->all, n->sum, 1 / (by_kept ? fmax(kept, 1) : c->workers * c->minibatches));
    if (k->seconds)
        own_seconds(k)[c->minibatches] = (float)(node_clock(n) - began_s);
    if (kept > 0)
        node_step(n, optimizer, n->w, n->sum, n->lr);
    node_weights_changed(n);
}

/* The last recorded step is done: all workers choose the same tau. */
static void choose_tau(struct worker *k)
{
    const struct run_context *c = k->n->context;
    struct collective *times = collective_open(k->n, k->times, NULL);
    collective_sum(times, k->seconds, 1);
    collective_close(times);
    k->tau = dropcompute_tau(k->seconds, (int)k->step, c->workers, c->minibatches, 1 - k->most);
    k->tau = node_number(k->n, k->tau);
    if (k->n->worker == 0)
        fprintf(stderr, "nbsgd: --dropcompute-tau auto: %.4g s\n", k->tau);
    net_free(k->n->net, k->seconds);
    k->seconds = NULL;
}

static void work(struct node *n)
{
    const struct run_context *c = n->context;
    const struct dropcompute_options *o = options_of(c->options, &dropcompute_option_set);
    struct ps_client *ps = ps_client_open(n);
    struct worker k = {.n = n,
                       .all = collective_open(n, n->count, codec_find(c->options->compress)),
                       .one = collective_open(n, 1, NULL),
                       .tau = dropcompute_tau_of(c->options),
                       .most = o->most,
                       .kept = net_alloc(n->net, sizeof *k.kept),
                       .times = o->steps * c->workers * (c->minibatches + 1)};
    struct optimizer *optimizer = node_optimizer(n, (struct range){0, n->count});
    if (isnan(k.tau)) {
        k.tau = INFINITY;
        k.seconds = net_alloc(n->net, (size_t)k.times * sizeof *k.seconds);
    }
    node_keep_optimizer(n, optimizer, "workers.optimizer");
    node_keep(n, "workers.tau", STATE_F64, &k.tau, 1);
    if (!isinf(k.tau)) { /* it is known already */
        net_free(n->net, k.seconds);
        k.seconds = NULL;
    }
    ps_pull(ps, n->w);
    bool training = ps_wait(ps);
    node_restore_weights(n);
    for (; training; training = ps_wait(ps)) {
        compute(&k);
        take_step(&k, optimizer, !strcmp(o->divide, "kept"));
        if (k.seconds && ++k.step == o->steps)
            choose_tau(&k);
        ps_report(ps, n->w);
        ps_pull(ps, n->w);
    }
    optimizer_close(optimizer);
    collective_close(k.all);
    collective_close(k.one);
    net_free(n->net, k.kept);
    net_free(n->net, k.seconds);
    ps_client_close(ps);
}

static void serve(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    ps_monitor(ps, true);
    ps_server_close(ps);
}

const struct scheme scheme_dropcompute = {
    .name = "dropcompute",
    .rule = "allreduce in which each worker stops computing after tau seconds",
    .paper = "Giladi et al. 2023, arXiv:2306.10598",
    .deviations = "a mini-batch under way at tau is dropped at its next unit and done again, where "
                  "the authors' code looks at the clock between mini-batches; tau auto drops "
                  "--dropcompute-most of the mini-batches at most, where the paper's has no bound",
    .flags = BOUNDED | DECENTRAL | COMPRESSES | SUMS,
    .messages = "2 W (W - 1) slices",
    .floats = "4 n (W - 1) / W",
    .staleness = "0",
    .options = &dropcompute_option_set,
    .state = (const char *const[]){"workers.optimizer", "worker.coders", "workers.tau", NULL},
    .check = dropcompute_check,
    .work = work,
    .serve = serve,
};
