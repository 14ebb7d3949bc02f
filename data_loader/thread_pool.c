/* Callers put a job into a list; threads take things from the first that has any left. A thing
 * costs two locks: some 100 ns where nobody waits, against 30 us and more for an image. */
#include "data_loader/thread_pool.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

struct job {
    void (*make)(void *of, int64_t i, int hand);
    void *of;
    int64_t count, begun, done;
    struct job *after;
};

struct helper {
    struct thread_pool *pool;
    int hand;
    pthread_t thread;
};

struct thread_pool {
    int threads;
    struct helper *helpers; /* [threads - 1] */
    struct job *jobs;       /* the oldest first */
    bool leave;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
};

/* With the lock, which is given back meanwhile. */
static void make_one(struct thread_pool *t, struct job *job, int hand)
{
    int64_t i = job->begun++;
    pthread_mutex_unlock(&t->lock);
    job->make(job->of, i, hand);
    pthread_mutex_lock(&t->lock);
    if (++job->done == job->count)
        pthread_cond_broadcast(&t->done);
}

static struct job *open_job(const struct thread_pool *t)
{
    struct job *job = t->jobs;
    while (job && job->begun == job->count)
        job = job->after;
    return job;
}

static void *help(void *argument)
{
    struct helper *h = argument;
    struct thread_pool *t = h->pool;
    pthread_mutex_lock(&t->lock);
    while (!t->leave) {
        struct job *job = open_job(t);
        if (job)
            make_one(t, job, h->hand);
        else
            pthread_cond_wait(&t->work, &t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* The program's signals are for the thread that steps. */
static void start(struct helper *h)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&h->thread, NULL, help, h);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    CHECK(!error, "no thread to decode images: %s", strerror(error));
}

struct thread_pool *thread_pool_open(int threads)
{
    assert(threads > 0);
    struct thread_pool *t = xcalloc(1, sizeof *t);
    *t = (struct thread_pool){.threads = threads,
                              .helpers = xcalloc((size_t)threads, sizeof *t->helpers)};
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->work, NULL);
    pthread_cond_init(&t->done, NULL);
    for (int i = 0; i < threads - 1; i++) {
        t->helpers[i] = (struct helper){.pool = t, .hand = i + 1};
        start(&t->helpers[i]);
    }
    return t;
}

void thread_pool_close(struct thread_pool *t)
{
    pthread_mutex_lock(&t->lock);
    t->leave = true;
    pthread_cond_broadcast(&t->work);
    pthread_mutex_unlock(&t->lock);
    for (int i = 0; i < t->threads - 1; i++)
        pthread_join(t->helpers[i].thread, NULL);
    pthread_cond_destroy(&t->done);
    pthread_cond_destroy(&t->work);
    pthread_mutex_destroy(&t->lock);
    xfree(t->helpers);
    xfree(t);
}

int thread_pool_threads(const struct thread_pool *t)
{
    return t->threads;
}

void thread_pool_run(struct thread_pool *t, int64_t count,
                     void (*make)(void *of, int64_t i, int hand), void *of)
{
    struct job job = {.make = make, .of = of, .count = count}, **last = &t->jobs;
    pthread_mutex_lock(&t->lock);
    while (*last)
        last = &(*last)->after;
    *last = &job;
    if (count > 1)
        pthread_cond_broadcast(&t->work);
    while (job.begun < count)
        make_one(t, &job, 0);
    while (job.done < count)
        pthread_cond_wait(&t->done, &t->lock);
    for (last = &t->jobs; *last != &job;)
        last = &(*last)->after;
    *last = job.after;
    pthread_mutex_unlock(&t->lock);
}
