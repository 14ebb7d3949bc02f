/* CHOCO-SGD's estimates, for exchanges through a codec (Koloskova, Stich, Jaggi ICML 2019,
 * arXiv:1902.00340, algorithm 2).
 *
 * Each worker keeps an estimate of its own vector and of each neighbour's, which all that keep one
 * have alike: it is the sum of what was sent.
 *
 *   q_i = Q(x_i - e_i);   e_j <- e_j + q_j for itself and each neighbour
 *   x_i <- x_i + gamma sum over neighbours j of W_ij (e_j - e_i)        (gossip.c)
 *
 * W is symmetric, so the mean is kept whatever Q leaves out. A codec that remembers what it leaves
 * out is given the move since the last message: with what it has left that is x_i - e_i again.
 * Memory: a vector for each neighbour, and three. The graph must stay the same. */
#ifndef GOSSIP_CHOCO_H
#define GOSSIP_CHOCO_H

#include "node/node.h"

struct choco;

/* All estimates begin as `start`, [count], the same at all workers. `others`: neighbours. */
struct choco *choco_open(struct node *n, int64_t count, const struct codec *codec,
                         const float *start, int others);
void choco_close(struct choco *c); /* NULL is fine */

size_t choco_bytes(const struct choco *c); /* of every message */

/* The message of x, lent until the call after the next one; this worker's estimate has it. */
const void *choco_pack(struct choco *c, const float *x);
/* Adds the message of the k-th neighbour to its estimate, which it returns. A message that is none
 * ends the run. */
const float *choco_take(struct choco *c, int k, const void *message, int rank);
const float *choco_own(const struct choco *c); /* this worker's estimate */

#endif
