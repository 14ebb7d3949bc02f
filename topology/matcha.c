/* MATCHA (Wang, Sahu, Yang, Joshi, Kar 2019, arXiv:1905.09435): a graph cut into matchings, each of
 * which takes part in a step with its own probability. Critical edges are used more often than
 * others, and a budget says how much of the whole graph a step has on average.
 *
 *   matchings      an edge colouring with the greatest degree + 1 colours (Misra, Gries 1992)
 *   probabilities  p maximises the Fiedler value of sum p_j L_j, sum p_j <= budget x matchings,
 *                  0 <= p_j <= 1: projected ascent along x' L_j x, x the Fiedler vector
 *   weight         alpha minimises what E[W'W] leaves beside the mean, W = I - alpha L: golden
 *                  section; the same for all active edges */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "topology/spectrum.h"

enum { MOST_MATCHA_NODES = 512, ASCENTS = 200, SECTIONS = 40 };

struct matcha_options {
    const char *graph;
    double budget;
};

#define AT(field) offsetof(struct matcha_options, field)

static const struct option_row rows[] = {
    {.name = "matcha-graph",
     .type = OPTION_TEXT,
     .offset = AT(graph),
     .preset = "exponential",
     .placeholder = "NAME",
     .help = "the topology whose matchings matcha draws"},
    {.name = "matcha-budget",
     .type = OPTION_REAL,
     .flags = OPTION_ABOVE,
     .offset = AT(budget),
     .preset = "0.5",
     .placeholder = "PART",
     .help = "matchings of a step, as a part of all of them, on average",
     .most = 1},
    {0}};

static const struct option_set option_set = {.title = "Topology matcha",
                                             .owner = "--topology matcha",
                                             .rows = rows,
                                             .size = sizeof(struct matcha_options)};

/* --- matchings --- */

enum { NONE = -1 };

struct colouring {
    int nodes, colours;
    int *partner; /* [nodes][colours]: over the edge of that colour; NONE */
};

static int *partner(struct colouring *k, int node, int colour)
{
    return &k->partner[(size_t)node * (size_t)k->colours + (size_t)colour];
}

static int free_at(struct colouring *k, int node)
{
    int c = 0;
    while (*partner(k, node, c) != NONE)
        c++;
    assert(c < k->colours); /* one more than any degree */
    return c;
}

static int colour_of(struct colouring *k, int a, int b) /* NONE: not yet */
{
    for (int c = 0; c < k->colours; c++)
        if (*partner(k, a, c) == b)
            return c;
    return NONE;
}

static void paint(struct colouring *k, int a, int b, int colour)
{
    *partner(k, a, colour) = b;
    *partner(k, b, colour) = a;
}

static void unpaint(struct colouring *k, int a, int b, int colour)
{
    *partner(k, a, colour) = *partner(k, b, colour) = NONE;
}

/* Neighbours of u: the edge to each but the first has a colour that is free at the one before. */
static int fan_of(struct colouring *k, int u, int v, int *fan)
{
    int count = 1;
    bool grows = true, *in = xcalloc((size_t)k->nodes, sizeof *in);
    fan[0] = v;
    in[v] = true;
    while (grows) {
        grows = false;
        for (int c = 0; c < k->colours && !grows; c++) {
            int next = *partner(k, u, c);
            if (next == NONE || in[next] || *partner(k, fan[count - 1], c) != NONE)
                continue;
            fan[count++] = next;
            in[next] = grows = true;
        }
    }
    xfree(in);
    return count;
}

/* Exchanges the colours of the path from u whose edges have d, c, d, .. in turns. */
static void invert(struct colouring *k, int u, int c, int d)
{
    int length = 0, *path = xcalloc((size_t)k->nodes + 1, sizeof *path);
    path[0] = u;
    for (int at = u, want = d, next; (next = *partner(k, at, want)) != NONE; at = next) {
        path[++length] = next;
        want = want == d ? c : d;
    }
    for (int i = 0; i < length; i++)
        unpaint(k, path[i], path[i + 1], i % 2 ? c : d);
    for (int i = 0; i < length; i++)
        paint(k, path[i], path[i + 1], i % 2 ? d : c);
    xfree(path);
}

