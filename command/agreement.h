/* What the ranks of a job must have in common before anything is exchanged that it decides. */
#ifndef COMMAND_AGREEMENT_H
#define COMMAND_AGREEMENT_H

#include "base/options.h"
#include "problem/problem.h"

/* The program, byte order, sizes of types, where hosts are pretended, the data set that is found,
 * and each option that is not a rank's own affair (OPTION_OWN). */
void agree_on_options(const struct options *o);

/* That no rank has refused an option of its own. */
void agree_to_begin(const struct options *o);

/* Of an open problem: how many images, classes and weights there are, the digest of all images, and
 * of the weights of --init, where they are served. */
void agree_on_data(const struct problem *p);

#endif
