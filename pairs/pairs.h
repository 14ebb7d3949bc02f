/* Atomic averages of two neighbours' weights, while both compute: x_i, x_j <- (x_i + x_j) / 2.
 *
 * On a bipartite graph one side is active, the other passive. An active worker sends its weights to
 * a passive neighbour; that one takes the average and answers with it. It is asked by one at a
 * time, so its average is of the weights that it has and of those that were sent. The active worker
 * goes on, and moves by what the average lies from what it sent: x_i += average - sent. So both
 * take the same average, its steps since then are added to it, and the pair's sum stays as it was,
 * to rounding.
 *
 * Nobody waits for a neighbour, but at the end: a passive worker answers between two units, in
 * delays, and at once when it waits; who has memory for no more answers lets others ask until one
 * is read, which an active one does between two units. An active one with an exchange under way
 * begins no other. A mini-batch reads the weights it began with: what averages change meanwhile
 * lies in another vector. Lian, Zhang, Zhang, Liu ICML 2018, arXiv:1710.06952. */
#ifndef PAIRS_PAIRS_H
#define PAIRS_PAIRS_H

#include "gossip/gossip.h"

enum {
    PAIRS_ANSWERS = NODE_WAKES, /* that a passive worker may have lent at a time */
    PAIRS_VECTORS = 3
};

struct pairs {
    struct node *n;
    const struct topology *graph;
    struct topology *own;         /* the same, where it is not the process's */
    struct neighbour *step;       /* [degree] */
    int *neighbours, count;       /* over all steps, which are all on the other side */
    bool *left;                   /* [count] passive: of each, has it said that it asks no more? */
    bool active, computing;       /* computing: n->w must stay as it is */
    float *x;                     /* the weights: n->w, unless averages came since it computes */
    float *vector[PAIRS_VECTORS]; /* x, n->w and sent are of these; a passive worker has two */
    int64_t averages;             /* that it has taken */
    struct request *wake[NODE_WAKES];

    const float *sent; /* active: what lies at the partner; NULL: no exchange is under way */
    struct request *sending, *answer;
    int partner; /* its rank */
    int64_t step_sent;

    struct request *asked;               /* passive: the receive of the next vector */
    struct request *lent[PAIRS_ANSWERS]; /* the sends of answers */
    float *lent_vector[PAIRS_ANSWERS];
    int present; /* neighbours that may still ask */
};

/* Fatal when the options' graph is not bipartite: why, and the nearest that is; and when an option
 * has no effect. */
void pairs_check(const struct options *o, int workers);

/* From now on until pairs_close() the node's interrupt is this module's. */
struct pairs *pairs_open(struct node *n);

/* Active: an exchange with a neighbour of that step, drawn by the seed, begins, if it has any and
 * none is under way. */
void pairs_begin(struct pairs *p, int64_t step);

/* A batch at the weights as they are now, under which averages may come. Then n->w is the newest,
 * and may be stepped. Cost of an average: passive a sum and a copy, active a sum or a copy; one
 * more copy where the batch ends first. */
void pairs_batch(struct pairs *p);

/* Waits for this request of `rank`, and answers meanwhile. */
void pairs_await(struct pairs *p, struct request *const *request, const char *what, int rank);

/* Tells the neighbours, answers until theirs are done, and waits until all is read. */
void pairs_close(struct pairs *p);

#endif
