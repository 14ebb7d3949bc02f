/* AER: hosts meet in pairs as on a one-peer exponential graph, and in each of a pair's two steps
 * its nodes take the mean either of both hosts or each of its own. Pairs that follow each other do
 * so in opposite order, so half of them use the network at a time. On one host: the mean of all. */
#include "topology/kinds.h"

static int hosts_of(int nodes, int local)
{
    return nodes % local ? 0 : nodes / local;
}

static bool fits(int nodes, int local)
{
    int hosts = hosts_of(nodes, local);
    return hosts && (hosts & (hosts - 1)) == 0;
}

static int node_of(int host, int other, int local, int i) /* the i-th of two hosts */
{
    return i < local ? host * local + i : other * local + i - local;
}

/* All pairs of the nodes of one host, or of two. */
static void meet(struct draft *d, int host, int other, int local)
{
    int count = host == other ? local : 2 * local;
    for (int i = 0; i < count; i++)
        for (int j = i + 1; j < count; j++)
            draft_edge(d, node_of(host, other, local, i), node_of(host, other, local, j));
}

static void step(struct draft *d, int hosts, int local, int far, int turn)
{
    for (int host = 0, pair = 0; host < hosts; host++) {
        if (host & far)
            continue;
        if (pair++ % 2 == turn) {
            meet(d, host, host | far, local);
        } else {
            meet(d, host, host, local);
            meet(d, host | far, host | far, local);
        }
    }
}

static void build(struct draft *d, const struct topology_options *o)
{
    int hosts = hosts_of(o->nodes, o->local);
    if (hosts == 1)
        meet(d, 0, 0, o->local);
    for (int far = 1; far < hosts; far *= 2)
        for (int turn = 0; turn < 2; turn++) {
            if (far > 1 || turn)
                draft_next_step(d);
            step(d, hosts, o->local, far, turn);
        }
}

const struct topology_kind topology_alternating_exponential_ring = {
    .name = "alternating-exponential-ring",
    .also = "aer",
    .summary = "pairs of hosts at distance 1, 2, 4, .., half of them at a time",
    .paper = "Wang et al. 2025, arXiv:2410.11998",
    .fits = fits,
    .wants = "hosts of as many nodes each, their number a power of two",
    .build = build,
};
