/* Two runs on the quadratic that are the same by theory. */
#ifndef TESTS_SPECIAL_CASE_H
#define TESTS_SPECIAL_CASE_H

#include "tests/quadratic.h"

static const double rounding = 1e-5;
#define DELAYS "delay=exponential:0.05"

struct twin {
    const char *scheme, *options; /* "name=value name=value" */
};

/* Plain SGD, 12 batches a worker, unless the options say otherwise. */
void run_special_case(struct experiment *e, const char *scheme, int workers, int minibatches,
                      const char *more);

/* How far the two end apart; they use equally many samples. */
double apart(struct twin a, struct twin b, int workers, int minibatches);

#endif
