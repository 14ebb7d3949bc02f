/* Held-out images: none is trained on, none is lost, and they are the same ones whatever the seed,
 * the ranks and the partition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "command/command.h"
#include "data_loader/augment.h"
#include "data_loader/data_loader.h"
#include "data_loader/kinds.h"
#include "data_loader/shards.h"
#include "problem/problem.h"
#include "tests/death_test.h"

enum { MOST = 1500 };

/* An image is its number. */
static void read_number(const struct dataset *d, int64_t i, struct random *draw, uint8_t *image)
{
    (void)d;
    (void)draw;
    memcpy(image, &i, sizeof i);
}

static const struct dataset_kind numbers = {.read = read_number};

/* In memory, or read one by one. */
static struct dataset *open_images(bool in_memory, int count)
{
    struct dataset *d = xcalloc(1, sizeof *d);
    int32_t *labels;
    uint8_t *pixels = NULL;
    *d = (struct dataset){.classes = 10,
                          .channels = 1,
                          .height = 2,
                          .width = 4,
                          .mean = {0.3f},
                          .deviation = {0.2f},
                          .kind = &numbers};
    dataset_alloc(d, &(struct dataset_options){.limit = 0}, count, &labels,
                  in_memory ? &pixels : NULL);
    for (int i = 0; i < count; i++) {
        labels[i] = i * 7 % 10;
        if (in_memory)
            read_number(d, i, NULL, pixels + (size_t)i * sizeof(int64_t));
    }
    d->shards = shards_open();
    return d;
}

static bool same_image(const struct dataset *a, int64_t i, const struct dataset *b, int64_t j,
                       uint8_t *buffer)
{
    size_t size = (size_t)a->channels * (size_t)a->height * (size_t)a->width;
    const uint8_t *first = dataset_image(a, i, NULL, buffer),
                  *second = dataset_image(b, j, NULL, buffer + size);
    return !memcmp(first, second, size) && a->labels[i] == b->labels[j];
}

/* Both parts are in the file's order: one walk over all images meets each part's next one. */
static void walk(const struct dataset *all, const struct dataset *rest, const struct dataset *held,
                 bool *is_held)
{
    size_t size = (size_t)all->channels * (size_t)all->height * (size_t)all->width;
    uint8_t *buffer = xcalloc(2, size);
    int64_t r = 0, h = 0;
    for (int64_t i = 0; i < all->count; i++) {
        bool in_rest = r < rest->count && same_image(all, i, rest, r, buffer),
             in_held = h < held->count && same_image(all, i, held, h, buffer);
        assert_true(in_rest != in_held);
        r += in_rest;
        h += in_held;
        is_held[i] = in_held;
    }
    assert_int_equal(r, rest->count);
    assert_int_equal(h, held->count);
    xfree(buffer);
}

static void each_image_is_in_one_part(void **state)
{
    (void)state;
    const struct {
        bool in_memory;
        int count;
        double part;
        int held;
    } cases[] = {{true, 1000, 0.1, 100},
                 {true, 1000, 0.999, 999},
                 {true, 7, 0.5, 4},
                 {false, 1400, 0.02, 28}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool is_held[MOST];
        struct dataset *all = open_images(cases[i].in_memory, cases[i].count),
                       *rest = open_images(cases[i].in_memory, cases[i].count),
                       *held = dataset_hold_out(rest, cases[i].part, 0);
        assert_int_equal(held->count, cases[i].held);
        assert_int_equal(rest->count, cases[i].count - cases[i].held);
        assert_memory_equal(held->mean, all->mean, sizeof all->mean);
        assert_memory_equal(rest->deviation, all->deviation, sizeof all->deviation);
        walk(all, rest, held, is_held);
        int early = 0; /* drawn at random: not one end of the file */
        for (int k = 0; k < cases[i].count / 2; k++)
            early += is_held[k];
        if (cases[i].held > 20 && cases[i].part < 0.5)
            assert_in_range(early, cases[i].held / 4, 3 * cases[i].held / 4);
        dataset_close(held);
        dataset_close(rest);
        dataset_close(all);
    }
}

