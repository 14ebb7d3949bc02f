/* The hypercube, a dimension a step: after log2 n steps all have the exact mean. */
#include "topology/kinds.h"

static bool fits(int nodes, int local)
{
    (void)local;
    return (nodes & (nodes - 1)) == 0;
}

static void build(struct draft *d, const struct topology_options *o)
{
    for (int far = 1; far < o->nodes; far *= 2) {
        if (far > 1)
            draft_next_step(d);
        for (int i = 0; i < o->nodes; i++)
            if (!(i & far))
                draft_edge(d, i, i | far);
    }
}

const struct topology_kind topology_one_peer_exponential = {
    .name = "one-peer-exponential",
    .also = "hypercube",
    .summary = "pairs at distance 1, 2, 4, .. in turns: the exact mean after log2 n steps",
    .paper = "Wang et al. 2025, arXiv:2410.11998",
    .fits = fits,
    .wants = "a power of two",
    .build = build,
};
