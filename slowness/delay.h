/* Delays: how long a worker is held up at a mini-batch; and the jitter of computing itself.
 *
 * A delay is a pure function of (seed, worker, mini-batch), so that every scheme meets the same
 * stragglers. It comes after the gradient and before the push, and can be interrupted. A speed
 * factor (slowness/speed.h) is different: it stretches the computing. */
#ifndef SLOWNESS_DELAY_H
#define SLOWNESS_DELAY_H

#include <stdint.h>
#include <stdio.h>

enum { DELAY_TERMS = 8 };

struct delay_term {
    int kind;    /* its row in slowness/delay.c's table */
    double a, b; /* the kind's arguments */
    int worker;  /* only this rank; -1: all */
};

/* What --delay says, parsed: terms of "KIND:ARGUMENTS[@RANK]", separated by ';', that add up.
 * Empty: none. */
struct delay {
    struct delay_term term[DELAY_TERMS];
    int terms;
};

/* Fatal on what it does not know, with the forms it does. */
struct delay delay_parse(const char *text, int ranks);
void delay_list(FILE *to); /* the kinds for --help, a line each */

/* Seconds that `rank` is held up at its mini-batch number `index`; never negative, never NaN. */
double delay_at(const struct delay *d, uint64_t seed, int rank, int64_t index);

/* Expected seconds per mini-batch; INFINITY for a Pareto shape <= 1. */
double delay_mean(const struct delay *d, int rank);

/* How long a mini-batch's computing takes, as a multiple of its mean: log-normal, of mean 1 and
 * standard deviation `deviation` (0: always 1), a pure function of its key like a delay. Log-normal
 * because times are never negative and skewed to the right: the work takes a least time, and what
 * else the machine does is added. One number, easily measured, says all of it. */
double jitter_at(double deviation, uint64_t seed, int rank, int64_t index);

#endif
