/* Neighbours at distances 1, 2, 4, .. on a ring, both ways. */
#include "topology/kinds.h"

static void build(struct draft *d, const struct topology_options *o)
{
    for (int i = 0; i < o->nodes; i++)
        for (int64_t far = 1; far < o->nodes; far *= 2)
            draft_edge(d, i, (int)((i + far) % o->nodes));
}

const struct topology_kind topology_exponential = {
    .name = "exponential",
    .summary = "neighbours at distances 1, 2, 4, .. both ways",
    .paper = "Ying et al. NeurIPS 2021, arXiv:2110.13363",
    .build = build,
};
