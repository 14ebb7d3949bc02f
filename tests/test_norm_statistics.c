/* Batch-norm statistics of evaluations are those of training images as training sees them.
 *
 * For every model, on generated and (where $DATA has it) real images, augmented and not: mean and
 * variance in double over mini-batches that are put together here, pixel by pixel, and a network
 * that computes in double. The generated images are small, so that the black border of a crop
 * changes their statistics strongly: those of plain images would be noticed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "command/command.h"
#include "data_loader/augment.h"
#include "data_loader/stream.h"
#include "tests/network_fixture.h"

enum { SEED = 5, BATCHES = 2, MOST_WORDS = 30 };

struct setting {
    const char *network, *dataset, *side;
    int minibatch, training;
    bool augment;
};

struct opened {
    struct setting is;
    struct options options;
    struct problem *problem;
    char word[8][40];
};

static void open_problem(struct opened *o, const struct setting *s, const char *option,
                         const char *value)
{
    o->is = *s;
    snprintf(o->word[0], sizeof o->word[0], "%d", s->minibatch);
    snprintf(o->word[1], sizeof o->word[1], "%d", s->training);
    snprintf(o->word[2], sizeof o->word[2], "%d", SEED);
    char *argv[MOST_WORDS] = {"test",
                              "--network",
                              (char *)s->network,
                              "--backend",
                              "ref",
                              "--dataset",
                              (char *)s->dataset,
                              "--train-samples",
                              o->word[1],
                              "--eval-samples",
                              "5",
                              "--minibatches",
                              "1",
                              "--batch",
                              o->word[0],
                              "--seed",
                              o->word[2],
                              s->augment ? "--augment" : "--no-augment"};
    int count = 18;
    if (s->side) {
        argv[count++] = "--synthetic-side";
        argv[count++] = (char *)s->side;
    }
    if (option) {
        argv[count++] = (char *)option;
        argv[count++] = (char *)value;
    }
    struct option_sets sets = option_sets();
    options_parse(&o->options, sets.list, count, argv, NULL);
    o->problem = problem_open(&(struct problem_options){.options = &o->options,
                                                        .minibatch = s->minibatch,
                                                        .threads = 1,
                                                        .workers = 3,
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

/* The sums of all shards, added in their order, and what they become; xfree() *statistics. */
static double *statistics_of(struct problem *p, struct weights w, int shards, float **statistics)
{
    size_t count = (size_t)p->statistics;
    double *sums = xcalloc(count, sizeof *sums), *part = xcalloc(count, sizeof *part);
    for (int shard = 0; shard < shards; shard++) {
        memset(part, 0, count * sizeof *part);
        p->kind->statistics(p, w, shard, shards, part, progress, NULL);
        for (size_t i = 0; i < count; i++)
            sums[i] += part[i];
    }
    *statistics = xcalloc(count, sizeof **statistics);
    p->kind->finish_statistics(p, sums, *statistics);
    xfree(part);
    return sums;
}

/* ---- the truth */

static double pixel(const struct dataset *d, int32_t sample, int c, int y, int x)
{
    bool inside = 0 <= y && y < d->height && 0 <= x && x < d->width;
    int64_t at = (((int64_t)sample * d->channels + c) * d->height + y) * d->width + x;
    return ((inside ? d->pixels[at] : 0) / 255.0 - d->mean[c]) / d->deviation[c];
}

static void put_image(float *to, const struct dataset *d, int32_t sample, struct augment how)
{
    for (int y = 0; y < d->height; y++)
        for (int x = 0; x < d->width; x++)
            for (int c = 0; c < d->channels; c++, to++) {
                int column = how.mirror ? d->width - 1 - x : x;
                *to = (float)pixel(d, sample, c, y + how.down, column + how.right);
            }
}

/* Mini-batch b of the shuffled training set, under the key of the statistics. */
static void put_batch(float *to, const struct dataset *d, const struct setting *s,
                      struct data_stream *stream, uint64_t key, int b)
{
    int64_t size = (int64_t)d->height * d->width * d->channels, pass;
    for (int i = 0; i < s->minibatch; i++) {
        int32_t sample = data_stream_sample(stream, (int64_t)b * s->minibatch + i, &pass);
        struct augment how = {0};
        if (s->augment)
            how = augment_at(&d->augmentation, key, pass, sample);
        put_image(to + i * size, d, sample, how);
    }
}

