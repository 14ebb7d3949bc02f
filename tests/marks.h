/* A problem whose gradients leave marks: at the end the weights say of each mini-batch whether it
 * went in.
 *
 * Worker i's mini-batch k has -1 at one float of its own, and keyed random numbers at the
 * ORDER_FLOATS floats that all have in common: these tell a sum in another order. The second half
 * of the vector is the first one mirrored, so with several servers another one has it. No gradient
 * depends on the weights, so nothing that went in goes out again. */
#ifndef TESTS_MARKS_H
#define TESTS_MARKS_H

#include "problem/problem.h"

enum { MARK_FLOATS = 2048, MARK_WORKERS = 6, MARK_BATCHES = 160, ORDER_FLOATS = 32 };

struct marks {
    int64_t next[MARK_WORKERS]; /* 1 + the greatest mini-batch that was computed */
    int64_t computed;           /* gradients, of all */
    bool gap;                   /* a mini-batch was computed before the one before it */
    bool overflow;              /* one was computed that has no mark of its own */
};

void marks_open(struct problem *p, struct marks *m, uint64_t seed, int minibatch);

/* Where the mark of that mini-batch is, in the first half or in the second one. */
int64_t mark_of(int worker, int64_t index, bool mirrored);

#endif
