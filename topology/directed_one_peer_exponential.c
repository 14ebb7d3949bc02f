/* In step k each node sends to the one 2^k further on: push-sum's own graph. Of a power of two all
 * have the exact mean after log2 n steps. */
#include "topology/kinds.h"

static void build(struct draft *d, const struct topology_options *o)
{
    for (int64_t far = 1; far < o->nodes; far *= 2) {
        if (far > 1)
            draft_next_step(d);
        for (int i = 0; i < o->nodes; i++)
            draft_edge(d, i, (int)((i + far) % o->nodes));
    }
}

const struct topology_kind topology_directed_one_peer_exponential = {
    .name = "directed-one-peer-exponential",
    .summary = "each node sends to one: 1, 2, 4, .. further on, in turns",
    .paper = "Assran et al. ICML 2019, arXiv:1811.10792",
    .directed = true,
    .build = build,
};
