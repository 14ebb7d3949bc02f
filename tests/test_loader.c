/* The loader: shards, orders, mini-batches and what they cost. The thread that prepares them ahead
 * is in test_prefetch.c. A failure prints the case that repeats it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "data_loader/data_loader.h"
#include "data_loader/kinds.h"
#include "tests/dataset_fixture.h"

enum { SIZE = FIXTURE_IMAGE };

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Reads worker's stream up to `end`, now and then asking again for the last mini-batch or for an
 * earlier one, as aborted ones are; what a mini-batch holds must not change. seen[pass][sample]
 * counts each mini-batch once. */
static void walk(struct loader *l, int batch, int64_t passes, int count, int *seen,
                 struct random *r)
{
    int64_t shard = loader_shard(l), end = (passes * shard + batch - 1) / batch;
    int32_t *stream = xcalloc((size_t)(end * batch), sizeof *stream);
    for (int64_t done = 0, met = 0; done < end;) {
        int64_t index = random_below(r, 3)
                            ? done
                            : done - (int64_t)random_below(r, done < 5 ? (uint64_t)done + 1 : 5);
        struct batch b = loader_batch(l, index);
        if (index < met)
            assert_memory_equal(b.samples, stream + index * batch, (size_t)batch * sizeof *stream);
        memcpy(stream + index * batch, b.samples, (size_t)batch * sizeof *stream);
        met = index < met ? met : index + 1;
        /* else: it was aborted, and is asked for again */
        done += index == done && random_below(r, 4);
    }
    for (int64_t p = 0; p < passes * shard; p++)
        seen[p / shard * count + stream[p]]++;
    xfree(stream);
}

static void check_passes(const struct dataset *d, int workers, int batch, int prefetch)
{
    enum { PASSES = 3 };
    int count = (int)d->count, *seen = xcalloc(PASSES * (size_t)count, sizeof *seen);
    int64_t sum = 0;
    struct random r = random_at(RANDOM_TEST, (uint64_t)workers, (uint64_t)batch, (uint64_t)count,
                                (uint64_t)prefetch);
    for (int w = 0; w < workers; w++) {
        struct loader *l = loader_open(
            d,
            &(struct loader_options){
                .batch = batch, .seed = 5, .worker = w, .workers = workers, .prefetch = prefetch});
        int64_t shard = loader_shard(l);
        assert_true(shard == count / workers || shard == (count + workers - 1) / workers);
        sum += shard;
        walk(l, batch, PASSES, count, seen, &r);
        loader_close(l);
    }
    assert_int_equal(sum, count);
    for (int i = 0; i < PASSES * count; i++)
        if (seen[i] != 1)
            fail_msg("%d samples, %d workers, batch %d, prefetch %d: sample %d comes %d times in "
                     "pass %d",
                     count, workers, batch, prefetch, i % count, seen[i], i / count);
    xfree(seen);
}

static void each_sample_comes_once_a_pass(void **state)
{
    (void)state;
    const int counts[] = {9, 10, 23, 64, 101}, batches[] = {1, 3, 8, 32};
    for (int k = 0; k < 5; k++) {
        struct dataset d = dataset_fixture_random(counts[k]);
        for (int workers = 1; workers <= 9; workers++)
            for (int b = 0; b < 4; b++)
                check_passes(&d, workers, batches[b], (workers + b) % 3);
        dataset_fixture_close(&d);
    }
}

/* Samples of mini-batches 0 .. n-1 of 10. */
static void read_order(const struct dataset *d, uint64_t seed, int worker, int workers, int n,
                       int32_t *order)
{
    struct loader *l = loader_open(
        d,
        &(struct loader_options){.batch = 10, .seed = seed, .worker = worker, .workers = workers});
    for (int i = 0; i < n; i++)
        memcpy(order + i * 10, loader_batch(l, i).samples, 10 * sizeof *order);
    loader_close(l);
}

static void orders_depend_on_seed_worker_and_pass_alone(void **state)
{
    (void)state;
    struct dataset d = dataset_fixture_random(200);
    int32_t first[200], again[200], other[200];
    read_order(&d, 1, 1, 2, 20, first);
    read_order(&d, 1, 1, 2, 20, again);
    assert_memory_equal(first, again, sizeof first);
    int moved = 0, shared = 0;
    for (int i = 0; i < 100; i++)
        moved += first[i] != first[100 + i];
    assert_true(moved > 90); /* the second pass has another order: one place in a hundred stays */
    read_order(&d, 2, 1, 2, 10, other);
    for (int i = 0; i < 100; i++)
        for (int k = 0; k < 100; k++)
            shared += first[i] == other[k];
    /* another seed deals other shards: half in common, deviation 3.5 */
    assert_in_range(shared, 30, 70);
    dataset_fixture_close(&d);
}

