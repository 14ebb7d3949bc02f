/* What workers of several schemes do. */
#include "parameter_server/parameter_server.h"

void ps_work(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    ps_pull(ps, n->w);
    while (ps_wait(ps)) {
        ps_batch(ps);
        ps_push(ps, n->sum);
        ps_pull(ps, n->w);
    }
    ps_client_close(ps);
}

static enum node_flow hear(void *self)
{
    return ps_pull_ready(self) ? NODE_INTERRUPTED : NODE_CONTINUE;
}

/* Asks for the next weights before they exist: a server that learns of the end first will reply,
 * too. */
static void ask(struct node *n, struct ps_client *ps)
{
    ps_request(ps);
    ps_pull(ps, n->w);
}

void ps_work_on(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    float *spare = net_alloc(n->net, (size_t)n->count * sizeof *spare), *sum;
    ps_pull(ps, n->w);
    bool training = ps_wait(ps);
    node_clear(n);
    if (training)
        ask(n, ps);
    node_set_interrupt(n, hear, ps, (struct request *const *[]){ps_pending_pull(ps)}, 1);
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
    node_set_interrupt(n, NULL, NULL, NULL, 0);
    net_free(n->net, spare);
    ps_client_close(ps);
}
