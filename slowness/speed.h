/* Speed factors and departures: what --slow and --depart say. */
#ifndef SLOWNESS_SPEED_H
#define SLOWNESS_SPEED_H

enum { SLOW_WORKERS = 64 };

/* "3=4.0,4=2": rank 3 computes 4 times as long as it would, rank 4 twice. Factors >= 1. */
struct slowness {
    double factor[SLOW_WORKERS];
    int rank[SLOW_WORKERS], count;
};

struct slowness slowness_parse(const char *text, int ranks); /* fatal on what it does not know */
double slowness_of(const struct slowness *s, int rank);      /* 1 unless named */

/* "3=40": rank 3 departs after its 40th mini-batch, and the others go on. */
struct departures {
    double minibatches[SLOW_WORKERS];
    int rank[SLOW_WORKERS], count;
};

struct departures departures_parse(const char *text, int ranks);
double departure_of(const struct departures *d, int rank); /* INFINITY unless named */

#endif