/* Blocks that a device would copy from. */
struct registered {
    char *block;
    size_t bytes;
    int came, went;
};

static void register_block(void *owner, void *block, size_t bytes)
{
    struct registered *t = owner;
    *t = (struct registered){block, bytes, t->came + 1, t->went};
}

static void unregister_block(void *owner, void *block)
{
    struct registered *t = owner;
    t->went++;
    assert_ptr_equal(block, t->block);
}

/* Images of the loader's own lie in registered memory, in whole pages: every mini-batch does. Other
 * memory is not registered. */
static void memory_of_images_is_registered(void **state)
{
    (void)state;
    enum { BATCH = 6, AHEAD = 2, PAGES = 4096 };
    struct dataset d = dataset_fixture_random(50);
    float *scratch = xcalloc(BATCH * SIZE, sizeof *scratch);
    struct registered t = {0};
    struct loader_options o = {.batch = BATCH,
                               .seed = 3,
                               .workers = 1,
                               .prefetch = AHEAD,
                               .register_memory = register_block,
                               .unregister_memory = unregister_block,
                               .memory_owner = &t};
    struct loader *l = loader_open(&d, &o);
    assert_int_equal((uintptr_t)t.block % PAGES, 0);
    assert_int_equal(t.bytes, (AHEAD + 1) * BATCH * SIZE * sizeof(float));
    for (int64_t index = 0; index < 3 * AHEAD; index++) {
        const char *at = (const char *)loader_batch(l, index).images;
        assert_true(at >= t.block && at + BATCH * SIZE * sizeof(float) <= t.block + t.bytes);
    }
    assert_true(t.came == 1 && t.went == 0);
    loader_close(l);
    assert_true(t.came == 1 && t.went == 1);
    o.crops = true;
    loader_close(loader_open(&d, &o));
    o = (struct loader_options){.batch = BATCH,
                                .workers = 1,
                                .scratch = scratch,
                                .register_memory = register_block,
                                .unregister_memory = unregister_block,
                                .memory_owner = &t};
    loader_close(loader_open(&d, &o));
    assert_true(t.came == 1 && t.went == 1);
    xfree(scratch);
    dataset_fixture_close(&d);
}

static void read_one(const struct dataset *d, int64_t i, struct random *draw, uint8_t *image)
{
    (void)draw;
    memcpy(image, (const uint8_t *)d->self + i * SIZE, SIZE);
}

/* A data set that reads its samples one by one gives the bits of one that lies in memory, whoever
 * prepares them; a data set without a mirror is never mirrored. */
static void reading_one_by_one_changes_no_bit(void **state)
{
    (void)state;
    enum { BATCH = 6, STEPS = 100 };
    static const struct dataset_kind reads = {.name = "reads", .read = read_one};
    struct dataset d = dataset_fixture_random(50), by_one = d;
    d.augmentation.mirror = false;
    by_one.augmentation.mirror = false;
    by_one.kind = &reads;
    by_one.self = (void *)d.pixels;
    by_one.pixels = NULL;
    for (int prefetch = 0; prefetch < 3; prefetch++) {
        struct loader_options o = {
            .batch = BATCH, .seed = 3, .workers = 3, .augment = true, .prefetch = prefetch};
        struct loader *a = loader_open(&d, &o), *b = loader_open(&by_one, &o);
        o.crops = true;
        struct loader *c = loader_open(&by_one, &o);
        for (int64_t index = 0; index < STEPS; index++) {
            assert_memory_equal(loader_batch(a, index).images, loader_batch(b, index).images,
                                BATCH * SIZE * sizeof(float));
            for (int i = 0; i < BATCH; i++)
                assert_int_equal(loader_batch(c, index).crops[i].mirror, 0);
        }
        loader_close(a);
        loader_close(b);
        loader_close(c);
    }
    dataset_fixture_close(&d);
}

static void waiting_is_counted(void **state)
{
    (void)state;
    struct dataset d = dataset_fixture_random(40);
    struct loader *l = loader_open(
        &d, &(struct loader_options){.batch = 2000, .seed = 1, .worker = 0, .workers = 1});
    assert_true(loader_wait_s(l) == 0);
    loader_batch(l, 0);
    double made = loader_wait_s(l);
    assert_true(made > 1e-5 && made < 10); /* 400,000 values take 100 us at least */
    double least = 1;
    for (int i = 0; i < 20; i++) {
        double before = loader_wait_s(l);
        loader_batch(l, 0);
        least = loader_wait_s(l) - before < least ? loader_wait_s(l) - before : least;
    }
    assert_true(least >= 0 && least < made / 2); /* the same again is not made again */
    loader_close(l);
    dataset_fixture_close(&d);
}

