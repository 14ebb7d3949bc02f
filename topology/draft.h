/* A topology while it is built: what kinds.h's calls have given it. */
#ifndef TOPOLOGY_DRAFT_H
#define TOPOLOGY_DRAFT_H

#include "topology/kinds.h"

enum { DRAFT_MOST_EDGES = 20000000 };

struct draft {
    const char *name; /* of the member, for what is said */
    int nodes;
    bool directed, weighted;
    int steps;
    struct edge *list;
    int64_t count, room;
    double *probability; /* [steps], of steps that are drawn; NULL: none are */
    double alpha;
};

struct draft draft_open(const char *name, int nodes, bool directed);
void draft_close(struct draft *d);

/* Sorted by step, from, to; each undirected edge with its lesser node first; each once. */
void draft_sort(struct draft *d);

#endif
