/* The list of graphs, made from the one in kinds.h; a topology as rows and columns of its W. */
#include "topology/topology.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "base/text.h"
#include "topology/private.h"
#include "topology/spectrum.h"

static const struct topology_kind *const kinds[] = {
#define ENTRY(name) &topology_##name,
    TOPOLOGIES(ENTRY)
#undef ENTRY
};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* --- lists --- */

static const struct topology_kind *find(const char *name)
{
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(kinds[i]->name, name) || (kinds[i]->also && !strcmp(kinds[i]->also, name)))
            return kinds[i];
    return NULL;
}

const char *topology_names(char *text, size_t size)
{
    size_t used = 0;
    *text = '\0';
    for (int i = 0; i < KINDS && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s%s%s", i ? "|" : "", kinds[i]->name,
                                 kinds[i]->also ? "|" : "", kinds[i]->also ? kinds[i]->also : "");
    return text;
}

void topology_list(FILE *to)
{
    for (int i = 0; i < KINDS; i++)
        text_member(to, kinds[i]->name, kinds[i]->summary, kinds[i]->paper);
}

const struct option_set *topology_option_set(const char *name)
{
    const struct topology_kind *kind = find(name);
    return kind ? kind->options : NULL;
}

int topology_option_sets(const struct option_set **list, int room)
{
    int count = 0;
    for (int i = 0; i < KINDS; i++)
        if (kinds[i]->options && count < room)
            list[count++] = kinds[i]->options;
    return count;
}

