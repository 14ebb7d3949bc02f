/* Weights by rule, for one step at a time.
 *
 *   metropolis   W_ij = 1 / (1 + max(d_i, d_j)): doubly stochastic on every graph (Xiao, Boyd 2004)
 *   max-degree   W_ij = 1 / (1 + max over all d): doubly stochastic, slower
 *   uniform      W_ij = 1 / (1 + d_i): each takes the plain mean with its neighbours; doubly
 *                stochastic where all have as many
 * d_i: neighbours of i in this step. A directed edge j -> i has 1 / (1 + those that j sends to). A
 * node keeps what is left of 1. */
#include "topology/table.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

enum rule { METROPOLIS, UNIFORM, MAX_DEGREE };

static const char *const rules[] = {"metropolis", "uniform", "max-degree"};

static enum rule rule_of(const char *name)
{
    for (size_t i = 0; name && i < sizeof rules / sizeof *rules; i++)
        if (!strcmp(rules[i], name))
            return (enum rule)i;
    if (name)
        fatal("mixing '%s' is not one of %s", name, TOPOLOGY_MIXINGS);
    return METROPOLIS;
}

struct degrees {
    int *of; /* [nodes]: neighbours; directed: targets */
    int most;
};

static struct degrees count_degrees(const struct draft *d, int64_t from, int64_t to)
{
    struct degrees k = {.of = xcalloc((size_t)d->nodes, sizeof *k.of)};
    for (int64_t e = from; e < to; e++) {
        k.of[d->list[e].from]++;
        if (!d->directed)
            k.of[d->list[e].to]++;
    }
    for (int i = 0; i < d->nodes; i++)
        k.most = k.of[i] > k.most ? k.of[i] : k.most;
    return k;
}

/* The weight with which `to` mixes what `from` has. */
static double weight_of(const struct draft *d, const struct edge *e, bool turned, enum rule rule,
                        const struct degrees *k)
{
    int from = k->of[turned ? e->to : e->from], to = k->of[turned ? e->from : e->to];
    if (d->weighted)
        return e->weight;
    if (d->probability)
        return d->alpha;
    if (d->directed)
        return 1.0 / (1 + from);
    switch (rule) {
    case UNIFORM:
        return 1.0 / (1 + to);
    case MAX_DEGREE:
        return 1.0 / (1 + k->most);
    default:
        return 1.0 / (1 + (from > to ? from : to));
    }
}

