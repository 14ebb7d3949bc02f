/* What a graph does to what its nodes do not agree on: eigenvalues by Lanczos. */
#ifndef TOPOLOGY_SPECTRUM_H
#define TOPOLOGY_SPECTRUM_H

#include "topology/table.h"

struct spectrum_input {
    int nodes, steps;
    const struct table *sources; /* [steps] */
    const double *probability;   /* [steps]; NULL: none is drawn */
    double alpha;                /* of active edges */
};

/* What one step leaves of a vector's distance to the mean, at worst: of the whole period, its
 * period-th root. W's rows and columns add to 1. */
double spectrum_step(const struct spectrum_input *in);

/* The second smallest eigenvalue of the Laplacian of all steps' edges. */
double spectrum_fiedler(const struct spectrum_input *in);

/* The same of edges, with weights or (NULL) 1 each, at any time of a draft; `vector` [nodes] is
 * where the search begins, and becomes its eigenvector to a few digits; NULL: not wanted. */
double spectrum_fiedler_of(int nodes, const struct edge *list, int64_t edges, const double *weight,
                           double *vector);

#endif
