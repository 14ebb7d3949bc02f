/* A ring of which a node uses one edge a step, in turns: every step is a set of pairs. */
#include "topology/kinds.h"

static bool fits(int nodes, int local)
{
    (void)local;
    return nodes % 2 == 0;
}

static void build(struct draft *d, const struct topology_options *o)
{
    for (int i = 0; i < o->nodes; i += 2)
        draft_edge(d, i, i + 1);
    draft_next_step(d);
    for (int i = 1; i < o->nodes; i += 2)
        draft_edge(d, i, (i + 1) % o->nodes);
}

const struct topology_kind topology_one_peer_ring = {
    .name = "one-peer-ring",
    .summary = "a ring; each node meets its two neighbours in turns",
    .paper = "Wang et al. 2025, arXiv:2410.11998",
    .fits = fits,
    .wants = "an even number of nodes",
    .build = build,
};
