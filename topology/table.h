/* One step's W as rows (who is mixed by a node) or as columns (by whom it is mixed). */
#ifndef TOPOLOGY_TABLE_H
#define TOPOLOGY_TABLE_H

#include "topology/draft.h"

struct table {
    int nodes;
    int64_t *first;         /* [nodes + 1] */
    struct neighbour *list; /* each row ascending, itself among them */
};

/* Of a sorted draft: fatal where the weights that it came with leave a node less than nothing. */
void table_check(const struct draft *d);

/* Of a sorted draft's edges of that step; of a draft that was checked. */
struct table table_open(const struct draft *d, int step, const char *mixing, bool columns);
void table_close(struct table *t);

/* Are rows columns, by this rule? */
bool table_is_symmetric(const struct draft *d, const char *mixing);

static inline int table_count(const struct table *t, int node)
{
    return (int)(t->first[node + 1] - t->first[node]);
}

static inline const struct neighbour *table_row(const struct table *t, int node)
{
    return t->list + t->first[node];
}

/* The mean number of others in a row. */
double table_vectors(const struct table *t);

/* Sums, symmetry and diameter; the rest is zero. */
struct topology_facts table_facts(const struct table *rows, const struct table *columns, int nodes,
                                  int steps);

#endif
