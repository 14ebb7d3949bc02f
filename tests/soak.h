/* One simulated run under faults that its seed draws, with what must hold in it.
 *
 * The run is made in a child process. What is judged:
 *
 *   end        it ends well with all the samples it was asked for, or, where a rank is silent for
 *              longer than the deadline, it names that rank (exit code 5); never later than
 *              SOAK_MOST_S seconds of the real clock, never by another code: a deadlock, a request
 *              that is left open, a message that nobody reads end a simulated run with 3
 *   pass       each worker computes its mini-batches one after the other: none is left out
 *   once       of each mini-batch at most one push is used, and as many are used as were counted
 *   account    what was computed is used, or dropped and counted so, or lost with its worker
 *   push       in a synchronous scheme a worker pushes once a version
 *   version    of what one rank sends another, versions never fall
 *   order      a synchronous scheme has the bits of the run without faults: it sums in worker order
 *   stale      no gradient is staler than the scheme's bound
 *   slices     servers in lockstep have used the same pushes */
#ifndef TESTS_SOAK_H
#define TESTS_SOAK_H

#include "scheme/scheme.h"
#include "tests/option_list.h"

enum { SOAK_DEADLINE_S = 10, SOAK_LETHAL_S = 60, SOAK_MOST_S = 60 };

struct soak_case {
    uint64_t seed;
    const struct scheme *scheme;
    struct option_list words;
    struct faults faults;
    int workers, servers;
    bool together; /* ranks evaluate by messages */
    bool races;    /* an option of it gives up the scheme's bound, and lockstep */
};

void soak_draw(struct soak_case *c, uint64_t seed, const struct scheme *scheme);

/* Runs it in a child. True: all holds. Else, or if `verbose`, prints the case, the faults, what is
 * wrong, and the command that repeats it. */
bool soak_try(const struct soak_case *c, bool verbose);

/* Does this run break that invariant? */
bool soak_breaks(const struct soak_case *c, const char *invariant);

#endif
