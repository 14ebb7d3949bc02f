/* How a loop is dealt to threads: in shares, more than threads, each taken when a thread is free.
 * Cores are never equally fast (another program has one of them for a moment, a laptop has small
 * ones), and in equal parts all threads would wait for the slowest. Which thread computes a share
 * must not change a bit of its result. */
#ifndef BACKEND_ONEDNN_CHUNKS_H
#define BACKEND_ONEDNN_CHUNKS_H

#include <stdint.h>

enum { SHARES = 8 }; /* for each thread */

static inline int most_shares(int threads)
{
    return threads > 1 ? SHARES * threads : 1;
}

/* Into how many shares to cut a loop of `units`: at least `least` units each, if there are so
 * many. */
static inline int shares_of(int64_t units, int least, int threads)
{
    int64_t shares = units / least;
    shares = shares < most_shares(threads) ? shares : most_shares(threads);
    return shares < 1 ? 1 : (int)shares;
}

/* Where share `i` begins, and the one before it ends. */
static inline int64_t share_at(int64_t units, int shares, int i)
{
    return units * i / shares;
}

#endif
