/* Edges as a member gives them, sorted and each once. */
#include "topology/draft.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

struct draft draft_open(const char *name, int nodes, bool directed)
{
    return (struct draft){.name = name, .nodes = nodes, .directed = directed, .steps = 1};
}

void draft_close(struct draft *d)
{
    xfree(d->list);
    xfree(d->probability);
}

void draft_clear(struct draft *d)
{
    d->count = 0;
    d->steps = 1;
}

int draft_nodes(const struct draft *d)
{
    return d->nodes;
}

void draft_set_directed(struct draft *d)
{
    d->directed = true;
}

void draft_next_step(struct draft *d)
{
    d->steps++;
}

static void grow(struct draft *d)
{
    struct edge *list;
    if (d->count == DRAFT_MOST_EDGES)
        fatal("topology %s: more than %d edges; take a sparser graph", d->name, DRAFT_MOST_EDGES);
    if (d->count < d->room)
        return;
    d->room = d->room ? 2 * d->room : 64;
    list = xcalloc((size_t)d->room, sizeof *list);
    if (d->count)
        memcpy(list, d->list, (size_t)d->count * sizeof *list);
    xfree(d->list);
    d->list = list;
}

static void add(struct draft *d, int from, int to, double weight)
{
    assert(from >= 0 && to >= 0 && from < d->nodes && to < d->nodes && from != to);
    bool turned = !d->directed && from > to;
    grow(d);
    d->list[d->count++] = (struct edge){.from = turned ? to : from,
                                        .to = turned ? from : to,
                                        .step = d->steps - 1,
                                        .weight = weight};
}

void draft_edge(struct draft *d, int from, int to)
{
    add(d, from, to, 0);
}

void draft_weighted_edge(struct draft *d, int from, int to, double weight)
{
    d->weighted = true;
    add(d, from, to, weight);
}

void draft_set_active(struct draft *d, const double *probability, double alpha)
{
    d->probability = xcalloc((size_t)d->steps, sizeof *probability);
    memcpy(d->probability, probability, (size_t)d->steps * sizeof *probability);
    d->alpha = alpha;
}

int64_t draft_edges(const struct draft *d, const struct edge **list)
{
    *list = d->list;
    return d->count;
}

static int by_place(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    if (x->step != y->step)
        return x->step < y->step ? -1 : 1;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

void draft_sort(struct draft *d)
{
    int64_t kept = 0;
    if (d->count)
        qsort(d->list, (size_t)d->count, sizeof *d->list, by_place);
    for (int64_t i = 0; i < d->count; i++)
        if (!kept || by_place(&d->list[kept - 1], &d->list[i]))
            d->list[kept++] = d->list[i];
    d->count = kept;
}

/* Who is reached from node 0 along the edges, or against them. */
static int reached(const struct draft *d, bool against)
{
    int count = 1;
    bool grows = true, *seen = xcalloc((size_t)d->nodes, sizeof *seen);
    seen[0] = true;
    while (grows) {
        grows = false;
        for (int64_t k = 0; k < d->count; k++) {
            const struct edge *e = &d->list[against ? d->count - 1 - k : k];
            bool goes = seen[e->from] && !seen[e->to] && (!d->directed || !against),
                 comes = seen[e->to] && !seen[e->from] && (!d->directed || against);
            if (!goes && !comes)
                continue;
            seen[goes ? e->to : e->from] = grows = true;
            count++;
        }
    }
    xfree(seen);
    return count;
}

bool draft_is_connected(const struct draft *d)
{
    return reached(d, false) == d->nodes && reached(d, true) == d->nodes;
}