/* Fatal in a child: exit code 2, and the reason. */
static void too_few_samples_are_refused(void **state)
{
    (void)state;
    struct dataset d = dataset_fixture_random(3);
    int ends[2], status;
    char text[1024] = "";
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        dup2(ends[1], STDERR_FILENO);
        loader_open(&d, &(struct loader_options){.batch = 1, .worker = 0, .workers = 4});
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    close(ends[1]);
    if (WEXITSTATUS(status) != EXIT_USER ||
        !strstr(text, "3 training samples are too few for 4 workers"))
        fail_msg("exit code %d and: %s", WEXITSTATUS(status), text);
    dataset_fixture_close(&d);
}

static struct dataset *made_set(int64_t limit)
{
    return dataset_open(
        &(struct dataset_options){.name = "synthetic", .train = true, .limit = limit});
}

/* A simulator's thousand workers on one data set: what they cost together. */
static void a_thousand_loaders_are_cheap(void **state)
{
    (void)state;
    enum { WORKERS = 1024 };
    struct dataset *d = made_set(0);
    assert_int_equal(d->count, 50000);
    float *scratch = xcalloc(32 * 3072, sizeof *scratch);
    struct loader **l = xcalloc(WORKERS, sizeof(struct loader *));
    size_t bytes = mallinfo2().uordblks;
    double start = cpu_seconds();
    for (int w = 0; w < WORKERS; w++)
        l[w] = loader_open(
            d, &(struct loader_options){
                   .batch = 32, .seed = 1, .worker = w, .workers = WORKERS, .scratch = scratch});
    double took = cpu_seconds() - start;
    bytes = mallinfo2().uordblks - bytes;
    printf("%d loaders: %.1f ms, %.1f MB\n", WORKERS, 1e3 * took, 1e-6 * (double)bytes);
    assert_true(took < 0.5);
    assert_true(bytes < 16000000);
    for (int w = 0; w < WORKERS; w++)
        loader_close(l[w]);
    xfree(l);
    xfree(scratch);
    dataset_close(d);
}

struct opener {
    const struct dataset *d;
    int worker;
    int32_t order[100];
    pthread_t thread;
};

static void *open_and_read(void *argument)
{
    struct opener *o = argument;
    for (int i = 0; i < 20; i++)
        read_order(o->d, (uint64_t)(o->worker % 2), o->worker / 2, 4, 10, o->order);
    return NULL;
}

/* Eight threads open loaders with two seeds in turn: each gets what it would get alone. */
static void loaders_may_be_opened_in_threads(void **state)
{
    (void)state;
    struct dataset *d = made_set(100);
    struct opener openers[8];
    for (int i = 0; i < 8; i++) {
        openers[i] = (struct opener){.d = d, .worker = i};
        assert_int_equal(pthread_create(&openers[i].thread, NULL, open_and_read, &openers[i]), 0);
    }
    for (int i = 0; i < 8; i++)
        pthread_join(openers[i].thread, NULL);
    struct dataset by_hand = *d;
    by_hand.shards = NULL; /* nothing kept, nothing shared */
    for (int i = 0; i < 8; i++) {
        int32_t order[100];
        read_order(&by_hand, (uint64_t)(i % 2), i / 2, 4, 10, order);
        assert_memory_equal(order, openers[i].order, sizeof order);
    }
    dataset_close(d);
}

/* The whole of a mini-batch of 32, augmented: well under a millisecond. Not asked of sanitizers. */
static void a_mini_batch_is_cheap(void **state)
{
    (void)state;
    struct dataset *d = made_set(1000);
    struct loader *l =
        loader_open(d, &(struct loader_options){
                           .batch = 32, .seed = 1, .worker = 0, .workers = 1, .augment = true});
    double best = 1;
    for (int i = 0; i < 100; i++) {
        double start = cpu_seconds();
        loader_batch(l, i);
        best = cpu_seconds() - start < best ? cpu_seconds() - start : best;
    }
    printf("a mini-batch of 32: %.0f us\n", 1e6 * best);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    assert_true(best < 1e-3);
#endif
    loader_close(l);
    dataset_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sample_comes_once_a_pass),
        cmocka_unit_test(orders_depend_on_seed_worker_and_pass_alone),
        cmocka_unit_test(memory_of_images_is_registered),
        cmocka_unit_test(reading_one_by_one_changes_no_bit),
        cmocka_unit_test(waiting_is_counted),
        cmocka_unit_test(too_few_samples_are_refused),
        cmocka_unit_test(a_thousand_loaders_are_cheap),
        cmocka_unit_test(loaders_may_be_opened_in_threads),
        cmocka_unit_test(a_mini_batch_is_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
