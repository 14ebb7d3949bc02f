/* DropCompute: its options, and how it chooses its time limit. */
#ifndef SCHEME_DROPCOMPUTE_H
#define SCHEME_DROPCOMPUTE_H

#include "scheme/scheme.h"

struct dropcompute_options {
    const char *tau, *divide;
    int64_t steps;
    double most; /* part of the mini-batches that auto may drop */
};

extern const struct option_set dropcompute_option_set;

void dropcompute_check(const struct options *o, int workers);
double dropcompute_tau_of(const struct options *o); /* NAN: auto */

/* The tau that would have given the most mini-batches a second in these steps, among those that
 * keep the part `least` of them: the greatest
 *
 *   kept(tau) / sum over steps of (min(tau, the slowest worker's time) + the sum's time)
 *
 * The greatest of several that are as good. seconds[steps][workers][minibatches + 1]: from a step's
 * beginning until each mini-batch was done, then those of summing; the worker that came last to a
 * sum has waited least, and its time is the sum's. */
double dropcompute_tau(const float *seconds, int steps, int workers, int minibatches, double least);

#endif
