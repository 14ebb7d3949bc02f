/* Each node sends to the next one. */
#include "topology/kinds.h"

static void build(struct draft *d, const struct topology_options *o)
{
    for (int i = 0; i < o->nodes && o->nodes > 1; i++)
        draft_edge(d, i, (i + 1) % o->nodes);
}

const struct topology_kind topology_directed_ring = {
    .name = "directed-ring",
    .summary = "each node sends to the next one",
    .directed = true,
    .build = build,
};
