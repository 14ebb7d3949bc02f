/* The edges of all steps together. */
#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "topology/private.h"

static int by_number(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static int add_row(const struct table *table, int node, int *list, int count)
{
    const struct neighbour *row = table_row(table, node);
    const int before = count; /* of other steps */
    for (int k = 0; k < table_count(table, node); k++) {
        bool known = row[k].node == node;
        for (int i = 0; i < before && !known; i++)
            known = list[i] == row[k].node;
        if (!known)
            list[count++] = row[k].node;
    }
    return count;
}

int topology_neighbours(const struct topology *t, int node, int *list)
{
    int count = 0;
    assert(node >= 0 && node < t->nodes);
    for (int s = 0; s < t->steps; s++) {
        count = add_row(&t->sources[s], node, list, count);
        if (t->targets != t->sources)
            count = add_row(&t->targets[s], node, list, count);
    }
    qsort(list, (size_t)count, sizeof *list, by_number);
    return count;
}

bool topology_sides(const struct topology *t, int8_t *side, int odd[2])
{
    int *queue = xcalloc((size_t)t->nodes, sizeof *queue), head = 0, tail = 0;
    int *list = xcalloc((size_t)t->nodes, sizeof *list);
    bool bipartite = true;
    for (int i = 0; i < t->nodes; i++)
        side[i] = -1;
    side[0] = 0;
    queue[tail++] = 0; /* from it all are reached */
    while (head < tail && bipartite) {
        int node = queue[head++], count = topology_neighbours(t, node, list);
        for (int k = 0; k < count && bipartite; k++) {
            int other = list[k];
            if (side[other] < 0) {
                side[other] = (int8_t)!side[node];
                queue[tail++] = other;
            }
            bipartite = side[other] != side[node];
            odd[0] = node < other ? node : other;
            odd[1] = node < other ? other : node;
        }
    }
    xfree(queue);
    xfree(list);
    return bipartite;
}
