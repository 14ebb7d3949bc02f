/* Experiments on a problem of the program's own, usually the quadratic toy, and how far two of them end apart. */
#ifndef TESTS_TOY_H
#define TESTS_TOY_H

#include "tests/lab.h"
#include "tests/words.h"

/* Opens the problem that the words name, runs the experiment on it; experiment_close() when done. */
void toy_run(struct experiment *e, struct words *w);

/* The greatest difference between two ends, relative to the greatest weight. */
double toy_apart(const struct outcome *a, const struct outcome *b);

#endif
