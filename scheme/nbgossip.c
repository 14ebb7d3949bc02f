/* Non-blocking gossip: nbssgd's idea on a graph. Who finishes its batch signals its neighbours, and
 * these mix with what they have finished; nobody waits for a slow neighbour's batch.
 *
 *   x_i(v+1) = sum over neighbours j of W_ij x_j(v)
 *              - (lr / B) sum of the gradients at x_i(v) of the mini-batches finished in round v
 *
 * A version is a round of a worker's own: it begins with x_i(v), which is sent to the neighbours at
 * once, and ends in one of two ways. The worker finishes the last of its B mini-batches: it signals
 * v to all neighbours. Or it hears a signal of v or later: the mini-batch under way is dropped and
 * done again in the next round (--nbgossip-inflight finish: it is finished first), and its batch
 * goes on where it was. Then it mixes. A neighbour whose x_j(v) is not there yet is still in v - 1:
 * it is signalled v - 1. A worker that has finished nothing mixes alone, without a step. Steps are
 * in proportion to their mini-batches, so each gradient weighs the same (--nbgossip-weigh
 * finished: their mean, a full step). That is so with sgd; other rules scale otherwise.
 *
 * No deadlock: who waits, waits for the vector of a neighbour that is a round behind, and has
 * signalled it. In the lowest round of all nobody waits, since all have begun it, so its workers
 * hear and go on: within a unit of a mini-batch, or with `finish` a mini-batch. Rounds of
 * neighbours differ by one at most; rank 0, which counts a round when all have ended it, lets
 * nobody be more than two ahead. Staleness 0: a gradient is used in the round in which it began.
 *
 * On a complete graph the first to finish ends the round of all, as in nbssgd; but what is mixed
 * are weights that differ, each of which stepped by itself. If all finish together it is dpsgd, bit
 * for bit. The graph must stay the same. Cost of a round: n floats to each neighbour, and a signal
 * without payload to each from who finishes. After He, Dube 2022, arXiv:2211.00889, which names
 * D-PSGD and MATCHA beside all-reduce, and does not say how. */
#include <string.h>

#include "base/alloc.h"
#include "gossip/gossip.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"
#include "signals/signals.h"

struct nbgossip_options {
    const char *inflight, *weigh;
};

#define AT(field) offsetof(struct nbgossip_options, field)

static const struct option_row rows[] = {
    {.name = "nbgossip-inflight",
     .type = OPTION_CHOICE,
     .offset = AT(inflight),
     .preset = "abort",
     .choices = "abort|finish",
     .help = "the mini-batch under way when a neighbour signals: dropped and done again, or "
             "finished first"},
    {.name = "nbgossip-weigh",
     .type = OPTION_CHOICE,
     .offset = AT(weigh),
     .preset = "full",
     .choices = "full|finished",
     .help =
         "a step's sum of gradients is divided by the mini-batches of a batch, or by those that "
         "were finished"},
    {0}};

static const struct option_set option_set = {.title = "Scheme nbgossip",
                                             .owner = "--scheme nbgossip",
                                             .rows = rows,
                                             .size = sizeof(struct nbgossip_options)};

struct worker {
    struct node *n;
    struct gossip *neighbours;
    struct optimizer *optimizer;
    struct signals signals;
    int *peer; /* [workers] */
    float *mixed;
    int64_t position; /* mini-batches of the batch that are finished */
    bool finishes, by_finished;
};

static enum node_flow hear(void *self)
{
    struct worker *k = self;
    return signals_heard(&k->signals) ? NODE_INTERRUPTED : NODE_CONTINUE;
}

/* Until the batch is done, or a neighbour's is. */
static void compute(struct worker *k)
{
    struct node *n = k->n;
    node_clear(n);
    while (k->position < n->context->minibatches && !signals_heard(&k->signals))
        if (node_minibatch(n) == NODE_CONTINUE)
            k->position++;
}