static bool is_fan(struct colouring *k, int u, const int *fan, int count)
{
    for (int i = 1; i < count; i++)
        if (*partner(k, fan[i - 1], colour_of(k, u, fan[i])) != NONE)
            return false;
    return true;
}

static void colour_edge(struct colouring *k, int u, int v, int *fan)
{
    int count = fan_of(k, u, v, fan), c = free_at(k, u), d = free_at(k, fan[count - 1]), last = 0;
    if (c != d)
        invert(k, u, c, d);
    while (*partner(k, fan[last], d) != NONE || !is_fan(k, u, fan, last + 1)) {
        last++;
        assert(last < count);
    }
    for (int i = 0; i < last; i++) { /* each gets the colour of the next */
        int colour = colour_of(k, u, fan[i + 1]);
        unpaint(k, u, fan[i + 1], colour);
        paint(k, u, fan[i], colour);
    }
    paint(k, u, fan[last], d);
}

/* Gives each edge of the list its matching, as a step; returns how many there are. */
static int cut(struct edge *list, int64_t edges, int nodes)
{
    int most = 0, used = 0;
    int *degree = xcalloc((size_t)nodes, sizeof *degree),
        *fan = xcalloc((size_t)nodes, sizeof *fan);
    for (int64_t e = 0; e < edges; e++) {
        degree[list[e].from]++;
        degree[list[e].to]++;
    }
    for (int i = 0; i < nodes; i++)
        most = degree[i] > most ? degree[i] : most;
    struct colouring k = {.nodes = nodes, .colours = most + 1};
    k.partner = xcalloc((size_t)nodes * (size_t)k.colours, sizeof *k.partner);
    for (int64_t i = 0; i < (int64_t)nodes * k.colours; i++)
        k.partner[i] = NONE;
    for (int64_t e = 0; e < edges; e++)
        colour_edge(&k, list[e].from, list[e].to, fan);
    int *number = xcalloc((size_t)k.colours, sizeof *number);
    for (int c = 0; c < k.colours; c++) /* a colour may be left over */
        for (int i = 0; i < nodes && !number[c]; i++)
            if (*partner(&k, i, c) != NONE)
                number[c] = ++used;
    for (int64_t e = 0; e < edges; e++)
        list[e].step = number[colour_of(&k, list[e].from, list[e].to)] - 1;
    xfree(number);
    xfree(k.partner);
    xfree(fan);
    xfree(degree);
    return used;
}

/* --- probabilities --- */

/* The nearest point with 0 <= p_j <= 1 whose sum is at most the budget. */
static void project(double *p, int matchings, double budget)
{
    double low = 0, high = 2, *from = xcalloc((size_t)matchings, sizeof *from), sum = 0;
    memcpy(from, p, (size_t)matchings * sizeof *from);
    for (int j = 0; j < matchings; j++)
        sum += fmin(fmax(p[j], 0), 1);
    if (sum <= budget)
        high = 0;
    for (int i = 0; i < 60; i++) {
        double shift = (low + high) / 2;
        sum = 0;
        for (int j = 0; j < matchings; j++)
            sum += p[j] = fmin(fmax(from[j] - shift, 0), 1);
        if (sum > budget)
            low = shift;
        else
            high = shift;
    }
    xfree(from);
}

struct search {
    int nodes, matchings;
    const struct edge *list;
    int64_t edges;
    double *weight; /* [edges]: of its matching */
    double *vector; /* [nodes] */
};

static double value_of(struct search *s, const double *p)
{
    for (int64_t e = 0; e < s->edges; e++)
        s->weight[e] = p[s->list[e].step];
    return spectrum_fiedler_of(s->nodes, s->list, s->edges, s->weight, s->vector);
}

