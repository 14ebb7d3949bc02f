/* Each pair is an edge with the same probability; drawn again until the graph is connected. */
#include "base/check.h"
#include "base/random.h"
#include "topology/kinds.h"

struct erdos_renyi_options {
    double p;
    int64_t attempts;
};

#define AT(field) offsetof(struct erdos_renyi_options, field)

static const struct option_row rows[] = {
    {.name = "edge-probability",
     .type = OPTION_REAL,
     .flags = OPTION_ABOVE,
     .offset = AT(p),
     .preset = "0.5",
     .placeholder = "P",
     .help = "of each pair of nodes, in erdos-renyi",
     .most = 1},
    {.name = "graph-attempts",
     .type = OPTION_INT,
     .offset = AT(attempts),
     .preset = "100",
     .placeholder = "N",
     .help = "graphs that are drawn at most until one is connected",
     .least = 1,
     .most = 1000000},
    {0}};

static const struct option_set option_set = {.title = "Topology erdos-renyi",
                                             .owner = "--topology erdos-renyi",
                                             .rows = rows,
                                             .size = sizeof(struct erdos_renyi_options)};

static void draw(struct draft *d, const struct topology_options *o, double p, int64_t attempt)
{
    struct random r =
        random_at(RANDOM_TOPOLOGY, o->seed, KEY_EDGES, (uint64_t)o->nodes, (uint64_t)attempt);
    draft_clear(d);
    for (int i = 0; i < o->nodes; i++)
        for (int j = i + 1; j < o->nodes; j++)
            if (random_uniform(&r) < p)
                draft_edge(d, i, j);
}

static void build(struct draft *d, const struct topology_options *o)
{
    const struct erdos_renyi_options *own = o->own;
    for (int64_t k = 0; k < own->attempts; k++) {
        draw(d, o, own->p, k);
        if (draft_is_connected(d))
            return;
    }
    fatal("topology erdos-renyi: of %lld graphs of %d nodes with --edge-probability %g none is "
          "connected; take a greater one (from ln(n) / n on most are)",
          (long long)own->attempts, o->nodes, own->p);
}

const struct topology_kind topology_erdos_renyi = {
    .name = "erdos-renyi",
    .summary = "each pair with one probability, drawn until it is connected",
    .paper = "Erdos, Renyi 1959",
    .options = &option_set,
    .build = build,
};
