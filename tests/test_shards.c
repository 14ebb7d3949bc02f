/* Shards of a data set: orders, the stored partition, and workers without a sample. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/random.h"
#include "data_loader/data_loader.h"
#include "data_loader/partition.h"
#include "tests/dataset_fixture.h"
#include "tests/death_test.h"

enum { CLASSES = 12 };

/* Two workers that share all samples draw them in different orders. */
static void workers_with_the_same_shard_have_other_orders(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    int32_t labels[COUNT] = {0};
    struct dataset d = dataset_fixture_labels(labels, COUNT, CLASSES);
    struct loader *l[2];
    int same = 0;
    for (int w = 0; w < 2; w++)
        l[w] =
            loader_open(&d, &(struct loader_options){
                                .batch = COUNT, .worker = w, .workers = 2, .partition = "shared"});
    for (int i = 0; i < COUNT; i++)
        same += loader_batch(l[0], 0).samples[i] == loader_batch(l[1], 0).samples[i];
    assert_true(same < 10); /* one is expected */
    loader_close(l[0]);
    loader_close(l[1]);
}

/* A data set stores its last partition: whatever was asked for before, each loader gets what a set
 * that stores nothing gives. */
static void the_stored_partition_is_the_one_asked_for(void **state)
{
    (void)state;
    const double speeds[][4] = {{1, 2, 3, 4}, {4, 3, 2, 1}};
    const struct loader_options asked[] = {
        {.batch = 50, .seed = 1, .workers = 4},
        {.batch = 50, .seed = 2, .workers = 4},
        {.batch = 50, .seed = 2, .workers = 3},
        {.batch = 50, .seed = 2, .workers = 3, .partition = "shared"},
        {.batch = 50,
         .seed = 2,
         .workers = 4,
         .partition = "dirichlet",
         .partition_own = &(struct dirichlet_options){1}},
        {.batch = 50,
         .seed = 2,
         .workers = 4,
         .partition = "dirichlet",
         .partition_own = &(struct dirichlet_options){2}},
        {.batch = 50, .seed = 2, .workers = 4, .partition = "speed", .speeds = speeds[0]},
        {.batch = 50, .seed = 2, .workers = 4, .partition = "speed", .speeds = speeds[1]},
        {.batch = 50, .seed = 2, .workers = 4, .partition = "speed"},
    };
    struct dataset *d = dataset_open(
                       &(struct dataset_options){.name = "synthetic", .train = true, .limit = 300}),
                   by_hand = *d;
    by_hand.shards = NULL;
    struct random r = random_at(RANDOM_TEST, 1, 2, 3, 4);
    for (int i = 0; i < 400; i++) {
        struct loader_options o = asked[random_below(&r, sizeof asked / sizeof *asked)];
        o.worker = (int)random_below(&r, (uint64_t)o.workers);
        struct loader *stored = loader_open(d, &o), *fresh = loader_open(&by_hand, &o);
        assert_int_equal(loader_shard(stored), loader_shard(fresh));
        assert_memory_equal(loader_batch(stored, 0).samples, loader_batch(fresh, 0).samples,
                            50 * sizeof(int32_t));
        loader_close(stored);
        loader_close(fresh);
    }
    dataset_close(d);
}

struct asked {
    struct dataset d;
    struct loader_options o;
};

static void open_loader(const void *argument)
{
    const struct asked *r = argument;
    loader_close(loader_open(&r->d, &r->o));
}

static const double speeds[] = {1, 1, 1e-9, 1};

static const struct {
    struct loader_options o;
    const char *words[5];
    int code, count;
} cases[] = {
    {{.partition = "split", .workers = 4},
     {"3 training samples are too few for 4 workers", "fewer workers"},
     EXIT_USER,
     3},
    {{.partition = "label", .workers = 4},
     {"3 training samples are too few for 4 workers", "fewer workers"},
     EXIT_USER,
     3},
    {{.partition = "shared", .workers = 4}, {NULL}, 0, 3},
    {{.partition = "label", .workers = 4},
     {"--partition label: worker ", " of 0 .. 3 would", "its class", "fewer workers"},
     EXIT_USER,
     40},
    {{.partition = "label-unscaled", .workers = 4},
     {"--partition label-unscaled: worker ", "its class"},
     EXIT_USER,
     40},
    {{.partition = "label", .workers = 2}, {NULL}, 0, 40},
    {{.partition = "dirichlet", .workers = 4, .partition_own = &(struct dirichlet_options){1e-4}},
     {"--partition dirichlet: worker ", "larger --dirichlet"},
     EXIT_USER,
     40},
    {{.partition = "dirichlet", .workers = 4, .partition_own = &(struct dirichlet_options){100}},
     {NULL},
     0,
     40},
    {{.partition = "dirichlet", .workers = 1, .partition_own = &(struct dirichlet_options){0}},
     {"--dirichlet 0: take 1e-9 to 1e9"},
     EXIT_USER,
     40},
    {{.partition = "dirichlet", .workers = 1, .partition_own = &(struct dirichlet_options){2e9}},
     {"--dirichlet 2e+09: take 1e-9 to 1e9"},
     EXIT_USER,
     40},
    {{.partition = "speed", .workers = 4, .speeds = speeds},
     {"--partition speed: worker 2 of 0 .. 3", "--slow"},
     EXIT_USER,
     40},
    {{.partition = "speed", .workers = 2, .speeds = speeds}, {NULL}, 0, 40},
    {{.partition = "spilt", .workers = 1},
     {"'spilt' is not one of split|shared|label|label-unscaled|hetero|dirichlet|speed"},
     EXIT_USER,
     40},
};

/* A partition that leaves somebody without a sample says which worker, why, and what to change,
 * whoever asks. */
static void empty_shards_are_refused(void **state)
{
    (void)state;
    const int32_t labels[40] = {[17] = 1}; /* one of class 1, the rest of class 0 */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct asked r = {.d = dataset_fixture_labels(labels, cases[i].count, CLASSES),
                          .o = cases[i].o};
        r.o.batch = 1;
        assert_dies(cases[i].code, open_loader, &r, cases[i].words);
    }
}

/* The first that has none is named, also where all shards are to be cut to the smallest. */
static void the_empty_worker_is_named(void **state)
{
    (void)state;
    int32_t labels[600];
    for (int i = 0; i < 600; i++)
        labels[i] = i < 595 ? i % 5 : 5; /* five of class 5, to be shared by six */
    for (uint64_t seed = 1; seed <= 10; seed++) {
        bool by_label = seed > 5;
        struct asked r = {.d = dataset_fixture_labels(labels, 600, CLASSES),
                          .o = {.batch = 1,
                                .seed = seed,
                                .workers = 36,
                                .partition_own = &(struct dirichlet_options){0.01}}};
        struct partition *p = partition_open(
            &(struct partition_options){.name = by_label ? "label-unscaled" : "dirichlet",
                                        .seed = seed,
                                        .workers = r.o.workers,
                                        .own = r.o.partition_own},
            labels, 600);
        int64_t count = 1;
        int w = -1;
        while (count)
            partition_shard(p, ++w, &count);
        char words[64];
        snprintf(words, sizeof words, "worker %d of 0 .. 35 would have no sample", w);
        r.o.partition = by_label ? "label" : "dirichlet";
        assert_dies(EXIT_USER, open_loader, &r, (const char *[]){words, NULL});
        partition_close(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_with_the_same_shard_have_other_orders),
        cmocka_unit_test(the_stored_partition_is_the_one_asked_for),
        cmocka_unit_test(empty_shards_are_refused),
        cmocka_unit_test(the_empty_worker_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
