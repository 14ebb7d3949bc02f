/* Experiments on a problem of the program's own, usually the quadratic toy, and how far two of them
 * end apart. */
#ifndef TESTS_QUADRATIC_H
#define TESTS_QUADRATIC_H

#include "tests/scheme_harness.h"
#include "tests/option_list.h"

/* Opens the problem that the words name, runs the experiment on it; experiment_close() when
 * done. */
void quadratic_run(struct experiment *e, struct option_list *w);

/* The greatest difference between two ends, relative to the greatest weight. */
double quadratic_difference(const struct outcome *a, const struct outcome *b);

#endif