static void climb(struct search *s, double budget, double *best)
{
    int m = s->matchings;
    double *p = xcalloc(2 * (size_t)m, sizeof *p), *slope = p + m, most = -1;
    struct random r = random_at(RANDOM_TOPOLOGY, 0, (uint64_t)s->nodes, UINT64_MAX, 1);
    for (int i = 0; i < s->nodes; i++)
        s->vector[i] = random_normal(&r);
    for (int j = 0; j < m; j++)
        p[j] = budget / m;
    for (int k = 0; k < ASCENTS; k++) {
        double value = value_of(s, p), size = 0;
        if (value > most) {
            most = value;
            memcpy(best, p, (size_t)m * sizeof *p);
        }
        memset(slope, 0, (size_t)m * sizeof *slope);
        for (int64_t e = 0; e < s->edges; e++) {
            double gap = s->vector[s->list[e].from] - s->vector[s->list[e].to];
            slope[s->list[e].step] += gap * gap;
        }
        for (int j = 0; j < m; j++)
            size += slope[j] * slope[j];
        for (int j = 0; j < m; j++)
            p[j] += 0.3 / sqrt(1 + k) * slope[j] / sqrt(size);
        project(p, m, budget);
    }
    xfree(p);
}

/* --- the weight --- */

static double left_at(const struct table *matching, int matchings, int nodes, const double *p,
                      double alpha)
{
    return spectrum_step(&(struct spectrum_input){
        .nodes = nodes, .steps = matchings, .sources = matching, .probability = p, .alpha = alpha});
}

/* 0 leaves all, and so does 1: then two that meet exchange what they have. */
static double best_weight(const struct table *matching, int matchings, int nodes, const double *p)
{
    const double golden = (sqrt(5) - 1) / 2;
    double low = 0, high = 1;
    for (int i = 0; i < SECTIONS; i++) {
        double a = high - golden * (high - low), b = low + golden * (high - low);
        if (left_at(matching, matchings, nodes, p, a) < left_at(matching, matchings, nodes, p, b))
            high = b;
        else
            low = a;
    }
    return (low + high) / 2;
}

static double weight_for(struct draft *d, const double *p)
{
    int matchings = d->steps;
    struct table *matching = xcalloc((size_t)matchings, sizeof *matching);
    draft_sort(d);
    for (int j = 0; j < matchings; j++)
        matching[j] = table_open(d, j, NULL, false);
    double alpha = best_weight(matching, matchings, d->nodes, p);
    for (int j = 0; j < matchings; j++)
        table_close(&matching[j]);
    xfree(matching);
    return alpha;
}

static bool fits(int nodes, int local)
{
    (void)local;
    return nodes >= 2 && nodes <= MOST_MATCHA_NODES;
}

static void build(struct draft *d, const struct topology_options *o)
{
    const struct matcha_options *own = o->own;
    draft_build_base(d, own->graph, o);
    draft_sort(d);
    int matchings = cut(d->list, d->count, d->nodes);
    struct search s = {
        .nodes = d->nodes, .matchings = matchings, .list = d->list, .edges = d->count};
    double *p = xcalloc((size_t)matchings, sizeof *p);
    s.weight = xcalloc((size_t)d->count, sizeof *s.weight);
    s.vector = xcalloc((size_t)d->nodes, sizeof *s.vector);
    d->steps = matchings;
    climb(&s, own->budget * matchings, p);
    draft_set_active(d, p, weight_for(d, p));
    xfree(s.vector);
    xfree(s.weight);
    xfree(p);
}

const struct topology_kind topology_matcha = {
    .name = "matcha",
    .summary = "matchings of --matcha-graph, drawn each step within --matcha-budget",
    .paper = "Wang et al. 2019, arXiv:1905.09435",
    .options = &option_set,
    .fits = fits,
    .wants = "2 to 512 nodes",
    .build = build,
};
