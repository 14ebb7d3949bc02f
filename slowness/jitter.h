/* Jitter: how long a mini-batch's computing takes, as a multiple of its mean.
 *
 * Log-normal, of mean 1, because times are never negative and skewed to the right: the work takes a
 * least time, and what else the machine does is added. One number, easily measured, says all of it:
 * standard deviation / mean. A second one says how much of its variance the ranks of a host have in
 * common: a machine's slow moment meets all of them. Both factors are pure functions of a key. */
#ifndef SLOWNESS_JITTER_H
#define SLOWNESS_JITTER_H

#include <stdint.h>

struct jitter {  /* standard deviations of two factors; 0: always 1 */
    double own;  /* drawn for each mini-batch of each rank */
    double host; /* drawn for each period of each host */
};

/* The factors whose product has this deviation, and of whose variance `share` is the host's. */
struct jitter jitter_split(double deviation, double share);

/* of the rank's mini-batch number `index` */
double jitter_at(double deviation, uint64_t seed, int rank, int64_t index);
/* of all mini-batches that the host's ranks begin in that period */
double jitter_host_at(double deviation, uint64_t seed, int host, int64_t period);

#endif
