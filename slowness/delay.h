/* Slowness as configuration: how long a worker is held up at a mini-batch.
 *
 * A delay is a pure function of (seed, worker, mini-batch), so that every scheme meets the same
 * stragglers. It stands after the gradient and before the push, and can be interrupted. A speed
 * factor is different: it stretches the computing itself. */
#ifndef SLOWNESS_DELAY_H
#define SLOWNESS_DELAY_H

#include <stdint.h>

enum { DELAY_TERMS = 8, SLOW_WORKERS = 64 };

struct delay_term {
    int kind;    /* its place in slowness/delay.c's table */
    double a, b; /* seconds, or what the kind says */
    int worker;  /* only this rank; -1: all */
};

/* What --delay says, parsed: terms add up. "constant:0.1" every mini-batch 0.1 s;
 * "gaussian:0.06,0.005" mean, deviation (floor 0); "exponential:0.1" mean; "pareto:0.05,1.5"
 * smallest, shape; "uniform:0,0.2" from, to; "stall:0.01,30" probability, seconds. "@3" behind a
 * term: rank 3 alone. Several terms: separated by ";". Empty: none. */
struct delay {
    struct delay_term term[DELAY_TERMS];
    int terms;
};

/* fatal on what it does not know, with the forms it does */
struct delay delay_parse(const char *text, int ranks);

/* Seconds that `rank` is held up at its mini-batch number `index`; never negative, never NaN. */
double delay_at(const struct delay *d, uint64_t seed, int rank, int64_t index);
/* expected seconds a mini-batch; INFINITY for a Pareto shape <= 1 */
double delay_mean(const struct delay *d, int rank);

/* How long a mini-batch's computing takes, as a multiple of its mean: log-normal, of mean 1 and
 * standard deviation `scatter` (0: always 1), a pure function of its key like a delay. Log-normal
 * since times are never negative and lean to the right: the work has a least time, and what else
 * the machine does comes on top; and since one number, which is easily measured, says all of it. */
double jitter_at(double scatter, uint64_t seed, int rank, int64_t index);

/* What --slow says: "3=4.0,4=2" rank 3 takes 4 times as long as it would, rank 4 twice. Factors >=
 * 1, ranks < ranks. */
struct slowness {
    double factor[SLOW_WORKERS];
    int rank[SLOW_WORKERS], count;
};

struct slowness slowness_parse(const char *text, int ranks);
double slowness_of(const struct slowness *s, int rank); /* 1 unless named */

/* What --depart says: "3=40" rank 3 leaves after its 40th mini-batch, and the others go on. */
struct departures {
    double minibatches[SLOW_WORKERS];
    int rank[SLOW_WORKERS], count;
};

struct departures departures_parse(const char *text, int ranks);
double departure_of(const struct departures *l, int rank); /* INFINITY unless named */

#endif
