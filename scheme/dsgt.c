/* Distributed stochastic gradient tracking: beside its weights each worker tracks the mean of all
 * workers' gradients, and steps along that.
 *
 *   y_i(t) = sum over neighbours j of W_ij y_j(t-1) + g_i(t) - g_i(t-1),   y_i(0) = g_i(0)
 *   x_i(t+1) = sum over neighbours j of W_ij (x_j(t) - lr y_j(t))
 *
 * g_i(t) is the gradient at x_i(t). W is doubly stochastic, and all mix what neighbours had before
 * (Jacobi), so the sum of the y is that of the gradients at every step: unlike shards pull nobody
 * away from the minimum of all. x - lr y and y travel as one vector. The workers' mean is
 * evaluated. Cost of an update: 2 n floats to each neighbour, which nothing hides, since y needs
 * the gradient. No gradient is stale. Pu, Nedic 2021, arXiv:1805.11454; as in Yu, Vincent,
 * Schwager 2022, arXiv:2109.08665. */
#include <string.h>

#include "gossip/gossip.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

enum { PAIRS = 3 }; /* mixed; sent; sent before, which neighbours may still read */

struct worker {
    struct node *n;
    struct gossip *neighbours;
    struct optimizer *optimizer;
    float *pair[PAIRS]; /* [2 n]: x, then y */
    float *x, *y;       /* the mixed ones; n->w is x */
    float *gradient;    /* the last one */
};

static void set(struct worker *k, float *pair)
{
    k->x = k->n->w = pair;
    k->y = pair + k->n->count;
    node_weights_changed(k->n);
}

/* A gradient, y by it, and the step; then all mix. pair[0] is the mixed one, pair[1] the one that
 * was sent last. */
static void update(struct worker *k)
{
    struct node *n = k->n;
    const double mean = 1.0 / n->context->minibatches;
    float *mixed = k->pair[0], *older = k->pair[1], *sent = k->pair[2];
    float *y = sent + n->count;
    node_batch(n);
    node_sum(n, y, (const float *const[]){k->y, n->sum, k->gradient}, (double[]){1, mean, -1}, 3,
             n->count);
    node_sum(n, k->gradient, (const float *const[]){n->sum}, &mean, 1, n->count);
    node_copy(n, sent, k->x, n->count);
    node_step(n, k->optimizer, sent, y, n->lr);
    gossip_begin(k->neighbours, n->version, sent, 1);
    gossip_mix(k->neighbours, older);
    k->pair[0] = older;
    k->pair[1] = sent;
    k->pair[2] = mixed;
    set(k, older);
}

/* With another number of workers all begin to track anew. */
static void keep(struct worker *k)
{
    struct node *n = k->n;
    size_t bytes = (size_t)n->count * sizeof(float);
    node_keep_vector(n, "worker.weights", &n->w, n->count);
    node_keep_vector(n, "worker.tracker", &k->y, n->count);
    node_keep_vector(n, "worker.gradient", &k->gradient, n->count);
    node_keep_optimizer(n, k->optimizer, "worker.optimizer");
    if (node_workers_before(n)) {
        memset(k->y, 0, bytes);
        memset(k->gradient, 0, bytes);
    }
    node_weights_changed(n);
}

static void work(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    struct worker k = {.n = n,
                       .neighbours = gossip_open(n, 2 * n->count),
                       .optimizer = node_optimizer(n, (struct range){0, n->count}),
                       .gradient = node_vector(n, n->count)};
    float *own = n->w;
    for (int i = 0; i < PAIRS; i++)
        k.pair[i] = net_alloc(n->net, 2 * (size_t)n->count * sizeof *k.pair[i]);
    ps_pull(ps, n->w);
    bool training = ps_wait(ps);
    node_copy(n, k.pair[0], n->w, n->count);
    set(&k, k.pair[0]);
    keep(&k);
    for (; training; training = ps_wait(ps)) {
        update(&k);
        ps_report(ps, n->w);
        ps_pull(ps, n->w);
    }
    gossip_close(k.neighbours);
    optimizer_close(k.optimizer);
    ps_client_close(ps);
    n->w = own;
    node_weights_changed(n);
    node_vector_free(n, k.gradient);
    for (int i = 0; i < PAIRS; i++)
        net_free(n->net, k.pair[i]);
}

static void check(const struct options *o, int workers)
{
    gossip_check(o, workers, GOSSIP_DOUBLY);
}

static void serve(struct node *n)
{
    gossip_serve(n, true);
}

const struct scheme scheme_dsgt = {
    .name = "dsgt",
    .rule = "neighbours mix weights and a track of the mean of all gradients, and step along that",
    .paper = "Pu, Nedic 2021, arXiv:1805.11454",
    .deviations = "momentum, weight decay and adaptive rules, which the paper has not, act on the "
                  "track; Yu et al.'s code mixes in place, node after node, this does "
                  "not; " TOGETHER_DEVIATIONS,
    .flags = SYNC | BOUNDED | DECENTRAL | GOSSIP | OWN_WEIGHTS,
    .messages = "two vectors along each edge, both ways",
    .floats = "4 n d, d neighbours",
    .staleness = "0",
    .state = (const char *const[]){"worker.weights", "worker.tracker", "worker.gradient",
                                   "worker.optimizer", NULL},
    .check = check,
    .work = work,
    .serve = serve,
};
