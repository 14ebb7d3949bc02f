/* A thread that makes numbered things ahead of need, into a ring of slots.
 *
 * Invariant: thing i lies in slot i % slots. The caller holds one thing, the last that it got; the
 * thread makes the slots - 1 that follow it, in order, and sleeps. Asking for the held one or for a
 * later one that is made costs nothing; asking for any other starts the ring anew there. One caller
 * at a time. */
#ifndef DATA_LOADER_PREFETCH_H
#define DATA_LOADER_PREFETCH_H

#include <stdint.h>

struct prefetch;

/* make(of, index, slot) runs in the thread; the first index that it makes is 0. */
struct prefetch *prefetch_open(int slots, void (*make)(void *of, int64_t index, int slot),
                               void *of);
void prefetch_close(struct prefetch *p);

/* Waits until thing `index` is made and gives its slot, which stays as it is until the next
 * call. */
int prefetch_take(struct prefetch *p, int64_t index);

#endif
