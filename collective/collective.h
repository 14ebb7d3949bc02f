/* Sums among the workers (the ranks after the servers), without a server.
 *
 * All workers call each function together, in one order. After collective_sum() every worker's
 * vector holds the same bits, whatever the delays: the order of addition is fixed by the method.
 * --allreduce chooses: direct adds in worker order, as a parameter server does, and gives its bits;
 * ring, vendor and nccl equal it to rounding. A method that cannot be used here is replaced by the
 * one that auto takes, and that is said. Waiting is node_wait()'s, so pauses and silence are heard
 * meanwhile.
 *
 * With a codec, direct and ring move packed slices, with error feedback where the codec has it:
 * what a worker leaves out of one sum it adds to its next. The sums travel packed only where
 * weights survive the codec, else as floats. */
#ifndef COLLECTIVE_COLLECTIVE_H
#define COLLECTIVE_COLLECTIVE_H

#include <stdio.h>

#include "node/node.h"
#include "serialization/serialization.h"

struct collective;

/* Fatal when --allreduce names a method that cannot move what the codec packs: before any wait. */
void collective_check(const char *allreduce, const struct codec *codec);

/* For vectors of `count` floats, at least 1. codec NULL: floats travel as they are. */
struct collective *collective_open(struct node *n, int64_t count, const struct codec *codec);
void collective_close(struct collective *c);

/* vector = scale x sum over workers of their vectors, in place; `vector` lies in memory of
 * net_alloc(). */
void collective_sum(struct collective *c, float *vector, double scale);

const char *collective_name(
    const struct collective *c); /* "direct", "ring", "vendor" or "nccl": what auto chose */
void collective_version(char *text, size_t size); /* the methods that are built in, in words */

const char *collective_names(void); /* of all methods, built in or not: "direct|ring|vendor|nccl" */
void collective_list(FILE *to);     /* for --help: name, line, paper of those that are built in */

#endif
