/* AD-PSGD: no server, and nobody waits for another worker, only for rank 0's reply, which counts.
 * Each worker steps at its own pace; with each batch a pair of neighbours takes the average of its
 * weights, atomically.
 *
 *   g = g_i(x_i);   x_i, x_j <- (x_i + x_j) / 2 while it is computed;   x_i <- x_i - lr g
 *
 * The graph is bipartite: workers of the active side ask a neighbour that the seed draws with each
 * batch, those of the passive side answer between two units of their own (pairs/pairs.h).
 * Staleness: updates of all workers between the weights of a gradient and its step. The workers'
 * mean is evaluated; of an exchange that is under way then one side has the average already. Cost
 * of an update: n floats to a neighbour and n back, with those of half the workers. Lian, Zhang,
 * Zhang, Liu ICML 2018, arXiv:1710.06952. */
#include "parameter_server/parameter_server.h"
#include "pairs/pairs.h"
#include "scheme/scheme.h"

/* Its weights hold all that it has computed, whatever rank 0 knows of it. */
static void keep(struct pairs *p, struct optimizer *optimizer, int64_t *steps)
{
    struct node *n = p->n;
    node_keep_vector(n, "worker.weights", &p->x, n->count);
    node_keep_optimizer(n, optimizer, "worker.optimizer");
    node_keep(n, "worker.steps", STATE_I64, steps, 1);
    node_weights_changed(n);
    if (!node_workers_before(n) && *steps) /* else its data are others */
        node_set_place(n, *steps * n->context->minibatches);
}

static bool report(struct pairs *p, struct ps_client *ps)
{
    ps_pull(ps, p->n->w);
    while (!ps_pull_ready(ps))
        pairs_await(p, ps_pending_pull(ps), "rank 0 to count", 0);
    return ps_wait(ps);
}

static void work(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    struct optimizer *optimizer = node_optimizer(n, (struct range){0, n->count});
    const double mean = 1.0 / n->context->minibatches;
    int64_t steps = 0;
    ps_pull(ps, n->w);
    bool training = ps_wait(ps);
    struct pairs *p = pairs_open(n);
    keep(p, optimizer, &steps);
    node_clear(n);
    ps_request(ps); /* it has weights */
    for (training = report(p, ps) && training; training; training = report(p, ps)) {
        pairs_begin(p, steps);
        pairs_batch(p);
        node_step_sum(n, optimizer, n->w, (const float *const[]){n->sum}, &mean, 1, n->lr);
        node_weights_changed(n);
        steps++;
        ps_report(ps, n->w);
    }
    pairs_close(p);
    optimizer_close(optimizer);
    ps_client_close(ps);
}

static void serve(struct node *n)
{
    gossip_serve(n, false);
}

const struct scheme scheme_adpsgd = {
    .name = "adpsgd",
    .rule = "each worker at its own pace; with each batch two neighbours take their average",
    .paper = "Lian et al. 2018, arXiv:1710.06952",
    .deviations =
        "only a worker of the active side begins an average, one with each batch unless "
        "the last is under way; its steps meanwhile are added to the average; the "
        "passive side answers between units instead of by a thread; each step is "
        "counted by rank 0, whose reply its worker awaits; momentum is each worker's own; "
        "weight decay acts on the mixed weights; a checkpoint may hold one side of an "
        "average",
    .flags = DECENTRAL | GOSSIP | OWN_WEIGHTS,
    .messages = "a vector there and one back, for half of the updates",
    .floats = "2 n",
    .staleness = "about W - 1, unbounded",
    .state = (const char *const[]){"worker.weights", "worker.optimizer", "worker.steps", NULL},
    .check = pairs_check,
    .work = work,
    .serve = serve,
};