static const struct topology_kind *find_or_fail(const char *name)
{
    const char *list[2 * KINDS];
    char text[600];
    int count = 0;
    const struct topology_kind *kind = find(name);
    if (kind)
        return kind;
    for (int i = 0; i < KINDS; i++) {
        list[count++] = kinds[i]->name;
        if (kinds[i]->also)
            list[count++] = kinds[i]->also;
    }
    const char *near = options_nearest(name, list, count);
    fatal("topology '%s' is not one of %s%s%s%s", name, topology_names(text, sizeof text),
          near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* --- opening --- */

static bool fits(const struct topology_kind *kind, int nodes, int local)
{
    return nodes >= 1 && nodes <= TOPOLOGY_MOST_NODES && (!kind->fits || kind->fits(nodes, local));
}

static void check_nodes(const struct topology_kind *kind, const struct topology_options *o)
{
    int fewer = o->nodes - 1, more = o->nodes + 1;
    char below[40] = "", above[40] = "";
    if (o->nodes < 1 || o->nodes > TOPOLOGY_MOST_NODES)
        fatal("topology %s: %d nodes; take 1 to %d", kind->name, o->nodes, TOPOLOGY_MOST_NODES);
    if (o->local < 1)
        fatal("topology %s: %d nodes of a host; take at least 1", kind->name, o->local);
    if (fits(kind, o->nodes, o->local))
        return;
    while (fewer > 0 && !fits(kind, fewer, o->local))
        fewer--;
    while (more <= TOPOLOGY_MOST_NODES && !fits(kind, more, o->local))
        more++;
    if (fewer > 0)
        snprintf(below, sizeof below, "%d", fewer);
    if (more <= TOPOLOGY_MOST_NODES)
        snprintf(above, sizeof above, "%s%d", fewer > 0 ? " or " : "", more);
    fatal("topology %s wants %s: %s%s, not %d", kind->name, kind->wants, below, above, o->nodes);
}

static struct topology *fill(const struct draft *d, const struct topology_options *o)
{
    struct topology *t = xcalloc(1, sizeof *t);
    *t = (struct topology){.nodes = d->nodes,
                           .steps = d->steps,
                           .directed = d->directed,
                           .weighted = d->weighted,
                           .probability = d->probability,
                           .alpha = d->alpha,
                           .seed = o->seed};
    t->sources = xcalloc((size_t)t->steps, sizeof *t->sources);
    t->targets = t->sources;
    for (int s = 0; s < t->steps; s++)
        t->sources[s] = table_open(d, s, o->mixing, false);
    if (!table_is_symmetric(d, o->mixing)) {
        t->targets = xcalloc((size_t)t->steps, sizeof *t->targets);
        for (int s = 0; s < t->steps; s++)
            t->targets[s] = table_open(d, s, o->mixing, true);
    }
    for (int i = 0; i < t->nodes; i++) {
        int all = 1;
        for (int s = 0; s < t->steps; s++) {
            int sources = table_count(&t->sources[s], i), targets = table_count(&t->targets[s], i),
                count = sources > targets ? sources : targets;
            all += count - 1;
            if (!t->probability && count > t->degree)
                t->degree = count;
        }
        if (t->probability && all > t->degree)
            t->degree = all;
    }
    return t;
}

struct topology *topology_open(const struct topology_options *o)
{
    const struct topology_kind *kind = find_or_fail(o->name);
    check_nodes(kind, o);
    struct draft d = draft_open(kind->name, o->nodes, kind->directed);
    kind->build(&d, o);
    if (!draft_is_connected(&d))
        fatal("topology %s of %d nodes is not connected: what some learn never reaches the others; "
              "give it more edges",
              kind->name, o->nodes);
    draft_sort(&d);
    table_check(&d);
    struct topology *t = fill(&d, o);
    d.probability = NULL; /* it is the topology's now */
    draft_close(&d);
    return t;
}

void topology_close(struct topology *t)
{
    if (!t)
        return;
    for (int s = 0; s < t->steps; s++) {
        table_close(&t->sources[s]);
        if (t->targets != t->sources)
            table_close(&t->targets[s]);
    }
    if (t->targets != t->sources)
        xfree(t->targets);
    xfree(t->sources);
    xfree(t->probability);
    xfree(t);
}

void draft_build_base(struct draft *d, const char *name, const struct topology_options *o)
{
    const struct topology_kind *kind = find_or_fail(name);
    struct topology_options base = *o;
    base.own = NULL;
    base.name = kind->name;
    if (kind->directed || kind->options)
        fatal("topology %s: it begins with a graph that is not directed and has no options of its "
              "own; not with %s",
              d->name, kind->name);
    check_nodes(kind, &base);
    kind->build(d, &base);
    if (d->steps > 1 || !draft_is_connected(d))
        fatal("topology %s: %s changes each step, or is not connected; begin with another graph",
              d->name, kind->name);
}

/* --- access --- */

int topology_nodes(const struct topology *t)
{
    return t->nodes;
}

bool topology_is_directed(const struct topology *t)
{
    return t->directed;
}

int64_t topology_period(const struct topology *t)
{
    return t->probability ? 0 : t->steps;
}

int topology_degree(const struct topology *t)
{
    return t->degree;
}

static bool is_active(const struct topology *t, int64_t step, int matching)
{
    struct random r =
        random_at(RANDOM_TOPOLOGY, t->seed, KEY_ACTIVE, (uint64_t)step, (uint64_t)matching);
    return random_uniform(&r) < t->probability[matching];
}

static int by_node(const void *a, const void *b)
{
    const struct neighbour *x = a, *y = b;
    return (x->node > y->node) - (x->node < y->node);
}

/* The partners in the matchings that are active, and itself with what is left. */
static int draw(const struct topology *t, int64_t step, int node, struct neighbour *list)
{
    int count = 0;
    for (int m = 0; m < t->steps; m++) {
        const struct neighbour *row = table_row(&t->sources[m], node);
        if (table_count(&t->sources[m], node) > 1 && is_active(t, step, m))
            list[count++] = row[row[0].node == node];
    }
    list[count] = (struct neighbour){node, 1 - t->alpha * count};
    qsort(list, (size_t)count + 1, sizeof *list, by_node);
    return count + 1;
}

static int take(const struct topology *t, const struct table *tables, int64_t step, int node,
                struct neighbour *list)
{
    assert(node >= 0 && node < t->nodes && step >= 0);
    if (t->probability)
        return draw(t, step, node, list);
    const struct table *table = &tables[step % t->steps];
    int count = table_count(table, node);
    memcpy(list, table_row(table, node), (size_t)count * sizeof *list);
    return count;
}

int topology_sources(const struct topology *t, int64_t step, int node, struct neighbour *list)
{
    return take(t, t->sources, step, node, list);
}

int topology_targets(const struct topology *t, int64_t step, int node, struct neighbour *list)
{
    return take(t, t->targets, step, node, list);
}

/* --- facts --- */

struct topology_facts topology_measure(const struct topology *t)
{
    const struct spectrum_input in = {.nodes = t->nodes,
                                      .steps = t->steps,
                                      .sources = t->sources,
                                      .probability = t->probability,
                                      .alpha = t->alpha};
    if (t->nodes > TOPOLOGY_MOST_MEASURED)
        fatal("%d nodes are too many to be measured; take %d at most", t->nodes,
              TOPOLOGY_MOST_MEASURED);
    struct topology_facts f = table_facts(t->sources, t->targets, t->nodes, t->steps);
    for (int m = 0; t->probability && m < t->steps; m++) /* of what is active alone */
        f.vectors += table_vectors(&t->sources[m]) * t->probability[m];
    if (!t->probability)
        for (int s = 0; s < t->steps; s++)
            f.vectors += table_vectors(&t->targets[s]) / t->steps;
    f.most_vectors = t->degree - 1;
    f.weighted = t->weighted;
    f.alpha = t->alpha;
    bool doubly = fabs(f.row_sum - 1) < 1e-9 && fabs(f.column_sum - 1) < 1e-9;
    f.gap = doubly && !t->directed ? 1 - spectrum_step(&in) : NAN;
    f.fiedler = t->directed ? NAN : spectrum_fiedler(&in);
    return f;
}
