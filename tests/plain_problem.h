/* What problems of the tests have in common: weights that begin at zero, a stream that knows its
 * worker, ten steps of which the second half finishes the gradient, no statistics. */
#ifndef TESTS_PLAIN_PROBLEM_H
#define TESTS_PLAIN_PROBLEM_H

#include "problem/problem.h"

struct stream {
    int worker;
};

enum { PLAIN_STEPS = 10 };

void plain_initialise(struct problem *p, float *w);
struct stream *plain_stream_open(struct problem *p, int worker, int workers);
void plain_stream_close(struct problem *p, struct stream *s);
double plain_stream_wait_s(const struct stream *s);
double plain_step_share(const struct problem *p, int step);
int64_t plain_final_from(const struct problem *p, int step);
void plain_statistics(struct problem *p, struct weights w, int shard, int shards, double *sums,
                      void (*progress)(void *), void *self);
void plain_finish_statistics(const struct problem *p, const double *sums, float *statistics);

#endif