static int64_t first_of(const struct draft *d, int step)
{
    int64_t low = 0, high = d->count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (d->list[middle].step < step)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void put(struct table *t, int64_t *at, int row, int node, double weight)
{
    t->list[at[row]++] = (struct neighbour){node, weight};
}

static int by_node(const void *a, const void *b)
{
    const struct neighbour *x = a, *y = b;
    return (x->node > y->node) - (x->node < y->node);
}

bool table_is_symmetric(const struct draft *d, const char *mixing)
{
    return !d->directed && (d->weighted || d->probability || rule_of(mixing) != UNIFORM);
}

static void fill(struct table *t, const struct draft *d, int64_t from, int64_t to, enum rule rule,
                 bool columns)
{
    struct degrees k = count_degrees(d, from, to);
    int64_t *at = xcalloc((size_t)t->nodes, sizeof *at);
    double *left = xcalloc((size_t)t->nodes, sizeof *left); /* of 1, by who keeps it */
    memcpy(at, t->first, (size_t)t->nodes * sizeof *at);
    for (int i = 0; i < t->nodes; i++)
        left[i] = 1;
    for (int64_t e = from; e < to; e++) {
        const struct edge *edge = &d->list[e];
        for (int turned = 0; turned < (d->directed ? 1 : 2); turned++) {
            int a = turned ? edge->to : edge->from, b = turned ? edge->from : edge->to;
            double w = weight_of(d, edge, turned, rule, &k);
            put(t, at, columns ? a : b, columns ? b : a, w);
            left[d->directed ? a : b] -= w;
        }
    }
    for (int i = 0; i < t->nodes; i++) {
        assert(left[i] > -1e-9);
        put(t, at, i, i, left[i] < 1e-12 ? 0 : left[i]);
        qsort(t->list + t->first[i], (size_t)table_count(t, i), sizeof *t->list, by_node);
    }
    xfree(left);
    xfree(at);
    xfree(k.of);
}

/* The node that gives more than 1 away in this step, and how much; -1: none does. `given` is room
 * for all nodes. */
static int find_excess(const struct draft *d, int step, double *given, double *sum)
{
    memset(given, 0, (size_t)d->nodes * sizeof *given);
    for (int64_t e = first_of(d, step), end = first_of(d, step + 1); e < end; e++) {
        given[d->list[e].from] += d->list[e].weight;
        if (!d->directed)
            given[d->list[e].to] += d->list[e].weight;
    }
    for (int i = 0; i < d->nodes; i++)
        if ((*sum = given[i]) > 1 + 1e-9)
            return i;
    return -1;
}

void table_check(const struct draft *d)
{
    double *given = xcalloc((size_t)d->nodes, sizeof *given), sum = 0;
    int node = -1;
    for (int step = 0; step < d->steps && node < 0 && d->weighted; step++)
        node = find_excess(d, step, given, &sum);
    xfree(given);
    if (node >= 0)
        fatal("topology %s: the weights of node %d add to %g beside its own; they may add to 1 at "
              "most",
              d->name, node, sum);
}

struct table table_open(const struct draft *d, int step, const char *mixing, bool columns)
{
    enum rule rule = rule_of(mixing);
    int64_t from = first_of(d, step), to = first_of(d, step + 1);
    struct table t = {.nodes = d->nodes};
    t.first = xcalloc((size_t)d->nodes + 1, sizeof *t.first);
    for (int i = 0; i < d->nodes; i++)
        t.first[i + 1] = 1;
    for (int64_t e = from; e < to; e++) {
        const struct edge *edge = &d->list[e];
        t.first[(columns ? edge->from : edge->to) + 1]++;
        if (!d->directed)
            t.first[(columns ? edge->to : edge->from) + 1]++;
    }
    for (int i = 0; i < d->nodes; i++)
        t.first[i + 1] += t.first[i];
    t.list = xcalloc((size_t)t.first[d->nodes], sizeof *t.list);
    fill(&t, d, from, to, rule, columns);
    return t;
}

void table_close(struct table *t)
{
    xfree(t->first);
    xfree(t->list);
}

double table_vectors(const struct table *t)
{
    return (double)(t->first[t->nodes] - t->nodes) / t->nodes;
}

/* --- facts --- */

static double weight_at(const struct table *t, int row, int node)
{
    const struct neighbour *list = table_row(t, row);
    int low = 0, high = table_count(t, row);
    while (low < high) {
        int middle = (low + high) / 2;
        if (list[middle].node < node)
            low = middle + 1;
        else
            high = middle;
    }
    return low < table_count(t, row) && list[low].node == node ? list[low].weight : 0;
}

static double further(double a, double b) /* from 1 */
{
    return fabs(b - 1) > fabs(a - 1) ? b : a;
}

static void add_step(struct topology_facts *f, const struct table *t)
{
    double *column = xcalloc((size_t)t->nodes, sizeof *column);
    for (int i = 0; i < t->nodes; i++) {
        double row = 0;
        for (int k = 0; k < table_count(t, i); k++) {
            const struct neighbour *n = &table_row(t, i)[k];
            row += n->weight;
            column[n->node] += n->weight;
            f->symmetric &= fabs(weight_at(t, n->node, i) - n->weight) < 1e-12;
        }
        f->row_sum = further(f->row_sum, row);
    }
    for (int i = 0; i < t->nodes; i++)
        f->column_sum = further(f->column_sum, column[i]);
    xfree(column);
}

/* The longest of the shortest ways from this node, by the edges of all steps; -1: some node is not
 * reached. */
static int reach(const struct table *columns, int nodes, int steps, int from, int *far, int *queue)
{
    int taken = 0, known = 1;
    for (int i = 0; i < nodes; i++)
        far[i] = -1;
    far[from] = 0;
    queue[0] = from;
    while (taken < known && known < nodes) {
        int node = queue[taken++];
        for (int s = 0; s < steps; s++)
            for (int k = 0; k < table_count(&columns[s], node); k++) {
                int next = table_row(&columns[s], node)[k].node;
                if (far[next] >= 0)
                    continue;
                far[next] = far[node] + 1;
                queue[known++] = next;
            }
    }
    return known == nodes ? far[queue[nodes - 1]] : -1;
}

struct topology_facts table_facts(const struct table *rows, const struct table *columns, int nodes,
                                  int steps)
{
    struct topology_facts f = {.symmetric = true, .row_sum = 1, .column_sum = 1};
    int *far = xcalloc((size_t)nodes, sizeof *far), *queue = xcalloc((size_t)nodes, sizeof *queue);
    for (int s = 0; s < steps; s++)
        add_step(&f, &rows[s]);
    for (int i = 0; i < nodes && f.diameter >= 0; i++) {
        int longest = reach(columns, nodes, steps, i, far, queue);
        f.diameter = longest < 0 || longest > f.diameter ? longest : f.diameter;
    }
    xfree(queue);
    xfree(far);
    return f;
}
