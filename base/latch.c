#include "base/latch.h"

#include <errno.h>
#include <time.h>

enum { SECOND_NS = 1000000000 };

void latch_begin(struct latch *l)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&l->lock, NULL);
    l->is_open = false;
}

void latch_end(struct latch *l)
{
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
}

void latch_open(struct latch *l)
{
    pthread_mutex_lock(&l->lock);
    l->is_open = true;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

bool latch_wait(struct latch *l, int64_t until_ns)
{
    const struct timespec until = {.tv_sec = until_ns / SECOND_NS, .tv_nsec = until_ns % SECOND_NS};
    int error = 0;
    pthread_mutex_lock(&l->lock);
    while (!l->is_open && error != ETIMEDOUT)
        error = pthread_cond_timedwait(&l->changed, &l->lock, &until);
    bool opened = l->is_open;
    pthread_mutex_unlock(&l->lock);
    return opened;
}
