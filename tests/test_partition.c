/* Partitions: each keeps what its rule promises, for any number of workers and any seed;
 * streams. A failure prints the case that repeats it. How dirichlet's proportions are
 * spread is test_dirichlet's business. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "data_loader/data_loader.h"
#include "data_loader/partition.h"
#include "tests/dataset_fixture.h"
#include "tests/death_test.h"

enum { CLASSES = 12, MOST = 2400, MOST_WORKERS = 37, SEEDS = 4 };

static const char *const names[] = {"split",  "shared",    "label", "label-unscaled",
                                    "hetero", "dirichlet", "speed"};
static const int worker_counts[] = {1, 2, 3, 4, 7, 10, 16, 37};

enum {
    NAMES = sizeof names / sizeof *names,
    COUNTS = sizeof worker_counts / sizeof *worker_counts
};

/* Labels in a shuffled order: 0: ten classes of 99 to 101; 1: sizes from 40 to 400, and two classes
 * without a sample. */
static int64_t make_labels(int kind, int32_t *labels)
{
    int32_t order[MOST];
    int64_t count = 0;
    for (int c = 0; c < CLASSES; c++) {
        int size =
            kind == 0 ? (c < 10 ? 100 + c % 3 - 1 : 0) : (c == 3 || c == 11 ? 0 : 40 + c * 36);
        for (int i = 0; i < size; i++)
            order[count++] = c;
    }
    struct random r = random_at(RANDOM_TEST, 5, (uint64_t)kind, 0, 0);
    random_shuffle(&r, order, count);
    for (int64_t i = 0; i < count; i++)
        labels[i] = order[i];
    return count;
}

/* A made-up data set, a way to part it, and what came of it. */
struct trial {
    char words[120]; /* that repeat it */
    int kind;        /* of labels */
    int32_t labels[MOST];
    int64_t count, in_class[CLASSES];
    struct partition_options options;
    struct dirichlet_options own;
    double speeds[MOST_WORKERS];
    struct partition *p;
    int64_t size[MOST_WORKERS], by_class[MOST_WORKERS][CLASSES], all;
    int owners[MOST]; /* of each sample: how many have it */
};

static void count_all(struct trial *t)
{
    t->all = 0;
    memset(t->by_class, 0, sizeof t->by_class);
    memset(t->owners, 0, sizeof t->owners);
    for (int w = 0; w < t->options.workers; w++) {
        const int32_t *mine = partition_shard(t->p, w, &t->size[w]);
        t->all += t->size[w];
        for (int64_t i = 0; i < t->size[w]; i++) {
            assert_in_range(mine[i], 0, t->count - 1);
            t->owners[mine[i]]++;
            t->by_class[w][t->labels[mine[i]]]++;
        }
    }
}

static void open_trial(struct trial *t, const char *name, int labels, int workers, uint64_t seed,
                       double alpha)
{
    snprintf(t->words, sizeof t->words, "%s of labels %d, %d workers, seed %llu, alpha %g", name,
             labels, workers, (unsigned long long)seed, alpha);
    t->kind = labels;
    t->count = make_labels(labels, t->labels);
    memset(t->in_class, 0, sizeof t->in_class);
    for (int64_t i = 0; i < t->count; i++)
        t->in_class[t->labels[i]]++;
    for (int w = 0; w < workers; w++)
        t->speeds[w] = 1 / (1 + w * 7 % 5 * 0.37);
    t->own.dirichlet = alpha;
    t->options = (struct partition_options){
        .name = name, .seed = seed, .workers = workers, .own = &t->own, .speeds = t->speeds};
    t->p = partition_open(&t->options, t->labels, t->count);
    count_all(t);
}

static void close_trial(struct trial *t)
{
    partition_close(t->p);
}

static bool same_shards(const struct partition *a, const struct partition *b, int workers)
{
    for (int w = 0; w < workers; w++) {
        int64_t have, other;
        const int32_t *mine = partition_shard(a, w, &have), *theirs = partition_shard(b, w, &other);
        if (have != other || memcmp(mine, theirs, (size_t)have * sizeof *mine))
            return false;
    }
    return true;
}

#define HOLDS(t, condition)                                                                        \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("%s: not true: %s", (t)->words, #condition);                                  \
    } while (0)

/* The same again is the same; another seed is not. */
static void is_a_function_of_its_seed(struct trial *t)
{
    struct partition_options other = t->options;
    struct partition *again = partition_open(&other, t->labels, t->count);
    HOLDS(t, partition_is(t->p, &t->options) && same_shards(t->p, again, t->options.workers));
    partition_close(again);
    other.seed += 100;
    again = partition_open(&other, t->labels, t->count);
    HOLDS(t, !partition_is(t->p, &other) && !same_shards(t->p, again, t->options.workers));
    partition_close(again);
}