/* Of K folds each image is held out by one, and no fold is larger than another by two. */
static void each_image_is_in_one_fold(void **state)
{
    (void)state;
    enum { COUNT = 23, FOLDS = 5 };
    int times[COUNT] = {0};
    for (int fold = 0; fold < FOLDS; fold++) {
        bool is_held[MOST];
        struct dataset *all = open_images(true, COUNT), *rest = open_images(true, COUNT),
                       *held = dataset_hold_out(rest, 1.0 / FOLDS, fold);
        assert_in_range(held->count, COUNT / FOLDS, COUNT / FOLDS + 1);
        walk(all, rest, held, is_held);
        for (int i = 0; i < COUNT; i++)
            times[i] += is_held[i];
        dataset_close(held);
        dataset_close(rest);
        dataset_close(all);
    }
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(times[i], 1);
}

/* ---- the problem as the program opens it */

struct opened {
    struct options options;
    struct problem *problem;
};

static void open_problem(struct opened *o, const char *evaluate, const char *workers,
                         const char *partition)
{
    char *argv[] = {"test",
                    "--network",
                    "lenet5",
                    "--backend",
                    "ref",
                    "--dataset",
                    "synthetic",
                    "--train-samples",
                    "300",
                    "--eval-samples",
                    "40",
                    "--minibatches",
                    "1",
                    "--batch",
                    "10",
                    "--val-split",
                    "0.25",
                    "--evaluate",
                    (char *)evaluate,
                    "--partition",
                    (char *)partition};
    struct option_sets sets = option_sets();
    options_parse(&o->options, sets.list, sizeof argv / sizeof *argv, argv, NULL);
    o->problem = problem_open(&(struct problem_options){.options = &o->options,
                                                        .minibatch = 10,
                                                        .threads = 1,
                                                        .workers = atoi(workers),
                                                        .trains = true});
}

static void close_problem(struct opened *o)
{
    problem_close(o->problem);
    options_close(&o->options);
}

static void progress(void *self)
{
    (void)self;
}

static void shards_are_of_what_is_left(void **state)
{
    (void)state;
    static const char *const workers[] = {"1", "3", "7"}, *const partitions[] = {"split",
                                                                                 "dirichlet"};
    for (int i = 0; i < 6; i++) {
        struct opened o;
        int64_t by_class[10], sum = 0;
        open_problem(&o, i % 2 ? "val" : "test", workers[i / 2], partitions[i % 2]);
        struct problem *p = o.problem;
        assert_int_equal(p->training_samples, 225);
        assert_int_equal(p->test_samples, 40);
        for (int w = 0; w < atoi(workers[i / 2]); w++) {
            p->kind->shard(p, w, by_class);
            for (int c = 0; c < 10; c++)
                sum += by_class[c];
        }
        assert_int_equal(sum, 225);
        close_problem(&o);
    }
}

/* The first 40 held-out images, as a network sees them, or the first test images. */
static double loss_of(const char *evaluate)
{
    struct opened o;
    struct loss loss = {0};
    open_problem(&o, evaluate, "2", "split");
    struct problem *p = o.problem;
    float *w = xcalloc((size_t)p->count, sizeof *w), none;
    problem_initialise(p, w);
    p->kind->evaluate(p, (struct weights){w, problem_weights_version(p)}, &none, 0, 1, &loss,
                      progress, NULL);
    xfree(w);
    close_problem(&o);
    return loss.sum;
}

static void the_word_says_what_is_judged(void **state)
{
    (void)state;
    assert_true(loss_of("val") == loss_of("val"));
    assert_true(loss_of("test") == loss_of("test"));
    assert_true(loss_of("val") != loss_of("test"));
}

static void hold_out_all(const void *unused)
{
    (void)unused;
    dataset_hold_out(open_images(true, 10), 0.99, 0);
}

static void no_part_is_empty(void **state)
{
    (void)state;
    assert_dies(2, hold_out_all, NULL, (const char *const[]){"--val-split 0.99", "10", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_image_is_in_one_part),
        cmocka_unit_test(each_image_is_in_one_fold),
        cmocka_unit_test(shards_are_of_what_is_left),
        cmocka_unit_test(the_word_says_what_is_judged),
        cmocka_unit_test(no_part_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
