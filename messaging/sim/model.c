/* How long many messages take that are not sent one by one.
 *
 * Rule: as links.c has it, with all that one rank sends in an exchange as one flow. A flow is
 * through its sender's ports after its bytes, and through a receiver's not before what came there
 * since: the greatest, over the senders in the order in which they begin, of that time and the
 * bytes of those that begin no sooner. Jitter counts whole, since the last of many counts.
 *
 * Cost: of an exchange W log W and what a receiver's port takes, W for each different one; of a
 * shift W. */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "messaging/sim/sim.h"

enum { HEAD = sizeof(struct header), KINDS = 8 };

struct sender { /* in the order in which they begin */
    int index, host;
    double at_s;
    double left;  /* senders from this one on */
    double bytes; /* that they send, beside headers and what their receivers add */
};

struct latest { /* the latest of several times, and of those of other hosts */
    int host;
    double at_s, others_s;
};

/* When a port is through with `each` bytes from each sender, and `share` of what each adds. */
struct port_kind {
    double bandwidth, each, share;
    struct latest through;
};

struct model {
    struct sim *sim;
    const struct net_exchange *e;
    int count, hosts, heads;      /* heads: ranks to which headers alone go */
    double from, to;              /* bytes that all add */
    struct sender *sender;        /* [count] */
    double *host_from, *host_to;  /* [hosts] the same, of a host's ranks */
    int *host_ranks;              /* [hosts] */
    double *host_s;               /* [hosts] when all that they send is through its port */
    struct latest left, head;     /* payloads, and headers, their senders' ports */
    struct port_kind kind[KINDS]; /* those that were asked for */
    int kinds;
};

static void update(struct latest *l, int host, double at_s)
{
    if (host == l->host || at_s > l->at_s) {
        l->others_s = host == l->host ? l->others_s : l->at_s;
        l->at_s = fmax(l->at_s, at_s);
        l->host = host;
    } else {
        l->others_s = fmax(l->others_s, at_s);
    }
}

static double without(const struct latest *l, int host)
{
    return host == l->host ? l->others_s : l->at_s;
}

static int host_of(const struct model *m, int i)
{
    return sim_host_of(m->sim, m->e->first + i);
}

static int by_time(const void *a, const void *b)
{
    double left = ((const struct sender *)a)->at_s, right = ((const struct sender *)b)->at_s;
    return (left > right) - (left < right);
}

static void open(struct model *m, const double *at_s)
{
    size_t count = (size_t)m->count, hosts = (size_t)m->sim->host_count;
    m->sender = xcalloc(count, sizeof *m->sender);
    m->host_from = xcalloc(3 * hosts, sizeof *m->host_from);
    m->host_to = m->host_from + hosts;
    m->host_s = m->host_to + hosts;
    m->host_ranks = xcalloc(hosts, sizeof *m->host_ranks);
    for (int i = 0; i < m->count; i++) {
        double from = (double)m->e->from_bytes[i], to = (double)m->e->to_bytes[i];
        m->sender[i] = (struct sender){i, host_of(m, i), at_s[i], 0, from};
        m->host_from[host_of(m, i)] += from;
        m->host_to[host_of(m, i)] += to;
        m->host_ranks[host_of(m, i)]++;
        m->from += from;
        m->to += to;
        m->heads += !m->e->to_bytes[i];
    }
    qsort(m->sender, count, sizeof *m->sender, by_time);
    for (int i = m->count - 1; i >= 0; i--) {
        m->sender[i].left = m->count - i;
        m->sender[i].bytes += i + 1 < m->count ? m->sender[i + 1].bytes : 0;
    }
}

static void close(struct model *m)
{
    xfree(m->sender);
    xfree(m->host_from);
    xfree(m->host_ranks);
}

/* What rank i sends, or gets, between hosts. */
static double bytes_out(const struct model *m, int i)
{
    int home = host_of(m, i);
    return (m->count - m->host_ranks[home]) * (HEAD + (double)m->e->from_bytes[i]) + m->to -
           m->host_to[home];
}

/* What comes from other hosts than this one. */
static double through_s(struct model *m, int host, double bandwidth, double each, double share)
{
    struct port_kind *kind = m->kind;
    double part = (double)(m->count - m->host_ranks[host]) / m->count;
    each *= part;
    share *= part;
    for (; kind < m->kind + m->kinds; kind++)
        if (kind->bandwidth == bandwidth && kind->each == each && kind->share == share)
            return without(&kind->through, host);
    kind = &m->kind[m->kinds < KINDS ? m->kinds++ : 0];
    *kind = (struct port_kind){bandwidth, each, share, {-1, 0, 0}};
    for (int i = 0; i < m->count; i++) {
        const struct sender *s = &m->sender[i];
        update(&kind->through, s->host, s->at_s + (s->left * each + s->bytes * share) / bandwidth);
    }
    return without(&kind->through, host);
}

/* When a rank's port is through with these bytes, if it begins with others at answers_s: from then
 * on both share it, and headers alone go first. */
static double shared_s(const struct model *m, int i, double end_s, double bandwidth)
{
    double answers_s = m->e->answers_s ? m->e->answers_s[i] : INFINITY;
    if (answers_s >= end_s)
        return end_s;
    int others = m->count - m->host_ranks[host_of(m, i)];
    double answers = others * (HEAD + (double)m->e->to_bytes[i]);
    return end_s + fmin(end_s - answers_s, answers / bandwidth);
}

