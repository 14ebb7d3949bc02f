/* Slow moments of links: what --link-delay and --link-burst say.
 *
 * A rank's link is what it shares with nobody on the way to other hosts. Numbers are keys: of the
 * payloads of a link, those that leave and those that come, in the order in which they set out; or
 * of blocks of the clock. A delay holds a payload back, and with it what follows it from the same
 * sender with the same tag. In a burst the link has its bandwidth divided, in both directions. */
#ifndef SLOWNESS_LINK_H
#define SLOWNESS_LINK_H

#include <stdint.h>

#include "slowness/delay.h"

struct link_burst {
    double probability, factor;
    int64_t length; /* numbers for which it is drawn once */
    int rank;       /* -1: all */
};

struct link_slowness {
    struct delay delay;
    struct link_burst burst[DELAY_TERMS];
    int bursts;
};

/* "P,FACTOR,LENGTH[@RANK]", several separated by ';'. Empty: none. Fatal on what it does not
 * know. */
struct link_slowness link_slowness_parse(const char *delay, const char *burst, int ranks);

/* What the bandwidth of a rank's link is divided by at that number, at least 1; a pure function. */
double link_factor_at(const struct link_slowness *l, uint64_t seed, int rank, int64_t index);

#endif
