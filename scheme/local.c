/* No communication: each worker trains by itself, from the same start. The baseline of all that
 * communicates.
 *
 *   w_i(t+1) = w_i(t) - lr g_i(w_i(t))
 *
 * The mean of the workers' weights is evaluated, and each worker's own: the mean says what one
 * average at the end would give, the own ones what a worker has without the others. Rank 0 only
 * counts: nobody is more than two batches ahead of the slowest, so that all make as many steps.
 * Cost: no vector; one message without one to and from rank 0 per update. No gradient is stale.
 * One-shot averaging (Zinkevich et al. 2010) whose mean is judged at all times. With --outer-every
 * it is local SGD without a server, and with slow momentum (gossip/gossip.h). */
#include "gossip/gossip.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

static void work(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    struct optimizer *optimizer = node_optimizer(n, (struct range){0, n->count});
    const double scale = 1.0 / n->context->minibatches;
    float *next = NULL; /* what an outer step sums is not shown before it ends */
    ps_pull(ps, n->w);
    bool training = ps_wait(ps);
    node_keep_vector(n, "worker.weights", &n->w, n->count);
    node_keep_optimizer(n, optimizer, "worker.optimizer");
    node_weights_changed(n);
    struct outer *outer = outer_open(n);
    if (outer)
        next = net_alloc(n->net, (size_t)n->count * sizeof *next);
    for (; training; training = ps_wait(ps)) {
        node_batch(n);
        float *shown = n->w, *w = outer ? next : shown;
        if (outer)
            node_copy(n, w, shown, n->count);
        node_step_sum(n, optimizer, w, (const float *const[]){n->sum}, &scale, 1, n->lr);
        outer_step(outer, w);
        n->w = w;
        next = outer ? shown : NULL;
        node_weights_changed(n);
        ps_report(ps, n->w);
        ps_pull(ps, n->w);
    }
    optimizer_close(optimizer);
    net_free(n->net, next);
    outer_close(outer);
    ps_client_close(ps);
}

static void check(const struct options *o, int workers)
{
    (void)workers;
    outer_check(o);
}

static void serve(struct node *n)
{
    gossip_serve(n, true);
}

const struct scheme scheme_local = {
    .name = "local",
    .rule = "each worker trains by itself; the mean of all is judged, and each",
    .paper = "Zinkevich et al. 2010",
    .deviations = "steps by mini-batches, and the mean is judged at all times, where the paper "
                  "averages once, at the end; " TOGETHER_DEVIATIONS "; " OUTER_DEVIATIONS,
    .flags = SYNC | BOUNDED | DECENTRAL | OWN_WEIGHTS | OUTER,
    .messages = "none",
    .floats = "0",
    .staleness = "0",
    .state = (const char *const[]){"worker.weights", "worker.optimizer", "workers.outer", NULL},
    .check = check,
    .work = work,
    .serve = serve,
};