static void leave(struct model *m)
{
    double host_bandwidth = m->sim->links.host_bandwidth;
    m->left = m->head = (struct latest){-1, 0, 0};
    for (int k = 0; k < m->count; k++) {
        const struct sender *s = &m->sender[k];
        double bandwidth = m->sim->ranks[m->e->first + s->index].out.bandwidth;
        double out = bytes_out(m, s->index), end_s = s->at_s, head_s = end_s;
        double *host_s = &m->host_s[s->host];
        if (bandwidth > 0) {
            end_s = shared_s(m, s->index, s->at_s + out / bandwidth, bandwidth);
            head_s += m->heads * (double)HEAD / bandwidth;
        }
        *host_s = fmax(*host_s, s->at_s) + (host_bandwidth > 0 ? out / host_bandwidth : 0);
        update(&m->left, s->host, fmax(end_s, *host_s));
        update(&m->head, s->host, head_s);
    }
}

/* Links of their own between two ranks. */
static void pairs(const struct model *m, const double *at_s, double *end_s)
{
    const struct links *links = &m->sim->links;
    for (int i = 0; i < links->pair_count; i++) {
        int from = links->pair[i].from - m->e->first, to = links->pair[i].to - m->e->first;
        const struct link_kind *kind = &links->pair[i].kind;
        if (from < 0 || to < 0 || from >= m->count || to >= m->count)
            continue;
        double bytes = HEAD + (double)(m->e->from_bytes[from] + m->e->to_bytes[to]);
        double takes_s = kind->bandwidth > 0 ? bytes / kind->bandwidth : 0;
        end_s[to] = fmax(end_s[to], at_s[from] + kind->latency_s + kind->jitter_s + takes_s);
    }
}

static double flight_s(const struct link_kind *kind)
{
    return kind->latency_s + kind->jitter_s;
}

/* When rank i has got what those of other hosts send. */
static double arrive(struct model *m, int i)
{
    const struct links *links = &m->sim->links;
    int home = host_of(m, i);
    bool heads_alone = m->from == 0 && !m->e->to_bytes[i];
    double bandwidth = m->sim->ranks[m->e->first + i].in.bandwidth;
    double end_s = without(heads_alone ? &m->head : &m->left, home);
    if (bandwidth > 0)
        end_s = fmax(end_s, through_s(m, home, bandwidth, HEAD + (double)m->e->to_bytes[i], 1));
    if (links->host_bandwidth > 0 && !heads_alone)
        end_s = fmax(end_s, through_s(m, home, links->host_bandwidth,
                                      m->host_ranks[home] * (double)HEAD + m->host_to[home],
                                      m->host_ranks[home]));
    return end_s + flight_s(&links->between);
}

void sim_model_exchange(struct net *net, const struct net_exchange *e, double *at_s)
{
    struct sim *sim = ((struct rank *)net->self)->sim;
    struct model m = {.sim = sim, .e = e, .count = net->ranks - e->first};
    double *end_s = xcalloc((size_t)m.count, sizeof *end_s);
    open(&m, at_s);
    leave(&m);
    double last_s = m.sender[m.count - 1].at_s;
    for (int i = 0; i < m.count; i++) {
        int ranks = m.host_ranks[host_of(&m, i)];
        end_s[i] = ranks > 1 ? last_s + flight_s(&sim->links.within) : at_s[i];
        if (ranks < m.count)
            end_s[i] = fmax(end_s[i], arrive(&m, i));
    }
    pairs(&m, at_s, end_s);
    for (int i = 0; i < m.count; i++)
        at_s[i] = end_s[i];
    xfree(end_s);
    close(&m);
}

static struct hops *hops_open(struct sim *sim, int first)
{
    int count = sim->options.ranks - first;
    struct hops *hops = xcalloc(1, sizeof *hops);
    hops->flight_s = xcalloc(3 * (size_t)count, sizeof *hops->flight_s);
    hops->byte_s = hops->flight_s + count;
    hops->come_s = hops->byte_s + count;
    for (int i = 0; i < count; i++) {
        struct route route = sim_route(sim, first + i, first + (i + 1) % count);
        hops->flight_s[i] = route.latency_s + route.jitter_s / 2;
        for (int stage = 0; stage < STAGES; stage++)
            if (route.part[stage])
                hops->byte_s[i] = fmax(hops->byte_s[i], 1 / route.part[stage]->most);
    }
    return hops;
}

void sim_model_close(struct sim *sim)
{
    if (sim->hops)
        xfree(sim->hops->flight_s);
    xfree(sim->hops);
}

/* Two plain loops: a ring of W workers does this 2 (W - 1) times for each sum. */
void sim_model_shift(struct net *net, const struct net_exchange *e, double *at_s, double *free_s)
{
    struct sim *sim = ((struct rank *)net->self)->sim;
    int count = net->ranks - e->first;
    if (!sim->hops)
        sim->hops = hops_open(sim, e->first);
    const struct hops *hops = sim->hops;
    for (int i = 0; i < count; i++) {
        double begin_s = at_s[i] > free_s[i] ? at_s[i] : free_s[i];
        free_s[i] = begin_s + (double)(HEAD + e->from_bytes[i]) * hops->byte_s[i];
        hops->come_s[i] = free_s[i] + hops->flight_s[i];
    }
    at_s[0] = fmax(at_s[0], hops->come_s[count - 1]);
    for (int i = 1; i < count; i++)
        at_s[i] = at_s[i] > hops->come_s[i - 1] ? at_s[i] : hops->come_s[i - 1];
}