/* The data set, all of its samples as one shuffled shard. */
struct pictures {
    struct dataset *d;
    struct data_stream stream;
    uint64_t key;
};

static void open_pictures(struct pictures *t, const struct opened *o)
{
    struct dataset_options of = {.train = true, .limit = o->is.training, .seed = SEED};
    dataset_find(o->is.dataset, "", &of.name, &of.folder);
    const struct option_set *own = dataset_option_set(of.name, of.folder);
    of.own = own ? options_of(&o->options, own) : NULL;
    t->d = dataset_open(&of);
    t->key = random_at(RANDOM_NORM, SEED, 0, 0, 0).key;
    int32_t *all = xcalloc((size_t)t->d->count, sizeof *all);
    for (int32_t i = 0; i < t->d->count; i++)
        all[i] = i;
    struct random shuffle = random_at(RANDOM_SHARD, t->key, 0, 0, 0);
    random_shuffle(&shuffle, all, t->d->count);
    data_stream_open(&t->stream, all, t->d->count, t->key, 0);
}

static void close_pictures(struct pictures *t)
{
    data_stream_close(&t->stream);
    dataset_close(t->d);
}

/* Means and variances in double, over BATCHES mini-batches, of each norm: mean[], variance[] at the
 * places that its statistics have. */
static double *true_statistics(const struct opened *o, const struct weights *w)
{
    struct pictures t;
    struct network_fixture r;
    open_pictures(&t, o);
    fixture_open(
        &r, &(struct engine){.backend = &backend_double, .name = "double"},
        &(struct fixture_options){.model = {.name = o->is.network,
                                            .batch = o->is.minibatch,
                                            .classes = t.d->classes,
                                            .channels = t.d->channels,
                                            .height = t.d->height,
                                            .width = t.d->width},
                                  .stem = !strncmp(o->is.network, "resnet", 6) ? "cifar" : NULL,
                                  .threads = 1});
    double *sums = xcalloc((size_t)r.statistic_floats, sizeof *sums);
    for (int b = 0; b < BATCHES; b++) {
        put_batch(r.floats_of_images, t.d, &o->is, &t.stream, t.key, b);
        network_statistics(r.network, *w, r.images, sums);
    }
    for (int i = 0, at = 0; i < r.a.units; i++) {
        int channels = r.a.unit[i].shape.norm ? r.a.unit[i].shape.out_c : 0;
        for (int c = at; c < at + channels; c++) {
            sums[c] /= BATCHES;
            sums[c + channels] = sums[c + channels] / BATCHES - sums[c] * sums[c];
        }
        at += 2 * channels;
    }
    close_pictures(&t);
    fixture_close(&r);
    return sums;
}

/* The greatest difference, in parts of the root mean square of all. */
static double distance(const float *is, const double *truth, int64_t count)
{
    double square = 0, greatest = 0;
    for (int64_t i = 0; i < count; i++) {
        square += truth[i] * truth[i] / (double)count;
        greatest = fmax(greatest, fabs(is[i] - truth[i]));
    }
    return greatest / sqrt(square);
}

/* ---- tests */

static void check_setting(const struct setting *s)
{
    struct opened o;
    float *is;
    char batches[20];
    snprintf(batches, sizeof batches, "%d", BATCHES * s->minibatch);
    open_problem(&o, s, "--norm-samples", batches);
    struct problem *p = o.problem;
    float *floats = xcalloc((size_t)p->count, sizeof *floats);
    problem_initialise(p, floats);
    struct weights w = {floats, problem_weights_version(p)};
    assert_int_equal(p->statistics_batches, p->statistics ? BATCHES : 0);
    double *sums = statistics_of(p, w, 1, &is), *truth = true_statistics(&o, &w);
    double right = distance(is, truth, p->statistics);
    if (p->statistics && !(right < 1e-4))
        fail_msg("%s, %s, %s: statistics differ by %g of their size", s->network, s->dataset,
                 s->augment ? "augmented" : "plain", right);
    if (p->statistics && s->augment) {
        o.is.augment = false;
        double *plain = true_statistics(&o, &w), wrong = distance(is, plain, p->statistics);
        if (!(wrong > 0.03))
            fail_msg("%s, %s: plain images have the same: %g", s->network, s->dataset, wrong);
        xfree(plain);
    }
    xfree(sums);
    xfree(truth);
    xfree(is);
    xfree(floats);
    close_problem(&o);
}

