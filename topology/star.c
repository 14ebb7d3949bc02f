/* Node 0 in the middle. */
#include "topology/kinds.h"

static void build(struct draft *d, const struct topology_options *o)
{
    for (int i = 1; i < o->nodes; i++)
        draft_edge(d, 0, i);
}

const struct topology_kind topology_star = {
    .name = "star",
    .summary = "node 0 is everybody's only neighbour",
    .build = build,
};
