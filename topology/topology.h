/* Graphs of workers, and the weights with which neighbours mix what they hold.
 *
 * A topology is a sequence of steps, repeated for ever; most have one. In a step each node has
 * sources, whose vectors it mixes, itself among them, and targets, which mix its vector.
 *
 *   x_i <- sum over sources j of W_ij x_j
 *
 * Undirected graphs: sources are targets, W is symmetric, its rows and columns add to 1 unless the
 * rule of the weights says otherwise (topology_facts.row_sum). Directed graphs: a sender splits
 * what it has, W_ij = 1 / (targets of j), so columns add to 1 (push-sum; Assran et al. ICML 2019,
 * arXiv:1811.10792). Nodes count from 0. All is integers and doubles: no rank, no message.
 *
 * Invariant: a pure function of the options. */
#ifndef TOPOLOGY_TOPOLOGY_H
#define TOPOLOGY_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/options.h"

#define TOPOLOGY_MIXINGS "metropolis|uniform|max-degree"

enum { TOPOLOGY_MOST_NODES = 100000, TOPOLOGY_MOST_MEASURED = 4096 };

struct topology_options {
    const char *name;   /* of topology_names() */
    int nodes;          /* at least 1 */
    int local;          /* nodes of a host, which follow each other; 1: each has its own */
    const char *mixing; /* rule of the weights, of TOPOLOGY_MIXINGS; NULL: metropolis */
    uint64_t seed;      /* of graphs that are drawn */
    const void *own; /* the member's own options, topology_option_set()'s; NULL where it has none;
                           borrowed for the call */
};

struct neighbour {
    int node;
    double weight;
};

struct topology;

/* Fatal when the name is unknown (the nearest is named), when this number of nodes does not fit it
 * (the nearest numbers are named), or when the graph of all steps together is not connected. */
struct topology *topology_open(const struct topology_options *o);
void topology_close(struct topology *t); /* NULL is fine */

int topology_nodes(const struct topology *t);
bool topology_is_directed(const struct topology *t);

/* After so many steps they repeat; 0: each is drawn anew. */
int64_t topology_period(const struct topology *t);

/* The most sources, and the most targets, that a node has in any step, itself among them. */
int topology_degree(const struct topology *t);

/* Fills the list, which has room for topology_degree(), in ascending order of nodes, the node
 * itself among them; returns how many. A source's weight is W_ij; a target's the one that it mixes
 * this node with. step: from 0. */
int topology_sources(const struct topology *t, int64_t step, int node, struct neighbour *list);
int topology_targets(const struct topology *t, int64_t step, int node, struct neighbour *list);

/* Of all steps' edges together, or of all that may be drawn: */

/* Is it bipartite? side[nodes]: 0 or 1, node 0's is 0, neighbours are on different ones. If it is
 * not, odd[0] and odd[1] are neighbours that would be on one. */
bool topology_sides(const struct topology *t, int8_t *side, int odd[2]);

/* The others that a node is a source or a target of: list[nodes], ascending; returns how many. */
int topology_neighbours(const struct topology *t, int node, int *list);

struct topology_facts {
    double vectors;             /* that a node sends in a step: the mean over nodes and steps */
    int most_vectors;           /* that a node sends in one step at most */
    int diameter;               /* of all steps' edges together; -1: some node is not reached */
    bool symmetric;             /* each step's W */
    bool weighted;              /* the graph came with its weights: no rule has decided */
    double alpha;               /* steps that are drawn: the weight of an active edge; else 0 */
    double row_sum, column_sum; /* of any step's W: the sum that is furthest from 1 */
    /* Undirected: 1 - s, where s is what a step leaves of the distance to the mean: the second
     * greatest singular value of the product of one period's W, its period-th root; with steps that
     * are drawn, the root of the greatest eigenvalue of E[W'W] beside 1. Directed, or not doubly
     * stochastic: NaN. */
    double gap;
    double fiedler; /* second smallest eigenvalue of the Laplacian of all edges; directed: NaN */
};

/* Fatal for more than TOPOLOGY_MOST_MEASURED nodes. */
struct topology_facts topology_measure(const struct topology *t);

/* --- lists */

const char *topology_names(char *text, size_t size); /* "ring|torus|..", in `text` */
void topology_list(FILE *to);                        /* for --help: name, line, paper */
/* A member's own options; NULL: it has none, or is not known. */
const struct option_set *topology_option_set(const char *name);
/* Those of all members, at most `room`; how many there are. */
int topology_option_sets(const struct option_set **list, int room);

#endif
