/* Decentralised schemes: workers agree among themselves and tell rank 0, which counts, evaluates
 * and says when training is over.
 *
 * Cost: two heads a worker and an update. The weights come to rank 0 only when it evaluates: one
 * worker shows its own, which all share (or rank 0's memory is what they train on, and nothing
 * needs to come). */
#include <math.h>

#include "base/check.h"
#include "parameter_server/private.h"

/* Before an evaluation: the weights of the first worker, who waits for its answer. */
static void fetch(void *self)
{
    struct ps *ps = self;
    struct node *n = ps->n;
    if (n->version == 0)
        return;
    ps_send_word(ps, 0, ANSWER_SHOW);
    struct request *list[2] = {
        NULL, net_recv(n->net, ps_rank_of(ps, 0), TAG_SHOW, n->w, (size_t)n->count * sizeof *n->w)};
    node_wait(n, list, 2, INFINITY, "the weights that the workers agree on", ps_rank_of(ps, 0));
    CHECK(net_header(list[1])->bytes == (size_t)n->count * sizeof *n->w,
          "weights from rank %d: %zu bytes expected, %llu came", ps_rank_of(ps, 0),
          (size_t)n->count * sizeof *n->w, (unsigned long long)net_header(list[1])->bytes);
    net_release(n->net, list[1]);
    node_weights_changed(n);
}

void ps_show(struct ps *ps)
{
    struct net *net = ps->n->net;
    struct request *list[2] = {
        NULL, net_send(net, 0, &(struct header){.tag = TAG_SHOW, .version = ps->n->version},
                       ps->shown, (size_t)ps->n->count * sizeof(float))};
    node_wait(ps->n, list, 2, INFINITY, "its taking of the weights", 0);
    net_release(net, list[1]);
}

void ps_monitor(struct ps *ps, bool together)
{
    if (together)
        node_before_evaluation(ps->n, fetch, ps);
    ps_reply_all(ps);
    for (;;) {
        const struct push *one = together ? NULL : ps_next(ps);
        if (together ? !ps_collect(ps) : !one)
            break;
        if (one && !one->header)
            continue; /* it has left */
        ps_close_version(ps);
        for (int i = 0; i < ps->workers; i++)
            if (ps->owed[i])
                ps_reply_unchanged(ps, i);
    }
    if (together)
        node_before_evaluation(ps->n, NULL, NULL);
}