/* Calls rule(t) for each partition of that name: all labels, numbers of workers, and seeds. */
static void for_all(const char *name, double alpha, void (*rule)(struct trial *t))
{
    struct trial *t = xcalloc(1, sizeof *t);
    for (int labels = 0; labels < 2; labels++)
        for (int k = 0; k < COUNTS; k++)
            for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                open_trial(t, name, labels, worker_counts[k], seed, alpha);
                rule(t);
                is_a_function_of_its_seed(t);
                close_trial(t);
            }
    xfree(t);
}

static void is_complete(struct trial *t)
{
    HOLDS(t, t->all == t->count);
    for (int64_t i = 0; i < t->count; i++)
        HOLDS(t, t->owners[i] == 1);
}

/* As it was before there were other partitions: a shuffle by seed, cut where it says. */
static void is_split(struct trial *t)
{
    int32_t order[MOST];
    int64_t workers = t->options.workers;
    is_complete(t);
    for (int i = 0; i < t->count; i++)
        order[i] = i;
    struct random r = random_at(RANDOM_SHARD, t->options.seed, 0, 0, 0);
    random_shuffle(&r, order, t->count);
    for (int w = 0; w < workers; w++) {
        int64_t first = t->count * w / workers, size = t->count * (w + 1) / workers - first, found;
        const int32_t *mine = partition_shard(t->p, w, &found);
        HOLDS(t, found == size && size - t->count / workers <= 1);
        HOLDS(t, !memcmp(mine, order + first, (size_t)size * sizeof *mine));
    }
}

static void is_shared(struct trial *t)
{
    HOLDS(t, t->all == t->count * t->options.workers);
    for (int64_t i = 0; i < t->count; i++)
        HOLDS(t, t->owners[i] == t->options.workers);
}

/* How many classes each worker has, how many workers each class has, and that the latter share it
 * equally. */
static void is_by_label(struct trial *t)
{
    int classes = 0, workers = t->options.workers;
    for (int c = 0; c < CLASSES; c++)
        classes += t->in_class[c] > 0;
    for (int w = 0; w < workers; w++) {
        int have = 0, wanted = w < classes ? (classes - w + workers - 1) / workers : 1;
        for (int c = 0; c < CLASSES; c++)
            have += t->by_class[w][c] > 0;
        HOLDS(t, have == wanted);
    }
    int with_more = 0;
    for (int c = 0; c < CLASSES; c++) {
        int sharers = 0;
        for (int w = 0; w < workers; w++)
            sharers += t->by_class[w][c] > 0;
        for (int w = 0; w < workers; w++)
            HOLDS(t, !t->by_class[w][c] ||
                         llabs(t->by_class[w][c] * sharers - t->in_class[c]) < sharers);
        HOLDS(t, !t->in_class[c] || workers < classes || sharers == workers / classes ||
                     sharers == workers / classes + 1);
        with_more += workers >= classes && sharers == workers / classes + 1;
    }
    HOLDS(t, workers < classes || with_more == workers % classes);
}

static void is_label_unscaled(struct trial *t)
{
    is_complete(t);
    is_by_label(t);
}

/* Of the same seed's label-unscaled: each class of a worker in proportion, and no sample of
 * another's. */
static void is_label(struct trial *t)
{
    struct trial *whole = xcalloc(1, sizeof *whole);
    open_trial(whole, "label-unscaled", t->kind, t->options.workers, t->options.seed, 1);
    HOLDS(t, t->count == whole->count);
    int64_t smallest = t->count;
    for (int w = 0; w < t->options.workers; w++)
        smallest = whole->size[w] < smallest ? whole->size[w] : smallest;
    for (int w = 0; w < t->options.workers; w++) {
        HOLDS(t, t->size[w] == smallest);
        for (int c = 0; c < CLASSES; c++) {
            double exact =
                (double)smallest * (double)whole->by_class[w][c] / (double)whole->size[w];
            HOLDS(t, fabs((double)t->by_class[w][c] - exact) < 1);
        }
        int64_t count;
        const int32_t *mine = partition_shard(t->p, w, &count),
                      *theirs = partition_shard(whole->p, w, &count);
        char has[MOST] = {0};
        for (int64_t i = 0; i < count; i++)
            has[theirs[i]] = 1;
        for (int64_t i = 0; i < smallest; i++)
            HOLDS(t, has[mine[i]]);
    }
    for (int64_t i = 0; i < t->count; i++)
        HOLDS(t, t->owners[i] <= 1);
    close_trial(whole);
    xfree(whole);
}

