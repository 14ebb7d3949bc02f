/* How a loop is given to threads: in chunks, more than threads, each taken when a thread is free.
 * Cores are never equally fast (another program has one of them for a moment, a laptop has small
 * ones), and in equal parts all threads would wait for the slowest. Which thread computes a chunk
 * must not change a bit of its result. */
#ifndef BACKEND_ONEDNN_CHUNKS_H
#define BACKEND_ONEDNN_CHUNKS_H

#include <stdint.h>

enum { CHUNKS = 8 }; /* for each thread */

static inline int most_chunks(int threads)
{
    return threads > 1 ? CHUNKS * threads : 1;
}

/* Into how many chunks to cut a loop of `units`: at least `least` units each, if there are so
 * many. */
static inline int chunks_of(int64_t units, int least, int threads)
{
    int64_t chunks = units / least;
    chunks = chunks < most_chunks(threads) ? chunks : most_chunks(threads);
    return chunks < 1 ? 1 : (int)chunks;
}

/* Where chunk `i` begins, and the one before it ends. */
static inline int64_t chunk_at(int64_t units, int chunks, int i)
{
    return units * i / chunks;
}

#endif
