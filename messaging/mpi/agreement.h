/* The start of a job, before and beside the world's messages: do all ranks mean the same run?
 *
 * Nothing that a differing option could make different is entered before this: it takes MPI and
 * rank 0, and no option. Rank 0 hands a text to all. Each rank tells rank 0 what it holds; rank 0
 * compares that with its own, and answers when all have come and agree. A rank that fails tells
 * rank 0 so instead. All waits look and nap; none is for ever.
 *
 * What is held: lines "name TAB value" or "name TAB value TAB remark". Values are compared, of
 * names that both have; remarks are only shown. Cost: a message a rank to rank 0, and one back. */
#ifndef MESSAGING_MPI_AGREEMENT_H
#define MESSAGING_MPI_AGREEMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct agreement;

struct agreement *agreement_open(void); /* after MPI_Init; waits for all */
void agreement_close(struct agreement *a);

/* Who waits here lets the world go on, and asks it who is gone. */
struct company {
    void (*look)(void *self);
    bool (*is_gone)(void *self, int rank, char *why); /* it will never come; NET_WHY bytes of why */
    void *self;
    double patience_s; /* a rank that has not come by then is taken for gone; may be INFINITY */
};

/* Rank 0's `bytes` reach all: elsewhere both are set, the text is to be released. */
int agreement_hand_out(struct agreement *a, const struct company *c, char **text, size_t *bytes,
                       char line[FATAL_LINE]);

/* 0: all hold the same. Else the exit code, and a line to say: rank 0 has it for all of them, the
 * others only when rank 0 is gone. */
int agreement_meet(struct agreement *a, const struct company *c, const char *held,
                   char line[FATAL_LINE]);

/* Another rank than 0: tells rank 0 that this one fails, with this line. Returns when it was not
 * ended for `patience_s`. */
void agreement_report(struct agreement *a, const char *line, double patience_s);

/* The first difference in words; false: none. `theirs` is what `rank` on `host` holds. */
bool agreement_differs(const char *ours, const char *theirs, int rank, const char *host,
                       char line[FATAL_LINE]);

#endif
