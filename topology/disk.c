/* A random disk graph: points in the unit square, an edge between those that are closer than a
 * radius. The radius is where the Fiedler value comes closest to the one that is wanted: it grows
 * with every edge, so it is found by bisection among the distances. Points are drawn anew until it
 * is within a hundredth, or within 1 % (Yu, Vincent, Schwager 2022). */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "topology/spectrum.h"

enum { MOST_DISK_NODES = 1000, POINT_SETS = 50 };
static const double absolute = 0.01, relative = 0.01;

struct disk_options {
    double fiedler;
};

static const struct option_row rows[] = {
    {.name = "fiedler",
     .type = OPTION_REAL,
     .flags = OPTION_ABOVE,
     .offset = offsetof(struct disk_options, fiedler),
     .preset = "1",
     .placeholder = "VALUE",
     .help = "second smallest eigenvalue of the Laplacian, of disk: how well connected it is",
     .most = MOST_DISK_NODES},
    {0}};

static const struct option_set option_set = {.title = "Topology disk",
                                             .owner = "--topology disk",
                                             .rows = rows,
                                             .size = sizeof(struct disk_options)};

struct pair {
    struct edge edge;
    double distance;
};

static int by_distance(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    return (x->distance > y->distance) - (x->distance < y->distance);
}

struct pairs {
    int nodes;
    int64_t count;
    struct pair *list; /* the closest first */
    struct edge *edges;
};

static void draw(struct pairs *p, uint64_t seed, int set)
{
    double *at = xcalloc(2 * (size_t)p->nodes, sizeof *at);
    struct random r =
        random_at(RANDOM_TOPOLOGY, seed, KEY_POINTS, (uint64_t)p->nodes, (uint64_t)set);
    int64_t count = 0;
    for (int i = 0; i < 2 * p->nodes; i++)
        at[i] = random_uniform(&r);
    for (int i = 0; i < p->nodes; i++)
        for (int j = i + 1; j < p->nodes; j++)
            p->list[count++] = (struct pair){
                {.from = i, .to = j}, hypot(at[2 * i] - at[2 * j], at[2 * i + 1] - at[2 * j + 1])};
    qsort(p->list, (size_t)count, sizeof *p->list, by_distance);
    for (int64_t e = 0; e < count; e++)
        p->edges[e] = p->list[e].edge;
    xfree(at);
}

static double fiedler_of(const struct pairs *p, int64_t edges)
{
    return spectrum_fiedler_of(p->nodes, p->edges, edges, NULL, NULL);
}

/* The number of closest pairs whose graph has the value next to that; *value: which it is. */
static int64_t search(const struct pairs *p, double wanted, double *value)
{
    int64_t low = p->nodes - 2, high = p->count; /* at low it is less, at high not */
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (fiedler_of(p, middle) < wanted)
            low = middle;
        else
            high = middle;
    }
    double below = low < p->nodes - 1 ? 0 : fiedler_of(p, low), above = fiedler_of(p, high);
    bool lower = below > 0 && wanted - below < above - wanted;
    *value = lower ? below : above;
    return lower ? low : high;
}

static bool is_close(double value, double wanted)
{
    return fabs(value - wanted) <= fmax(absolute, relative * wanted);
}

static bool fits(int nodes, int local)
{
    (void)local;
    return nodes <= MOST_DISK_NODES;
}

static void build(struct draft *d, const struct topology_options *o)
{
    const struct disk_options *own = o->own;
    struct pairs p = {.nodes = o->nodes, .count = (int64_t)o->nodes * (o->nodes - 1) / 2};
    double nearest = NAN, value;
    if (o->nodes == 1)
        return;
    if (own->fiedler > o->nodes)
        fatal("topology disk: --fiedler %g: no graph of %d nodes has more than %d", own->fiedler,
              o->nodes, o->nodes);
    p.list = xcalloc((size_t)p.count, sizeof *p.list);
    p.edges = xcalloc((size_t)p.count, sizeof *p.edges);
    for (int set = 0; set < POINT_SETS; set++) {
        draw(&p, o->seed, set);
        int64_t edges = search(&p, own->fiedler, &value);
        if (!(fabs(value - own->fiedler) >= fabs(nearest - own->fiedler)))
            nearest = value;
        if (!is_close(value, own->fiedler))
            continue;
        for (int64_t e = 0; e < edges; e++)
            draft_edge(d, p.edges[e].from, p.edges[e].to);
        break;
    }
    if (!is_close(nearest, own->fiedler))
        fatal(
            "topology disk: no graph of %d nodes was found with --fiedler %g; the nearest has %.4g",
            o->nodes, own->fiedler, nearest);
    xfree(p.edges);
    xfree(p.list);
}

const struct topology_kind topology_disk = {
    .name = "disk",
    .summary = "random points, neighbours within a radius that gives --fiedler",
    .paper = "Yu, Vincent, Schwager 2022, arXiv:2109.08665",
    .options = &option_set,
    .fits = fits,
    .wants = "1,000 nodes at most",
    .build = build,
};
