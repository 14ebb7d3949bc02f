/* A worker that steps for itself, and pushes what its step has moved: the server adds that, so both
 * move by one rule, whatever it is and however seldom they meet (--compress may change what the
 * server gets). For ssp and downpour. */
#ifndef SCHEME_OWN_STEP_H
#define SCHEME_OWN_STEP_H

#include "node/node.h"

struct own_step {
    struct optimizer *optimizer; /* --optimizer's rule over all of w, with the worker's own state */
    float *before;               /* the weights before the step */
};

/* Such a worker seldom asks for weights, so it hears of the end by a message: node_hear_end(). Its
 * server calls ps_announce_end(). */
struct own_step own_step_open(struct node *n);
void own_step_close(struct own_step *s, struct node *n);

/* w <- w + part x the step by the mean gradient of the batch in n->sum. What was added is written
 * to `move`, [n->count], or, if `sums`, added to it. Cost: the step, a copy, one or two sums. */
void own_step_move(struct own_step *s, struct node *n, double part, float *move, bool sums);

#endif
