/* The ring's state is two numbers under one lock: `held`, the oldest thing that must stay, and
 * `next`, the first that is not made. The thread may write slot next % slots, outside the lock,
 * while next < held + slots: nobody else looks at it. A restart moves both and counts itself, so
 * that what was under way then is thrown away when it is done; the caller waits for the thread in
 * any case, so no slot is ever written and read at once. */
#include "data_loader/prefetch.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

struct prefetch {
    void (*make)(void *of, int64_t index, int slot);
    void *of;
    int slots;
    int64_t held, next;
    uint64_t restarts;
    bool leave;
    pthread_mutex_t lock;
    pthread_cond_t room, made;
    pthread_t thread;
};

static void *work(void *argument)
{
    struct prefetch *p = argument;
    pthread_mutex_lock(&p->lock);
    while (!p->leave) {
        if (p->next >= p->held + p->slots) {
            pthread_cond_wait(&p->room, &p->lock);
            continue;
        }
        int64_t index = p->next;
        uint64_t restarts = p->restarts;
        pthread_mutex_unlock(&p->lock);
        p->make(p->of, index, (int)(index % p->slots));
        pthread_mutex_lock(&p->lock);
        if (restarts == p->restarts) {
            p->next++;
            pthread_cond_signal(&p->made);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* The program's signals are for the thread that steps: this one takes none. */
static void start(struct prefetch *p)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&p->thread, NULL, work, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    CHECK(!error, "no thread for the data loader: %s", strerror(error));
}

struct prefetch *prefetch_open(int slots, void (*make)(void *of, int64_t index, int slot), void *of)
{
    assert(slots > 0);
    struct prefetch *p = xcalloc(1, sizeof *p);
    *p = (struct prefetch){.make = make, .of = of, .slots = slots};
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->room, NULL);
    pthread_cond_init(&p->made, NULL);
    start(p);
    return p;
}

void prefetch_close(struct prefetch *p)
{
    pthread_mutex_lock(&p->lock);
    p->leave = true;
    pthread_cond_signal(&p->room);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->made);
    pthread_cond_destroy(&p->room);
    pthread_mutex_destroy(&p->lock);
    xfree(p);
}

int prefetch_take(struct prefetch *p, int64_t index)
{
    assert(index >= 0);
    pthread_mutex_lock(&p->lock);
    if (index < p->held || index > p->next) {
        p->next = index;
        p->restarts++;
    }
    p->held = index;
    pthread_cond_signal(&p->room);
    while (p->next <= index)
        pthread_cond_wait(&p->made, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return (int)(index % p->slots);
}
