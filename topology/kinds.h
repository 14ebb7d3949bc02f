/* The graphs: a file beside this header, and a line in this list. */
#ifndef TOPOLOGY_KINDS_H
#define TOPOLOGY_KINDS_H

#include "topology/topology.h"

#define TOPOLOGIES(X)                                                                              \
    X(ring)                                                                                        \
    X(one_peer_ring)                                                                               \
    X(path)                                                                                        \
    X(torus)                                                                                       \
    X(star)                                                                                        \
    X(wheel)                                                                                       \
    X(complete)                                                                                    \
    X(exponential)                                                                                 \
    X(one_peer_exponential)                                                                        \
    X(alternating_exponential_ring)                                                                \
    X(erdos_renyi)                                                                                 \
    X(disk)                                                                                        \
    X(matcha)                                                                                      \
    X(directed_ring)                                                                               \
    X(directed_exponential)                                                                        \
    X(directed_one_peer_exponential)                                                               \
    X(file)

enum { /* what is drawn under RANDOM_TOPOLOGY */
       KEY_EDGES,
       KEY_POINTS,
       KEY_ACTIVE
};

struct draft; /* a topology while it is built */

struct edge {
    int from, to;
    int step;
    double weight; /* 0: the rule decides */
};

struct topology_kind {
    const char *name;
    const char *also;                   /* another name that the field has for it; NULL: none */
    const char *summary;                /* one line */
    const char *paper;                  /* NULL: there is none */
    const struct option_set *options;   /* its own; NULL: none */
    bool directed;                      /* an edge goes one way */
    bool (*fits)(int nodes, int local); /* NULL: any number does */
    const char *wants;                  /* in words: what fits(); NULL with it */
    void (*build)(struct draft *d, const struct topology_options *o);
};

#define DECLARE_TOPOLOGY(name) extern const struct topology_kind topology_##name;
TOPOLOGIES(DECLARE_TOPOLOGY)
#undef DECLARE_TOPOLOGY

/* --- for build() --- */

/* The edges that follow are of the next step. The first step begins by itself. */
void draft_next_step(struct draft *d);

/* Two nodes mix each other's vectors; of a directed graph, `to` mixes what `from` has. Twice the
 * same edge in a step is one. */
void draft_edge(struct draft *d, int from, int to);

/* The same with its weight, which no rule changes: all edges of a draft have one, or none has. */
void draft_weighted_edge(struct draft *d, int from, int to, double weight);

/* From now on edges may go one way: a file says it at its head. */
void draft_set_directed(struct draft *d);

/* Every step is drawn: each of the draft's steps, a matching, takes part with its probability, and
 * each active edge has the weight alpha. [steps], copied. */
void draft_set_active(struct draft *d, const double *probability, double alpha);

int draft_nodes(const struct draft *d);
bool draft_is_connected(const struct draft *d); /* by the edges of all steps so far */
void draft_clear(struct draft *d);              /* no edges, no steps */

/* The edges of all steps so far, borrowed until the next one comes; returns how many. */
int64_t draft_edges(const struct draft *d, const struct edge **list);

/* Another member's graph in this draft, for members that begin with one; fatal when it is directed,
 * when it has several steps, or when it is not connected. */
void draft_build_base(struct draft *d, const char *name, const struct topology_options *o);

#endif
