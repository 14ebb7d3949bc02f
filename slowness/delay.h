/* Delays: how long a worker is held up at a mini-batch.
 *
 * A delay is a pure function of (seed, worker, number). It comes after the gradient and before the
 * push. A signal can interrupt it, unless its term ends in '!': then the process stands still, and
 * neither hears nor pushes. A speed factor (slowness/speed.h) is different: it stretches the
 * computing.
 *
 * What counts the numbers is the key. By attempts, a worker's n-th mini-batch begun meets delay n:
 * a scheme that drops mini-batches draws more of them. By the clock, a worker's machine is there
 * for a block of seconds, held up for delay 0, there for a block, held up for delay 1, and so on,
 * whatever the worker does: all schemes meet the same slow moments, and what falls into a wait
 * passes unnoticed. */
#ifndef SLOWNESS_DELAY_H
#define SLOWNESS_DELAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/random.h"

enum { DELAY_TERMS = 8 };

#define DELAY_SHORTEST_BLOCK_S 1e-6

struct delay_term {
    int kind;           /* its row in slowness/delay.c's table */
    double argument[3]; /* the kind's */
    int worker;         /* only this rank; -1: all */
    bool standstill;    /* nothing interrupts it */
};

/* What --delay says, parsed: terms of "KIND:ARGUMENTS[!][@RANK]", separated by ';', that add up.
 * Empty: none. */
struct delay {
    struct delay_term term[DELAY_TERMS];
    int terms;
    enum random_purpose purpose; /* whose draws they are */
};

/* Fatal on what it does not know, with the forms it does. */
struct delay delay_parse(const char *text, int ranks);
/* The same of --link-delay (slowness/link.h), which has no '!': nothing interrupts a link. */
struct delay delay_parse_links(const char *text, int ranks);
void delay_list(FILE *to); /* the kinds for --help, a line each */

/* Seconds of delay number `index` of `rank`, by the terms that can be interrupted or by those that
 * cannot; never negative, never NaN. */
double delay_at(const struct delay *d, uint64_t seed, int rank, int64_t index, bool standstill);

/* How far a rank has come in the delays that are keyed by the clock; zero at first. */
struct delay_course {
    int64_t next;   /* delay number `next` is not over yet */
    double there_s; /* of the clock: the one before it was over then */
};

/* Keyed by the clock, with blocks of `block_s`: seconds that a mini-batch is held up which begins
 * at `clock_s` and computes for `compute_s`. The clock does not run backward from call to call.
 * Cost: one delay_at() for each delay since the last call. */
double delay_course_at(const struct delay *d, uint64_t seed, int rank, bool standstill,
                       struct delay_course *course, double block_s, double clock_s,
                       double compute_s);

/* Expected seconds per mini-batch; INFINITY for a Pareto shape <= 1. */
double delay_mean(const struct delay *d, int rank);

#endif
