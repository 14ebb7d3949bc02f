/* The kinds of problems; each fills a struct problem. */
#ifndef PROBLEM_KINDS_H
#define PROBLEM_KINDS_H

#include "problem/problem.h"

/* A network that classifies images: model, backend, data set, loaders. */
void image_open(struct problem *p, const struct problem_options *o);

/* A network's size and steps without its arithmetic: its gradients are zero, it learns nothing and
 * needs no data. What a simulated run takes is that of the network. */
void timing_open(struct problem *p, const struct problem_options *o);

/* f(w) = 1/2 sum_i a_i (w_i - t_i)^2, its gradient with keyed noise; 1,000 floats. For the
 * simulator, where learning is not the point. */
void quadratic_open(struct problem *p, const struct problem_options *o);

#endif
