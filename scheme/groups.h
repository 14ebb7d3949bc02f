/* A server that makes one update from the first pushes of a version: asgd and backup. */
#ifndef SCHEME_GROUPS_H
#define SCHEME_GROUPS_H

#include "scheme/scheme.h"

struct groups {
    int size;          /* pushes that make an update; fewer once workers have departed */
    int64_t stalest;   /* a push staler than this is dropped */
    bool by_staleness; /* a gradient is divided by its staleness */
};

/* w <- w - lr / (k B) sum of k pushes' gradients, until training is over. */
void groups_serve(struct node *n, const struct groups *g);

#endif