/* Classes in their order, workers in theirs; those that share a class cut it equally. */
static void is_in_groups(struct trial *t)
{
    int workers = t->options.workers, has[CLASSES] = {0}, classes = 0;
    is_complete(t);
    for (int c = 0; c < CLASSES; c++)
        if (t->in_class[c])
            has[classes++] = c;
    for (int w = 0; w < workers; w++)
        for (int j = 0; j < classes; j++) {
            int from = classes * w / workers, to = classes * (w + 1) / workers, sharers = 0;
            bool mine = from <= j && j < (to > from ? to : from + 1);
            for (int v = 0; v < workers; v++)
                sharers += t->by_class[v][has[j]] > 0;
            HOLDS(t, mine == (t->by_class[w][has[j]] > 0));
            HOLDS(t,
                  !mine || llabs(t->by_class[w][has[j]] * sharers - t->in_class[has[j]]) < sharers);
            HOLDS(t, workers > classes || sharers == 1);
        }
}

static void is_by_speed(struct trial *t)
{
    double sum = 0;
    is_complete(t);
    for (int w = 0; w < t->options.workers; w++)
        sum += t->speeds[w];
    for (int w = 0; w < t->options.workers; w++)
        HOLDS(t, fabs((double)t->size[w] - (double)t->count * t->speeds[w] / sum) < 1);
}

static void each_name_keeps_its_rule(void **state)
{
    (void)state;
    for_all("split", 1, is_split);
    for_all("shared", 1, is_shared);
    for_all("label-unscaled", 1, is_label_unscaled);
    for_all("hetero", 1, is_in_groups);
    for_all("label", 1, is_label);
    for_all("speed", 1, is_by_speed);
    const double alphas[] = {1e-9, 1e-3, 0.1, 1, 30, 1e9};
    for (int k = 0; k < 6; k++)
        for_all("dirichlet", alphas[k], is_complete);
}

/* Which class is whose is drawn by seed: of two that two workers have, worker 0 gets either in half
 * of the cases. */
static void classes_are_dealt_by_seed(void **state)
{
    (void)state;
    enum { SEEDS_TRIED = 400 };
    const int32_t labels[4] = {0, 1, 1, 0};
    int first = 0;
    for (uint64_t seed = 0; seed < SEEDS_TRIED; seed++) {
        int64_t count;
        struct partition *p = partition_open(
            &(struct partition_options){.name = "label", .seed = seed, .workers = 2}, labels, 4);
        first += labels[*partition_shard(p, 0, &count)] == 0;
        assert_int_equal(count, 2);
        partition_close(p);
    }
    assert_in_range(first, 150, 250); /* deviation 10 */
}

static void equal_speeds_give_equal_shards(void **state)
{
    (void)state;
    const int32_t labels[1000] = {0};
    const double speeds[7] = {3, 3, 3, 3, 3, 3, 3};
    struct partition_options o = {.name = "speed", .seed = 1, .workers = 7, .speeds = speeds};
    struct partition *equal = partition_open(&o, labels, 1000);
    o.speeds = NULL;
    struct partition *none = partition_open(&o, labels, 1000);
    assert_true(same_shards(equal, none, 7));
    for (int w = 0; w < 7; w++) {
        int64_t count;
        partition_shard(none, w, &count);
        /* 1000 = 7 x 142 + 6: of equal remainders the first */
        assert_int_equal(count, 142 + (w < 6));
    }
    partition_close(equal);
    partition_close(none);
}

/* Three passes of a loader: every sample of the shard once in each, none of another's. */
static void check_stream(const struct dataset *d, const struct loader_options *o,
                         const struct partition *p, const char *words)
{
    int64_t shard, by_class[CLASSES], read[CLASSES] = {0};
    const int32_t *mine = partition_shard(p, o->worker, &shard);
    struct loader *l = loader_open(d, o);
    assert_int_equal(loader_shard(l), shard);
    int *seen = xcalloc((size_t)d->count, sizeof *seen), bad = 0;
    for (int64_t at = 0; at < 3 * shard; at++) {
        struct batch b = loader_batch(l, at / o->batch);
        int32_t sample = b.samples[at % o->batch];
        bad += b.labels[at % o->batch] != d->labels[sample] || seen[sample]++ != at / shard;
        read[d->labels[sample]]++;
    }
    for (int64_t i = 0; i < shard; i++)
        bad += seen[mine[i]] != 3;
    if (bad)
        fail_msg("%s, worker %d, batch %d: %d samples come too often, or not at all", words,
                 o->worker, o->batch, bad);
    dataset_shard(d, o, by_class);
    for (int c = 0; c < CLASSES; c++)
        assert_int_equal(3 * by_class[c], read[c]);
    xfree(seen);
    loader_close(l);
}

