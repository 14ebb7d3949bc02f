/* Synchronous SGD without a server: workers sum their gradients, and each makes the same step.
 *
 *   w(v+1) = w(v) - lr (1 / W B) sum over W workers, B mini-batches of grad f(w(v))
 *
 * Rank 0 only watches: it counts, gives the learning rate and evaluates the first worker's weights.
 * All workers hold the same bits. The direct sum runs in worker order and gives the bits of ssgd.
 * Cost of an update: each worker sends 2 (W - 1) / W n floats (--allreduce), and one message
 * without a vector to and from rank 0. Staleness 0. With --compress slices travel packed.
 * Goyal et al. 2017, arXiv:1706.02677; the ring: Patarasuk, Yuan 2009. */
#include "collective/collective.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

static void work(struct node *n)
{
    double scale = 1.0 / ((double)n->context->workers * n->context->minibatches);
    struct ps_client *ps = ps_client_open(n);
    struct collective *all =
        collective_open(n, n->count, codec_find(n->context->options->compress));
    struct optimizer *optimizer = node_optimizer(n, (struct range){0, n->count});
    node_keep_optimizer(n, optimizer, "workers.optimizer");
    ps_pull(ps, n->w);
    bool training = ps_wait(ps);
    node_restore_weights(n);
    for (; training; training = ps_wait(ps)) {
        node_batch(n);
        collective_sum(all, n->sum, scale);
        node_step(n, optimizer, n->w, n->sum, n->lr);
        node_weights_changed(n);
        ps_report(ps, n->w);
        ps_pull(ps, n->w);
    }
    optimizer_close(optimizer);
    collective_close(all);
    ps_client_close(ps);
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

const struct scheme scheme_allreduce = {
    .name = "allreduce",
    .rule = "workers sum their gradients among themselves, without a server",
    .paper = "Goyal et al. 2017, arXiv:1706.02677",
    .flags = SYNC | EXACT | BOUNDED | DECENTRAL | COMPRESSES | SUMS,
    .messages = "2 W (W - 1) slices",
    .floats = "4 n (W - 1) / W",
    .staleness = "0",
    .state = (const char *const[]){"workers.optimizer", "worker.coders", NULL},
    .check = check,
    .work = work,
    .serve = serve,
};
