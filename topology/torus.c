/* Rows and columns of rings, as close to a square as the number of nodes can be cut. */
#include "topology/kinds.h"

static int rows_of(int nodes) /* the greatest divisor up to the root */
{
    int rows = 1;
    for (int r = 2; (int64_t)r * r <= nodes; r++)
        if (nodes % r == 0)
            rows = r;
    return rows;
}

static bool fits(int nodes, int local)
{
    (void)local;
    return rows_of(nodes) > 1;
}

static void build(struct draft *d, const struct topology_options *o)
{
    int rows = rows_of(o->nodes), columns = o->nodes / rows;
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            draft_edge(d, y * columns + x, y * columns + (x + 1) % columns);
            draft_edge(d, y * columns + x, (y + 1) % rows * columns + x);
        }
}

const struct topology_kind topology_torus = {
    .name = "torus",
    .summary = "rows and columns that are rings",
    .fits = fits,
    .wants = "a number of nodes that is no prime",
    .build = build,
};
