/* All pairs. */
#include "topology/kinds.h"

static void build(struct draft *d, const struct topology_options *o)
{
    for (int i = 0; i < o->nodes; i++)
        for (int j = i + 1; j < o->nodes; j++)
            draft_edge(d, i, j);
}

const struct topology_kind topology_complete = {
    .name = "complete",
    .summary = "all pairs: one step is an all-reduce",
    .build = build,
};
