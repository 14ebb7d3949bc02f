/* The thread that prepares mini-batches ahead: it changes no bit, sleeps when its ring is full, and
 * can be stopped at any time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/random.h"
#include "data_loader/data_loader.h"
#include "data_loader/prefetch.h"
#include "tests/dataset_fixture.h"

enum { SIZE = FIXTURE_IMAGE };

/* Mostly the next, sometimes the same, one before, one of the prepared ones, or anywhere. */
static int64_t wander(int64_t index, struct random *r)
{
    switch (random_below(r, 12)) {
    case 0:
    case 1:
        return index;
    case 2:
        return index ? index - 1 : 0;
    case 3:
        return index + 2 + (int64_t)random_below(r, 5);
    case 4:
        return (int64_t)random_below(r, 1000);
    default:
        return index + 1;
    }
}

static void preparing_ahead_changes_no_bit(void **state)
{
    (void)state;
    enum { BATCH = 6, STEPS = 1500 };
    struct dataset d = dataset_fixture_random(50);
    float *scratch = xcalloc(BATCH * SIZE, sizeof *scratch);
    for (int prefetch = 1; prefetch <= 5; prefetch++) {
        struct loader_options o = {.batch = BATCH,
                                   .seed = 3,
                                   .worker = 1,
                                   .workers = 3,
                                   .augment = true,
                                   .scratch = scratch};
        struct loader *now = loader_open(&d, &o);
        o.prefetch = prefetch;
        struct loader *before = loader_open(&d, &o);
        struct random r = random_at(RANDOM_TEST, 11, (uint64_t)prefetch, 0, 0);
        int64_t index = 0;
        for (int step = 0; step < STEPS; step++, index = wander(index, &r)) {
            struct batch a = loader_batch(before, index), b = loader_batch(now, index);
            if (memcmp(a.images, b.images, BATCH * SIZE * sizeof(float)) ||
                memcmp(a.samples, b.samples, BATCH * sizeof(int32_t)) ||
                memcmp(a.labels, b.labels, BATCH * sizeof(int32_t)))
                fail_msg("prefetch %d, step %d: mini-batch %lld differs", prefetch, step,
                         (long long)index);
            if (random_below(&r, 40) == 0)
                usleep(200); /* lets the thread fill its ring */
        }
        loader_close(before);
        loader_close(now);
    }
    xfree(scratch);
    dataset_fixture_close(&d);
}

/* Counts what the thread makes; a slot holds the index that was put there. */
struct works {
    pthread_mutex_t lock;
    int made;
    int64_t slots[4], last;
};

static void make_number(void *of, int64_t index, int slot)
{
    struct works *k = of;
    pthread_mutex_lock(&k->lock);
    k->made++;
    k->slots[slot] = k->last = index;
    pthread_mutex_unlock(&k->lock);
}

/* Waits until `made` things were made, and a moment longer: not one more may come. */
static void assert_made(struct works *k, int made, int64_t last)
{
    int have = -1;
    for (int i = 0; i < 5000 && have < made; i++) {
        usleep(1000);
        pthread_mutex_lock(&k->lock);
        have = k->made;
        pthread_mutex_unlock(&k->lock);
    }
    usleep(20000);
    pthread_mutex_lock(&k->lock);
    assert_int_equal(k->made, made);
    assert_int_equal(k->last, last);
    pthread_mutex_unlock(&k->lock);
}

static void the_thread_fills_its_ring_and_sleeps(void **state)
{
    (void)state;
    struct works k = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct prefetch *p = prefetch_open(4, make_number, &k);
    assert_made(&k, 4, 3); /* before anybody asks */
    for (int i = 0; i < 3; i++)
        assert_int_equal(prefetch_take(p, 0), 0);
    assert_made(&k, 4, 3); /* the same again costs nothing */
    assert_int_equal(prefetch_take(p, 1), 1);
    assert_made(&k, 5, 4); /* one used, one made */
    assert_int_equal(k.slots[prefetch_take(p, 3)], 3);
    assert_made(&k, 7, 6); /* a step over two makes two */
    assert_int_equal(k.slots[prefetch_take(p, 100)], 100);
    assert_made(&k, 11, 103); /* a jump: four anew */
    assert_int_equal(k.slots[prefetch_take(p, 99)], 99);
    assert_made(&k, 15, 102); /* one back: as well */
    prefetch_close(p);
}

static void closing_at_any_time_ends_the_thread(void **state)
{
    (void)state;
    struct dataset d = dataset_fixture_random(40);
    for (int i = 0; i < 200; i++) {
        struct loader *l = loader_open(
            &d, &(struct loader_options){
                    .batch = 8, .seed = 1, .worker = 0, .workers = 1, .prefetch = 1 + i % 3});
        for (int k = 0; k < i % 5; k++)
            loader_batch(l, k * (i % 2 + 1));
        loader_close(l);
    }
    dataset_fixture_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preparing_ahead_changes_no_bit),
        cmocka_unit_test(the_thread_fills_its_ring_and_sleeps),
        cmocka_unit_test(closing_at_any_time_ends_the_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
