/* Rennala SGD: an update needs S mini-batch gradients at the current version, from whichever
 * workers.
 *
 *   w(v+1) = w(v) - rate x (1 / S) sum of the first S gradients at w(v)
 *
 * A worker gives every mini-batch's gradient and goes on at the same weights, until new ones come:
 * what is under way then is dropped and done again (the paper lets it end in vain), a gradient that
 * comes too late is dropped. Fast workers give more; nobody is waited for. Cost: n floats a
 * mini-batch up, n an update and worker down. Staleness 0. S is --rennala-batch, by default workers
 * x mini-batches: with equal speeds the scheme is then ssgd. Tyurin, Richtarik NeurIPS 2023,
 * arXiv:2305.12387, algorithm 2 and method 4. */
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"

static enum node_flow hear(void *self)
{
    return ps_pull_ready(self) ? NODE_INTERRUPTED : NODE_CONTINUE;
}

/* Asks for the next weights, so that they are owed, by a server that hears of the end before it has
 * made them, too. */
static void ask(struct node *n, struct ps *ps)
{
    ps_request(ps);
    ps_pull(ps, n->w);
}

void rennala_work(struct node *n)
{
    struct ps *ps = ps_open(n);
    float *spare = net_alloc(n->net, (size_t)n->count * sizeof *spare), *sum;
    ps_pull(ps, n->w);
    bool training = ps_wait(ps);
    node_clear(n);
    if (training)
        ask(n, ps);
    node_set_interrupt(n, hear, ps, ps_pending_pull(ps));
    while (training) {
        if (node_minibatch(n) == NODE_CONTINUE && !ps_flush_or_pull(ps)) {
            node_discard(n);
        } else if (n->finished) {
            sum = n->sum;
            ps_push_async(ps, sum);
            n->sum = spare; /* the server still reads the other */
            spare = sum;
            node_clear(n);
        }
        if (ps_pull_ready(ps)) {
            training = ps_wait(ps);
            if (training)
                ask(n, ps);
        }
    }
    node_set_interrupt(n, NULL, NULL, NULL);
    net_free(n->net, spare);
    ps_close(ps);
}

void rennala_serve(struct node *n)
{
    const struct run_context *s = n->context;
    int64_t wanted = s->options->rennala_batch ? s->options->rennala_batch
                                               : (int64_t)s->workers * s->minibatches,
            here = 0;
    struct ps *ps = ps_open(n);
    n->races = true;
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        int worker = a->worker;
        bool asks = a->asks, late = a->staleness > 0;
        if (!a->header || asks || late) {
            ps_discard(ps, worker);
            if (asks && late)
                ps_reply(ps, worker);
            continue;
        }
        ps_accumulate(ps, worker);
        if (++here < wanted)
            continue;
        ps_step_accumulated(ps, 1.0 / (double)wanted);
        ps_reply_all(ps);
        here = 0;
    }
    ps_close(ps);
}
