/* A topology as its module sees it. */
#ifndef TOPOLOGY_PRIVATE_H
#define TOPOLOGY_PRIVATE_H

#include "topology/table.h"
#include "topology/topology.h"

struct topology {
    int nodes, steps, degree;
    bool directed, weighted;
    struct table *sources, *targets; /* [steps]; one and the same where W is symmetric */
    double *probability, alpha;      /* [steps], of steps that are drawn; NULL: none are */
    uint64_t seed;
};

#endif
