/* The options of schemes on a graph, and what is refused before any rank works. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "gossip/gossip.h"
#include "serialization/serialization.h"

#define AT(field) offsetof(struct gossip_options, field)

static const struct option_row rows[] = {
    {.name = "topology",
     .type = OPTION_CHOICE,
     .offset = AT(topology),
     .preset = "ring",
     .help = "the graph of workers: who mixes with whom (nbsgd topology NAME RANKS shows it)"},
    {.name = "mixing",
     .type = OPTION_CHOICE,
     .offset = AT(mixing),
     .preset = "metropolis",
     .choices = TOPOLOGY_MIXINGS,
     .help = "weights of neighbours: by the degrees of both, plain means, by the greatest degree"},
    {.name = "local-ranks",
     .type = OPTION_INT,
     .offset = AT(local_ranks),
     .preset = "1",
     .placeholder = "N",
     .help = "workers of each host, which follow each other, for graphs that know hosts",
     .least = 1,
     .most = TOPOLOGY_MOST_NODES},
    {.name = "choco-gamma",
     .type = OPTION_REAL,
     .offset = AT(choco_gamma),
     .preset = "0.2",
     .placeholder = "GAMMA",
     .help = "with --compress: part of the way to the neighbours' estimates (CHOCO-SGD)",
     .flags = OPTION_ABOVE,
     .most = 1},
    {0}};

const struct option_set gossip_option_set = {.title = "Schemes on a graph",
                                             .owner = "a scheme whose workers mix with neighbours",
                                             .rows = rows,
                                             .size = sizeof(struct gossip_options)};

void gossip_use_options(struct options *o)
{
    const struct gossip_options *own = options_of(o, &gossip_option_set);
    options_use(o, &gossip_option_set);
    options_use(o, topology_option_set(own->topology));
}

struct topology *gossip_topology(const struct options *o, int workers)
{
    const struct gossip_options *own = options_of(o, &gossip_option_set);
    const struct option_set *set = topology_option_set(own->topology);
    return topology_open(&(struct topology_options){.name = own->topology,
                                                    .nodes = workers,
                                                    .local = (int)own->local_ranks,
                                                    .mixing = own->mixing,
                                                    .seed = (uint64_t)o->seed,
                                                    .own = set ? options_of(o, set) : NULL});
}

static double sum_of(const struct neighbour *list, int count)
{
    double sum = 0;
    for (int k = 0; k < count; k++)
        sum += list[k].weight;
    return sum;
}

/* The worker whose row (or column) of any step's W does not add to 1, and the sum; -1: all do. Of
 * steps that are drawn W is doubly stochastic by construction. */
static int find_wrong(const struct topology *t, bool columns, double *sum)
{
    struct neighbour *list = xcalloc((size_t)topology_degree(t), sizeof *list);
    int wrong = -1;
    for (int64_t step = 0; step < topology_period(t) && wrong < 0; step++)
        for (int i = 0; i < topology_nodes(t) && wrong < 0; i++) {
            int count =
                columns ? topology_targets(t, step, i, list) : topology_sources(t, step, i, list);
            *sum = sum_of(list, count);
            if (fabs(*sum - 1) > 1e-9)
                wrong = i;
        }
    xfree(list);
    return wrong;
}

/* What is asked of a graph. */
struct graph_facts {
    bool changes, directed;
    int row, column; /* find_wrong()'s; -1 where that does not matter */
    double row_sum, column_sum;
};

static struct graph_facts look(const struct options *o, int workers, enum gossip_graph wanted)
{
    struct topology *t = gossip_topology(o, workers);
    struct graph_facts f = {.changes = topology_period(t) != 1,
                            .directed = topology_is_directed(t),
                            .row = -1,
                            .column = -1};
    if (wanted != GOSSIP_COLUMNS && wanted != GOSSIP_EDGES)
        f.row = find_wrong(t, false, &f.row_sum);
    if (wanted != GOSSIP_EDGES)
        f.column = find_wrong(t, true, &f.column_sum);
    topology_close(t);
    return f;
}

static void refuse_direction(const struct options *o, const char *topology)
{
    static const char directed[] = "directed-";
    const size_t prefix = sizeof directed - 1;
    fatal("--topology %s: edges go one way, and %s wants both ends of an edge to send; take %s",
          topology, o->scheme,
          strncmp(topology, directed, prefix) ? "a graph that is not directed" : topology + prefix);
}

static void check_weights(const struct options *o, const struct gossip_options *own,
                          const struct graph_facts *f)
{
    if (f->row >= 0)
        fatal("--topology %s --mixing %s: the weights with which worker %d mixes add to %g, not 1: "
              "%s would not keep the mean; take --mixing metropolis",
              own->topology, own->mixing, f->row, f->row_sum, o->scheme);
    if (f->column >= 0)
        fatal("--topology %s --mixing %s: the weights with which worker %d is mixed add to %g, not "
              "1: %s would not keep the mean; take --mixing metropolis",
              own->topology, own->mixing, f->column, f->column_sum, o->scheme);
}

void gossip_check(const struct options *o, int workers, enum gossip_graph wanted)
{
    const struct gossip_options *own = options_of(o, &gossip_option_set);
    const bool packs = !codec_find(o->compress)->in_place;
    const struct graph_facts f = look(o, workers, wanted);
    if (f.changes && packs)
        fatal("--compress %s: estimates of neighbours want a graph that stays the same, and "
              "--topology %s changes; take ring, torus, exponential or complete",
              o->compress, own->topology);
    if (!packs && options_given(o, "choco-gamma"))
        fatal("--choco-gamma: vectors are sent as they are without --compress; leave it out");
    if (f.changes && wanted == GOSSIP_FIXED)
        fatal("--topology %s: it changes from step to step, and neighbours of %s stay the same; "
              "take ring, torus, exponential or complete",
              own->topology, o->scheme);
    if (f.directed && wanted != GOSSIP_COLUMNS)
        refuse_direction(o, own->topology);
    if (wanted == GOSSIP_EDGES && options_given(o, "mixing"))
        fatal("--mixing %s: the weights of a graph play no part in %s; leave it out", own->mixing,
              o->scheme);
    check_weights(o, own, &f);
}

/* The least that a worker ever keeps of what it sends. */
static double least_kept(const struct topology *t)
{
    const int64_t period = topology_period(t);
    const int nodes = topology_nodes(t), degree = topology_degree(t);
    double least = 1;
    if (!period) /* all edges of a node may be drawn at once */
        return nodes > TOPOLOGY_MOST_MEASURED ? 1 : 1 - topology_measure(t).alpha * (degree - 1);
    struct neighbour *list = xcalloc((size_t)degree, sizeof *list);
    for (int64_t step = 0; step < period; step++)
        for (int node = 0; node < nodes; node++) {
            double kept = 0;
            for (int i = topology_targets(t, step, node, list); i-- > 0;)
                if (list[i].node == node)
                    kept = list[i].weight;
            least = fmin(least, kept);
        }
    xfree(list);
    return least;
}

void gossip_check_kept(const struct options *o, int workers)
{
    const struct gossip_options *own = options_of(o, &gossip_option_set);
    struct topology *t = gossip_topology(o, workers);
    const double least = least_kept(t);
    topology_close(t);
    if (least <= 0)
        fatal("--topology %s: a worker may keep %.3g of what it sends, and %s goes on with what is "
              "kept, which must be above 0; take ring, exponential or directed-exponential",
              own->topology, least, o->scheme);
}
