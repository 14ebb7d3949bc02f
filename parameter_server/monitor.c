/* Decentralised schemes: workers agree among themselves and report to rank 0, which counts,
 * evaluates and says when training is over.
 *
 * Cost: two headers per worker and update. The weights come to rank 0 only when it evaluates: one
 * worker shows its own, which all share (or the workers train on rank 0's memory, and nothing needs
 * to come). */
#include <math.h>

#include "base/check.h"
#include "parameter_server/server.h"

/* Before an evaluation: the weights of the first worker, which waits for its reply. */
static void fetch(void *self)
{
    struct ps_server *ps = self;
    struct node *n = ps->n;
    if (n->version == 0)
        return;
    ps_reply_flags(ps, 0, REPLY_SHOW);
    struct request *list[2] = {
        NULL, net_recv(n->net, ps_rank_of(ps, 0), TAG_SHOW, n->w, (size_t)n->count * sizeof *n->w)};
    node_wait(n, list, 2, INFINITY, "the weights that the workers agree on", ps_rank_of(ps, 0));
    CHECK(net_header(list[1])->bytes == (size_t)n->count * sizeof *n->w,
          "weights from rank %d: %zu bytes expected, %llu came", ps_rank_of(ps, 0),
          (size_t)n->count * sizeof *n->w, (unsigned long long)net_header(list[1])->bytes);
    net_release(n->net, list[1]);
    node_weights_changed(n);
}

void ps_monitor(struct ps_server *ps, bool together)
{
    if (together)
        node_before_evaluation(ps->n, fetch, ps);
    ps_reply_all(ps);
    for (;;) {
        const struct push *one = together ? NULL : ps_next(ps);
        if (together ? !ps_collect(ps) : !one)
            break;
        if (one && one->departed)
            continue;
        ps_close_version(ps);
        for (int i = 0; i < ps->workers; i++)
            if (ps->worker[i].reply_pending)
                ps_reply_unchanged(ps, i);
    }
    if (together)
        node_before_evaluation(ps->n, NULL, NULL);
}
