/* A latch: one thread waits for a time, at most until another opens it. The time is of a clock that
 * nobody sets. */
#ifndef BASE_LATCH_H
#define BASE_LATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct latch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_open;
};

void latch_begin(struct latch *l); /* it is shut */
void latch_end(struct latch *l);   /* nobody waits any more */
void latch_open(struct latch *l);
/* Until it is open (true), or CLOCK_MONOTONIC shows so many nanoseconds. */
bool latch_wait(struct latch *l, int64_t until_ns);

#endif
