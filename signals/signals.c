/* Signals between workers: counted and timed where they are read, on the training clock: an
 * evaluation between sending and hearing takes none of it. */
#include "signals/signals.h"

#include <math.h>

#include "base/alloc.h"
#include "base/check.h"

struct signals signals_open(struct node *n, bool relay)
{
    return (struct signals){.n = n,
                            .relay = relay,
                            .newest = -1,
                            .posted = net_recv(n->net, NET_ANY, TAG_SIGNAL, NULL, 0)};
}

enum { LAST = 1 }; /* a flag: the sender has sent its last one */
enum { PEER_NONE, PEER_SIGNALS, PEER_HAS_ENDED };

void signals_among(struct signals *s, const int *worker, int count)
{
    s->peer = xcalloc((size_t)s->n->context->workers, sizeof *s->peer);
    for (int i = 0; i < count; i++)
        s->peer[worker[i]] = PEER_SIGNALS;
    s->peers = count;
}

/* Trusts no sender. */
static void check(struct signals *s, const struct header *m)
{
    const struct run_context *c = s->n->context;
    const int worker = m->from - c->servers;
    const bool last = m->flags & LAST;
    if (!s->peer) {
        CHECK(!last, "rank %d ends its signals, and signals to all", m->from);
        return;
    }
    CHECK(worker >= 0 && worker < c->workers && s->peer[worker] == PEER_SIGNALS,
          "rank %d signals, and is no neighbour or has ended", m->from);
    CHECK(last || m->version <= s->round + 1, "rank %d signals round %lld in round %lld", m->from,
          (long long)m->version, (long long)s->round);
    if (last)
        s->peer[worker] = PEER_HAS_ENDED;
    s->ended += last;
}

static void count(struct signals *s, const struct header *m)
{
    check(s, m);
    if (m->flags & LAST)
        return;
    struct signal_counters *counters = &s->n->counters.signals;
    double latency_s = node_clock(s->n) - node_clock_then(s->n, m->sent_s);
    s->received++;
    node_note(s->n, TRACE_HEARD, m->version, m->from);
    if (m->version < s->round)
        counters->late++;
    if (m->version < s->round || m->version <= s->newest)
        return;
    s->newest = m->version;
    s->n->signal_s = latency_s;
    counters->heard++;
    counters->latency_s += latency_s;
    counters->worst_s = fmax(counters->worst_s, latency_s);
}

bool signals_heard(struct signals *s)
{
    struct net *net = s->n->net;
    while (net_wait(net, &s->posted, 1, 0) == 0) {
        count(s, net_header(s->posted));
        net_release(net, s->posted);
        s->posted = net_recv(net, NET_ANY, TAG_SIGNAL, NULL, 0);
    }
    return s->newest >= s->round;
}

void signals_send(struct signals *s)
{
    const struct node *n = s->n;
    const struct header header = {.tag = TAG_SIGNAL, .version = s->round};
    s->sent++;
    s->n->counters.signals.sent++;
    node_note(s->n, TRACE_SIGNAL, s->round, -1);
    if (s->relay)
        net_send(n->net, 0, &header, NULL, 0);
    for (int i = 0; i < n->context->workers && !s->relay; i++)
        if (i != n->worker)
            net_send(n->net, n->context->servers + i, &header, NULL, 0);
}

void signals_send_to(struct signals *s, int worker, int64_t round)
{
    const struct header header = {.tag = TAG_SIGNAL, .version = round};
    s->sent++;
    s->n->counters.signals.sent++;
    node_note(s->n, TRACE_SIGNAL, round, s->n->context->servers + worker);
    net_send(s->n->net, s->n->context->servers + worker, &header, NULL, 0);
}

void signals_close_among(struct signals *s)
{
    const struct header header = {.tag = TAG_SIGNAL, .flags = LAST};
    for (int i = 0; i < s->n->context->workers; i++)
        if (s->peer[i] != PEER_NONE)
            net_send(s->n->net, s->n->context->servers + i, &header, NULL, 0);
    for (signals_heard(s); s->ended < s->peers; signals_heard(s))
        node_wait(s->n, (struct request *[]){NULL, s->posted}, 2, INFINITY, "the last signals",
                  NET_ANY);
    net_release(s->n->net, s->posted);
    xfree(s->peer);
}

void signals_close(struct signals *s, int64_t sent_to_me)
{
    for (signals_heard(s); s->received < sent_to_me; signals_heard(s))
        node_wait(s->n, (struct request *[]){NULL, s->posted}, 2, INFINITY, "the last signals",
                  NET_ANY);
    net_release(s->n->net, s->posted);
}
