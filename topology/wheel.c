/* A ring around node 0. */
#include "topology/kinds.h"

static bool fits(int nodes, int local)
{
    (void)local;
    return nodes >= 4;
}

static void build(struct draft *d, const struct topology_options *o)
{
    int rim = o->nodes - 1;
    for (int i = 0; i < rim; i++) {
        draft_edge(d, 0, 1 + i);
        draft_edge(d, 1 + i, 1 + (i + 1) % rim);
    }
}

const struct topology_kind topology_wheel = {
    .name = "wheel",
    .summary = "a ring, and node 0 as its hub",
    .paper = "Yu, Vincent, Schwager 2022, arXiv:2109.08665",
    .fits = fits,
    .wants = "4 nodes or more",
    .build = build,
};
