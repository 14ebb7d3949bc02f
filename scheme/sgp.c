/* Stochastic gradient push: SGD on a directed graph. Each worker steps, splits what it has among
 * its targets, and adds what its sources send.
 *
 *   y_i = x_i(t) - lr g_i(z_i(t));   x_i(t+1) = sum over sources j of W_ij y_j
 *   w_i(t+1) = sum over sources j of W_ij w_j(t), w_i(0) = 1;   z_i = x_i / w_i
 *
 * Columns of W add to 1: a sender decides alone, and awaits no vector in reply. The weights w undo
 * what the graph counts too often. Where rows add to 1, too, they are 1 and x is z. The workers' z
 * are evaluated, and their mean. Cost of an update: n floats to each target. No gradient is stale.
 * Assran, Loizou, Ballas, Rabbat ICML 2019, arXiv:1811.10792, algorithm 1. */
#include "scheme/push_sum.h"
#include "scheme/scheme.h"

enum { VECTORS = 2 }; /* what is sent, and what is mixed */

static void work(struct node *n)
{
    float *vectors[VECTORS], *mixed;
    bool training;
    struct push_sum k = push_sum_open(n, vectors, VECTORS, &training);
    push_sum_keep(&k);
    mixed = vectors[1];
    while (training) {
        float *sent = k.x;
        push_sum_step(&k);
        gossip_begin(k.neighbours, n->version, sent, k.weight);
        k.weight = gossip_mix(k.neighbours, mixed);
        k.x = mixed;
        mixed = sent;
        training = push_sum_report(&k);
    }
    push_sum_close(&k, vectors, VECTORS);
}

static void check(const struct options *o, int workers)
{
    gossip_check(o, workers, GOSSIP_COLUMNS);
}

static void serve(struct node *n)
{
    gossip_serve(n, true);
}

const struct scheme scheme_sgp = {
    .name = "sgp",
    .rule = "dpsgd on graphs whose edges may go one way: a weight goes with each vector",
    .paper = "Assran et al. 2019, arXiv:1811.10792",
    .deviations =
        "weight decay acts on x, not on z; momentum is each one's own; " TOGETHER_DEVIATIONS,
    .flags = SYNC | BOUNDED | DECENTRAL | GOSSIP | OWN_WEIGHTS,
    .messages = "a vector along each edge",
    .floats = "n a source and a target",
    .staleness = "0",
    .state = (const char *const[]){"worker.weights", "worker.x", "worker.push_sum",
                                   "worker.optimizer", NULL},
    .check = check,
    .work = work,
    .serve = serve,
};
