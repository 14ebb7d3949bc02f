/* Push-sum: what workers mix is x with a weight; what they compute with is z = x / weight.
 *
 * A sender splits what it has among its targets, so columns of W add to 1, and the sums over all
 * workers (with what is under way) of x and of the weights stay as they are, on directed graphs,
 * too, where a receiver's shares need not add to 1. Kempe, Dobra, Gehrke FOCS 2003. */
#ifndef SCHEME_PUSH_SUM_H
#define SCHEME_PUSH_SUM_H

#include "gossip/gossip.h"
#include "parameter_server/parameter_server.h"

struct push_sum {
    struct node *n; /* n->w is z */
    struct ps_client *ps;
    struct gossip *neighbours;
    struct optimizer *optimizer;
    float *x;
    double weight;
};

/* Pulls the first weights. `room`: vectors, [n->count] each of net_alloc()'s memory, that it fills
 * `vectors` with; the first one is x. *training: false, it is over. */
struct push_sum push_sum_open(struct node *n, float **vectors, int room, bool *training);
void push_sum_close(struct push_sum *k, float *const *vectors, int room);

/* Called when k is where it stays: what a checkpoint holds, "worker.x" and "worker.push_sum" among
 * it. With another number of workers each begins with x = z, so the weights' sum is theirs. */
void push_sum_keep(struct push_sum *k);

/* A batch at z, and a step of x by it. */
void push_sum_step(struct push_sum *k);

/* z = x / weight; reports to rank 0, and waits for it. False: training is over. */
bool push_sum_report(struct push_sum *k);

#endif
