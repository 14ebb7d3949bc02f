/* Decentralised schemes by loops over all workers, in double and without messages: what the real
 * ones are held to. */
#ifndef TESTS_GOSSIP_H
#define TESTS_GOSSIP_H

#include "problem/problem.h"
#include "topology/topology.h"

enum { PLAIN_WORKERS = 8, PLAIN_FLOATS = 1000 };

struct plain_run {
    struct problem *problem;
    const struct topology *graph;
    double lr;
    int updates, minibatches;
    int64_t overlap;    /* osgp: steps */
    double rho, growth; /* dinno */
};

/* The workers' mean after that, [PLAIN_FLOATS]. */
void plain_sgp(const struct plain_run *r, float *mean);
void plain_osgp(const struct plain_run *r, float *mean);
void plain_dsgt(const struct plain_run *r, float *mean);
void plain_dinno(const struct plain_run *r, float *mean);

#endif