/* Nobody whom this worker waits for stays in its batch. */
static void signal_neighbours(struct worker *k)
{
    int64_t round = k->n->version;
    bool finished = k->position == k->n->context->minibatches;
    int count = finished ? gossip_targets(k->neighbours, round, k->peer)
                         : gossip_missing(k->neighbours, k->peer);
    for (int i = 0; i < count; i++)
        signals_send_to(&k->signals, k->peer[i], finished ? round : round - 1);
    if (finished)
        k->position = 0;
}

static void mix_and_step(struct worker *k)
{
    struct node *n = k->n;
    float *old = n->w;
    const double scale =
        1.0 / (double)(k->by_finished && n->finished ? n->finished : n->context->minibatches);
    gossip_mix(k->neighbours, k->mixed);
    if (n->finished)
        node_step_sum(n, k->optimizer, k->mixed, (const float *const[]){n->sum}, &scale, 1, n->lr);
    n->w = k->mixed;
    k->mixed = old;
    node_weights_changed(n);
}

static struct worker open_worker(struct node *n)
{
    const struct nbgossip_options *o = options_of(n->context->options, &option_set);
    struct worker k = {.n = n,
                       .neighbours = gossip_open(n, n->count),
                       .optimizer = node_optimizer(n, (struct range){0, n->count}),
                       .signals = signals_open(n, false),
                       .peer = xcalloc((size_t)n->context->workers, sizeof *k.peer),
                       .mixed = net_alloc(n->net, (size_t)n->count * sizeof(float)),
                       .finishes = !strcmp(o->inflight, "finish"),
                       .by_finished = !strcmp(o->weigh, "finished")};
    signals_among(&k.signals, k.peer, gossip_targets(k.neighbours, n->version, k.peer));
    return k;
}

static void close_worker(struct worker *k)
{
    struct node *n = k->n;
    signals_close_among(&k->signals);
    gossip_close(k->neighbours);
    optimizer_close(k->optimizer);
    net_free(n->net, k->mixed);
    xfree(k->peer);
}

static void work(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    struct worker k = open_worker(n);
    ps_pull(ps, n->w);
    bool training = ps_wait(ps);
    node_keep_vector(n, "worker.weights", &n->w, n->count);
    node_keep(n, "worker.position", STATE_I64, &k.position, 1);
    node_keep_optimizer(n, k.optimizer, "worker.optimizer");
    node_weights_changed(n);
    k.signals.round = n->version;
    if (!k.finishes)
        node_set_interrupt(n, hear, &k, (struct request *const *[]){&k.signals.posted}, 1);
    for (; training; training = ps_wait(ps)) {
        k.signals.round = n->version;
        gossip_begin(k.neighbours, n->version, n->w, 1);
        compute(&k);
        signal_neighbours(&k);
        mix_and_step(&k);
        ps_report(ps, n->w);
        ps_pull(ps, n->w);
    }
    node_set_interrupt(n, NULL, NULL, NULL, 0);
    close_worker(&k);
    ps_client_close(ps);
}

static void check(const struct options *o, int workers)
{
    gossip_check(o, workers, GOSSIP_FIXED);
}

static void serve(struct node *n)
{
    gossip_serve(n, true);
}

const struct scheme scheme_nbgossip = {
    .name = "nbgossip",
    .rule = "dpsgd in which who finishes signals, and neighbours mix with what they have",
    .paper = "He, Dube 2022, arXiv:2211.00889",
    .deviations = "the paper names D-PSGD and MATCHA, and does not say how: the rule is our own, "
                  "and the graph stays the same; " TOGETHER_DEVIATIONS,
    .flags = BOUNDED | DECENTRAL | GOSSIP | OWN_WEIGHTS,
    .messages = "a vector along each edge, both ways; signals",
    .floats = "2 n d, d neighbours",
    .staleness = "0",
    .options = &option_set,
    .state = (const char *const[]){"worker.weights", "worker.position", "worker.optimizer", NULL},
    .check = check,
    .work = work,
    .serve = serve,
};
