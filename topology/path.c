/* A ring that is cut open. */
#include "topology/kinds.h"

static void build(struct draft *d, const struct topology_options *o)
{
    for (int i = 0; i + 1 < o->nodes; i++)
        draft_edge(d, i, i + 1);
}

const struct topology_kind topology_path = {
    .name = "path",
    .summary = "a ring that is cut open: the worst connected graph",
    .build = build,
};