/* The first name of each kind of model, and one with bottlenecks. */
static void of_every_model(void **state)
{
    (void)state;
    for (int k = -1; k < 0 || models[k]; k++) {
        char name[32] = "resnet50";
        if (k >= 0)
            snprintf(name, sizeof name, "%.*s", (int)strcspn(models[k]->names, "|"),
                     models[k]->names);
        const bool small = !strncmp(name, "resnet", 6);
        check_setting(&(struct setting){.network = name,
                                        .dataset = "synthetic",
                                        .side = small ? "16" : NULL,
                                        .minibatch = 3,
                                        .training = 20,
                                        .augment = true});
    }
}

static void of_every_augmentation(void **state)
{
    (void)state;
    for (int augment = 0; augment < 2; augment++)
        for (int minibatch = 1; minibatch < 20; minibatch += 6)
            check_setting(&(struct setting){.network = "resnet20",
                                            .dataset = "synthetic",
                                            .side = "8",
                                            .minibatch = minibatch,
                                            .training = 100,
                                            .augment = augment});
}

static void of_real_images(void **state)
{
    (void)state;
    if (!getenv("DATA"))
        skip();
    for (int augment = 0; augment < 2; augment++)
        check_setting(&(struct setting){.network = "resnet20",
                                        .dataset = "cifar10",
                                        .minibatch = 4,
                                        .training = 1000,
                                        .augment = augment});
}

/* Whoever computes a mini-batch: the same bits. */
static void the_same_bits_for_any_number_of_ranks(void **state)
{
    (void)state;
    struct opened o;
    float *one, *many;
    open_problem(&o,
                 &(struct setting){.network = "resnet20",
                                   .dataset = "synthetic",
                                   .side = "8",
                                   .minibatch = 4,
                                   .training = 200,
                                   .augment = true},
                 "--eval-batches", "13");
    struct problem *p = o.problem;
    float *floats = xcalloc((size_t)p->count, sizeof *floats);
    problem_initialise(p, floats);
    struct weights w = {floats, problem_weights_version(p)};
    double *sums = statistics_of(p, w, 1, &one);
    for (int shards = 2; shards < 18; shards += 3) {
        double *others = statistics_of(p, w, shards, &many);
        assert_memory_equal(sums, others, (size_t)p->statistics * sizeof *sums);
        assert_memory_equal(one, many, (size_t)p->statistics * sizeof *one);
        xfree(others);
        xfree(many);
    }
    xfree(sums);
    xfree(one);
    xfree(floats);
    close_problem(&o);
}

/* Unless there are fewer; the old option says how many mini-batches. */
static void of_2048_images_whatever_the_minibatch(void **state)
{
    (void)state;
    static const int sizes[] = {1, 7, 32, 128, 1000, 3000};
    struct setting s = {
        .network = "resnet20", .dataset = "synthetic", .side = "8", .training = 4096};
    struct opened o;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        s.minibatch = sizes[i];
        open_problem(&o, &s, NULL, NULL);
        int64_t images = o.problem->statistics_batches * s.minibatch;
        if (s.minibatch == 1000)
            assert_int_equal(images, 3000);
        else
            assert_true(2048 <= images && images < 2048 + s.minibatch);
        close_problem(&o);
    }
    s.minibatch = 32;
    open_problem(&o, &s, "--eval-batches", "5");
    assert_int_equal(o.problem->statistics_batches, 5);
    close_problem(&o);
    s.training = 100;
    open_problem(&o, &s, NULL, NULL);
    assert_int_equal(o.problem->statistics_batches, 3);
    close_problem(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_every_model),
        cmocka_unit_test(of_every_augmentation),
        cmocka_unit_test(of_real_images),
        cmocka_unit_test(the_same_bits_for_any_number_of_ranks),
        cmocka_unit_test(of_2048_images_whatever_the_minibatch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
