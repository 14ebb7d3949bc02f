/* A thread's place among the threads of a parallel region, and its part of what there is to do. */
#ifndef BACKEND_OPENBLAS_TEAM_H
#define BACKEND_OPENBLAS_TEAM_H

#include <stdint.h>

#include "backend/nhwc.h"

/* first .. last-1 */
struct span {
    int64_t first, last;
};

static inline int64_t span_length(struct span s)
{
    return s.last - s.first;
}

static inline struct span span_part(struct span s, int part, int parts)
{
    int64_t length = span_length(s);
    return (struct span){s.first + nhwc_part(length, part, parts),
                         s.first + nhwc_part(length, part + 1, parts)};
}

static inline struct span span_of(int64_t length, int part, int parts)
{
    return span_part((struct span){0, length}, part, parts);
}

/* Thread `rank` of the `size` threads of team `team`. */
struct place {
    int thread, team, rank, size;
};

static inline struct place place_of(int thread, int threads, int teams)
{
    int size = threads / teams;
    return (struct place){thread, thread / size, thread % size, size};
}

/* Waits for the team. The barrier is that of all threads, so all of them must come here equally
 * often, whatever their team. */
static inline void meet(struct place p)
{
    if (p.size > 1) {
#pragma omp barrier
    }
}

/* What a thread does in a call. */
typedef void team_work(const void *call, int thread);

/* Runs work(call, 0 .. threads-1) on as many threads, in which BLAS stays on the thread that calls
 * it. */
void team_run(int threads, team_work *work, const void *call);

#endif
