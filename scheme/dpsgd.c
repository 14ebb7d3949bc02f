/* D-PSGD: no server, no sum of all: each worker mixes with its neighbours on a graph, and steps by
 * a gradient of its own.
 *
 *   x_i(t+1) = sum over neighbours j of W_ij x_j(t) - lr g_i(x_i(t))
 *
 * W is symmetric and doubly stochastic (--topology, --mixing), so mixing keeps the workers' mean.
 * The gradient is that of the local weights before they are mixed, and what is mixed are the old
 * weights: neither needs the other, and a worker waits for its neighbours alone. Momentum is each
 * worker's own; weight decay acts on the mixed weights. The workers' mean is evaluated. On a
 * complete graph the mean makes allreduce's step but for where gradients are taken.
 *
 * With --overlap the old weights set out before the gradient is computed: they travel during
 * forward and backward, in the transport's pieces, and are mixed after it (Wang, Zhang, Wu,
 * Johansson ICLR 2025, arXiv:2410.11998: there in buckets, each of which is mixed when its gradient
 * is ready, so that it, too, has the time of a whole step). Without it they set out after it. Both
 * have the same bits: only who waits changes.
 *
 * With --compress neighbours are sent what changes their estimates (CHOCO-SGD: gossip/choco.h).
 * That
 * algorithm steps before it mixes; here, as in D-PSGD, the old weights are mixed.
 *
 * --outer-every adds SlowMo's outer step (gossip/gossip.h).
 *
 * Cost of an update: n floats to each neighbour. No gradient is stale. Lian et al. NIPS 2017,
 * arXiv:1705.09056, algorithm 1. */
#include "gossip/gossip.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

struct dpsgd_options {
    bool overlap;
};

#define AT(field) offsetof(struct dpsgd_options, field)

static const struct option_row rows[] = {
    {.name = "overlap",
     .type = OPTION_FLAG,
     .offset = AT(overlap),
     .preset = "yes",
     .help = "weights travel to neighbours while the gradient is computed"},
    {0}};

static const struct option_set option_set = {.title = "Scheme dpsgd",
                                             .owner = "--scheme dpsgd",
                                             .rows = rows,
                                             .size = sizeof(struct dpsgd_options)};

static void work(struct node *n)
{
    const struct dpsgd_options *o = options_of(n->context->options, &option_set);
    struct ps_client *ps = ps_client_open(n);
    struct optimizer *optimizer = node_optimizer(n, (struct range){0, n->count});
    float *mixed = net_alloc(n->net, (size_t)n->count * sizeof *mixed);
    const double scale = 1.0 / n->context->minibatches;
    ps_pull(ps, n->w);
    bool training = ps_wait(ps);
    struct gossip *neighbours =
        gossip_open_packed(n, n->count, codec_find(n->context->options->compress), n->w);
    node_keep_vector(n, "worker.weights", &n->w, n->count);
    node_keep_optimizer(n, optimizer, "worker.optimizer");
    node_weights_changed(n);
    struct outer *outer = outer_open(n);
    for (; training; training = ps_wait(ps)) {
        float *old = n->w;
        if (o->overlap)
            gossip_begin(neighbours, n->version, old, 1);
        node_batch(n);
        if (!o->overlap)
            gossip_begin(neighbours, n->version, old, 1);
        gossip_mix(neighbours, mixed);
        node_step_sum(n, optimizer, mixed, (const float *const[]){n->sum}, &scale, 1, n->lr);
        outer_step(outer, mixed);
        n->w = mixed;
        mixed = old;
        node_weights_changed(n);
        ps_report(ps, n->w);
        ps_pull(ps, n->w);
    }
    gossip_close(neighbours);
    optimizer_close(optimizer);
    net_free(n->net, mixed);
    outer_close(outer);
    ps_client_close(ps);
}

static void check(const struct options *o, int workers)
{
    gossip_check(o, workers, GOSSIP_DOUBLY);
    outer_check(o);
}

static void serve(struct node *n)
{
    gossip_serve(n, true);
}

const struct scheme scheme_dpsgd = {
    .name = "dpsgd",
    .rule = "neighbours on a graph mix their weights, each steps by its own gradient",
    .paper = "Lian et al. 2017, arXiv:1705.09056",
    .deviations = TOGETHER_DEVIATIONS
    "; momentum, which the paper has not, is each worker's own and is not "
    "mixed; weight decay acts on the mixed weights; with "
    "--compress the old weights' estimates are mixed, where CHOCO-SGD steps "
    "first; " OUTER_DEVIATIONS,
    .flags = SYNC | BOUNDED | DECENTRAL | COMPRESSES | GOSSIP | OWN_WEIGHTS | OUTER,
    .messages = "a vector along each edge, both ways",
    .floats = "2 n d, d neighbours",
    .staleness = "0",
    .options = &option_set,
    .state = (const char *const[]){"worker.weights", "worker.optimizer", "workers.outer",
                                   "worker.estimates", NULL},
    .check = check,
    .work = work,
    .serve = serve,
};
