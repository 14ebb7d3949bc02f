/* Threads that make many things: each once, by any number of threads and callers. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "data_loader/thread_pool.h"

enum { MOST = 500, CALLERS = 4, HANDS = 9 };

struct things {
    struct thread_pool *pool;
    int made[MOST];
    int busy[HANDS]; /* hands at work */
    int wrong;
};

static void make(void *of, int64_t i, int hand)
{
    struct things *t = of;
    if (hand < 0 || hand >= thread_pool_threads(t->pool) ||
        __atomic_exchange_n(&t->busy[hand], 1, __ATOMIC_SEQ_CST))
        __atomic_store_n(&t->wrong, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&t->made[i], 1, __ATOMIC_SEQ_CST);
    for (volatile int wait = 0; wait < (int)(i % 7) * 50; wait = wait + 1)
        ;
    __atomic_store_n(&t->busy[hand], 0, __ATOMIC_SEQ_CST);
}

static void run(struct thread_pool *pool, int count)
{
    struct things t = {.pool = pool};
    thread_pool_run(pool, count, make, &t);
    if (t.wrong)
        abort();
    for (int i = 0; i < MOST; i++)
        if (t.made[i] != (i < count))
            abort();
}

static void each_thing_is_made_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 8; threads++) {
        struct thread_pool *pool = thread_pool_open(threads);
        for (int count = 0; count <= MOST; count += count < 5 ? 1 : 99)
            run(pool, count);
        thread_pool_close(pool);
    }
}

static void *call(void *pool)
{
    for (int i = 0; i < 50; i++)
        run(pool, 1 + i * 3);
    return NULL;
}

static void several_callers_share_a_team(void **state)
{
    (void)state;
    pthread_t caller[CALLERS];
    struct thread_pool *pool = thread_pool_open(3);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&caller[i], NULL, call, pool), 0);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(caller[i], NULL);
    thread_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_thing_is_made_once),
        cmocka_unit_test(several_callers_share_a_team),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
