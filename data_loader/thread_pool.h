/* Threads that make many independent things at once: images of a mini-batch.
 *
 * Several callers may use one pool; whoever calls works, too. So a pool of one thread is its
 * caller, and T loaders with one pool keep no more than T - 1 threads beside themselves. What is
 * made must not depend on who makes it. */
#ifndef DATA_LOADER_THREAD_POOL_H
#define DATA_LOADER_THREAD_POOL_H

#include <stdint.h>

struct thread_pool;

struct thread_pool *thread_pool_open(int threads);
void thread_pool_close(struct thread_pool *t);
int thread_pool_threads(const struct thread_pool *t);

/* Calls make(of, i, hand) for all 0 <= i < count, in any order, and returns when all are done. Of
 * these calls no two that are under way at once have one `hand`; hands count from 0 to below
 * thread_pool_threads(). */
void thread_pool_run(struct thread_pool *t, int64_t count,
                     void (*make)(void *of, int64_t i, int hand), void *of);

#endif
