/* Each node sends to those 1, 2, 4, .. further on. */
#include "topology/kinds.h"

static void build(struct draft *d, const struct topology_options *o)
{
    for (int i = 0; i < o->nodes; i++)
        for (int64_t far = 1; far < o->nodes; far *= 2)
            draft_edge(d, i, (int)((i + far) % o->nodes));
}

const struct topology_kind topology_directed_exponential = {
    .name = "directed-exponential",
    .summary = "each node sends to those 1, 2, 4, .. further on",
    .paper = "Assran et al. ICML 2019, arXiv:1811.10792",
    .directed = true,
    .build = build,
};