static void streams_are_the_shards(void **state)
{
    (void)state;
    const int batches[] = {1, 32, 1500}; /* the last is more than any shard but all */
    struct trial *t = xcalloc(1, sizeof *t);
    for (int n = 0; n < NAMES; n++)
        for (int k = 0; k < COUNTS; k++) {
            open_trial(t, names[n], k % 2, worker_counts[k], 3, 2);
            struct dataset d = dataset_fixture_labels(t->labels, t->count, CLASSES);
            for (int w = 0; w < worker_counts[k]; w += 1 + worker_counts[k] / 4) {
                struct loader_options o = {.batch = batches[(n + k + w) % 3],
                                           .seed = 3,
                                           .worker = w,
                                           .workers = worker_counts[k],
                                           .partition = names[n],
                                           .partition_own = &(struct dirichlet_options){2},
                                           .speeds = t->speeds};
                check_stream(&d, &o, t->p, t->words);
            }
            close_trial(t);
        }
    xfree(t);
}

/* 1,000 and 21,841 classes, as ImageNet has: every sample is dealt once, whole classes stay
 * whole. */
static void many_classes_are_dealt(void **state)
{
    (void)state;
    enum { SAMPLES = 43682, WORKERS = 8 };
    int32_t *labels = xcalloc(SAMPLES, sizeof *labels), *owner = xcalloc(SAMPLES, sizeof *owner);
    for (int classes = 1000; classes <= 21841; classes += 20841)
        for (int n = 0; n < NAMES; n++) {
            int64_t all = 0, count, split = 0;
            for (int i = 0; i < SAMPLES; i++)
                labels[i] = (int32_t)((int64_t)i * 7919 % classes);
            struct partition *p =
                partition_open(&(struct partition_options){.name = names[n],
                                                           .seed = 3,
                                                           .workers = WORKERS,
                                                           .own = &(struct dirichlet_options){0.5}},
                               labels, SAMPLES);
            memset(owner, -1, (size_t)classes * sizeof *owner);
            for (int w = 0; w < WORKERS; w++) {
                const int32_t *mine = partition_shard(p, w, &count);
                all += count;
                for (int64_t i = 0; i < count; i++) {
                    int32_t label = labels[mine[i]];
                    split += owner[label] >= 0 && owner[label] != w;
                    owner[label] = w;
                }
            }
            if (!strncmp(names[n], "label", 5) || !strcmp(names[n], "hetero"))
                assert_int_equal(split, 0);
            else
                assert_true(split > 0);
            if (!strcmp(names[n], "label")) /* cut to the smallest: most of a class is left out */
                assert_true(all % WORKERS == 0 && all <= SAMPLES && all > SAMPLES * 99 / 100);
            else
                assert_int_equal(all, strcmp(names[n], "shared") ? SAMPLES : WORKERS * SAMPLES);
            partition_close(p);
        }
    xfree(owner);
    xfree(labels);
}

/* 50,000 images, 5,000 of each class. */
static void real_cifar_is_parted(void **state)
{
    (void)state;
    if (!getenv("DATA")) {
        printf("SKIPPED: DATA doesn't name the folder of the real images\n");
        skip();
    }
    struct dataset *d = dataset_open(
        &(struct dataset_options){.name = "cifar10", .folder = getenv("DATA"), .train = true});
    for (int n = 0; n < NAMES; n++) {
        int64_t of_class[10] = {0};
        for (int w = 0; w < 20; w++) {
            int64_t mine[10], classes = 0, least = 5000;
            dataset_shard(d,
                          &(struct loader_options){.seed = 1,
                                                   .worker = w,
                                                   .workers = 20,
                                                   .partition = names[n],
                                                   .partition_own = &(struct dirichlet_options){1}},
                          mine);
            for (int c = 0; c < 10; c++) {
                of_class[c] += mine[c];
                classes += mine[c] > 0;
                least = mine[c] < least ? mine[c] : least;
            }
            if (!strncmp(names[n], "label", 5) ||
                !strcmp(names[n], "hetero")) /* 20 workers, 10 classes: each has half of one */
                assert_true(classes == 1 && (mine[0] == 2500 || mine[0] == 0));
            else if (!strcmp(names[n], "split") || !strcmp(names[n], "speed"))
                assert_in_range(least, 180, 250); /* 250 of each are expected, deviation 15 */
        }
        for (int c = 0; c < 10; c++)
            assert_int_equal(of_class[c], strcmp(names[n], "shared") ? 5000 : 100000);
    }
    dataset_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_name_keeps_its_rule),
        cmocka_unit_test(classes_are_dealt_by_seed),
        cmocka_unit_test(equal_speeds_give_equal_shards),
        cmocka_unit_test(streams_are_the_shards),
        cmocka_unit_test(many_classes_are_dealt),
        cmocka_unit_test(real_cifar_is_parted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
