/* What options change of training on a device, or on its emulation (test_problem_emulated): a
 * data set that lies there gives the same bits as images that the host has made, and stays away
 * where there is no room; with TF32 other bits come. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "command/command.h"
#include "problem/problem.h"
#include "tests/death_test.h"
#include "tests/network_fixture.h"
#include "tests/snapshots.h"

enum { SEED = 3 };

extern const struct backend backend_cudnn;

static void need_device(void)
{
    if (!backend_cudnn.has(DTYPE_F32)) {
        print_message("SKIPPED: no CUDA device\n");
        skip();
    }
}

/* What a network says of a batch. */
struct answer {
    struct loss gradient, evaluation;
    float *g;
    double *sums;
};

static void ask(struct answer *a, struct network_fixture *r, struct images images)
{
    const struct weights w = {r->w, r->weights_version};
    r->images = images;
    memset(r->g, 0xff, (size_t)r->floats * sizeof *r->g);
    a->gradient = fixture_gradient(r);
    a->evaluation = fixture_evaluate(r);
    a->g = xcalloc((size_t)r->floats, sizeof *a->g);
    a->sums = xcalloc((size_t)r->statistic_floats, sizeof *a->sums);
    memcpy(a->g, r->g, (size_t)r->floats * sizeof *a->g);
    network_statistics(r->network, w, images, a->sums);
}

static void assert_same(struct network_fixture *r, struct answer *a, struct answer *b)
{
    assert_memory_equal(a->g, b->g, (size_t)r->floats * sizeof *a->g);
    assert_memory_equal(a->sums, b->sums, (size_t)r->statistic_floats * sizeof *a->sums);
    assert_memory_equal(&a->gradient, &b->gradient, sizeof a->gradient);
    assert_memory_equal(&a->evaluation, &b->evaluation, sizeof a->evaluation);
    xfree(a->g);
    xfree(a->sums);
    xfree(b->g);
    xfree(b->sums);
}

/* Crops and floats in turns on one network, whose segments are recorded meanwhile. */
static void test_networks(void **state)
{
    (void)state;
    enum { TURNS = 3 };
    const struct fixture_options network = {
        .stem = "cifar",
        .model =
            {.name = "resnet20", .batch = 3, .classes = 10, .channels = 3, .height = 9, .width = 8},
        .seed = SEED,
        .threads = 1};
    const struct engine engines[] = {
        {.backend = &backend_cudnn, .dtype = DTYPE_F32, .name = "cudnn f32"},
        {.backend = &backend_cudnn, .dtype = DTYPE_BF16, .name = "cudnn bf16"}};
    need_device();
    for (int e = 0; e < 2; e++) {
        struct network_fixture r;
        struct snapshots s;
        struct answer floats, crops;
        fixture_open(&r, &engines[e], &network);
        snapshots_open(&s, &r.a);
        const struct pixels pixels = snapshots_pixels(&s);
        struct resident_dataset *resident = backend_cudnn.device->resident_open(r.device, &pixels);
        assert_non_null(resident);
        for (int turn = 0; turn < TURNS; turn++) {
            snapshots_draw(&s, turn);
            ask(&floats, &r, snapshots_floats(&s));
            ask(&crops, &r, snapshots_crops(&s, resident));
            assert_same(&r, &floats, &crops);
        }
        backend_cudnn.device->resident_close(resident);
        snapshots_close(&s);
        fixture_close(&r);
    }
}

/* Nothing is taken of what is refused: not even read. */
static void test_no_room(void **state)
{
    (void)state;
    need_device();
    struct device *d = backend_cudnn.open(&(struct device_options){.threads = 1, .quiet = true});
    struct pixels p = {.count = (int64_t)1 << 50, .channels = 3, .height = 32, .width = 32};
    assert_null(backend_cudnn.device->resident_open(d, &p));
    p.count = 1;
    p.channels = 9; /* more than a vector of the kernel's */
    assert_null(backend_cudnn.device->resident_open(d, &p));
    backend_cudnn.device->resident_close(NULL);
    backend_cudnn.close(d);
}

/* ---- the problem as the program opens it */

struct opened {
    struct options options;
    struct problem *problem;
};

static void open_problem(struct opened *o, const char *cache, const char *option, const char *batch,
                         bool trains)
{
    char *argv[] = {"test",        "--network",      "resnet20",    "--backend",
                    "cudnn",       "--dataset",      "synthetic",   "--train-samples",
                    "20",          "--eval-samples", "5",           "--eval-batches",
                    "2",           "--minibatches",  "1",           "--batch",
                    (char *)batch, "--kernel-cache", (char *)cache, (char *)option};
    struct option_sets sets = option_sets();
    options_parse(&o->options, sets.list, sizeof argv / sizeof *argv, argv, NULL);
    o->problem = problem_open(&(struct problem_options){.options = &o->options,
                                                        .minibatch = atoi(batch),
                                                        .threads = 1,
                                                        .trains = trains,
                                                        .prefetch = 2});
}

static void progress(void *self)
{
    (void)self;
}

/* Each mini-batch's gradient, the statistics, and an evaluation in which the last mini-batch is not
 * full. */
static void check_problems(const char *cache, bool trains)
{
    struct opened o[2];
    float *w = NULL, *g[2];
    double *sums[2];
    struct loss loss[2] = {{0}}, evaluation[2] = {{0}};
    for (int k = 0; k < 2; k++) {
        open_problem(&o[k], cache, k ? "--data-on-device" : "--no-data-on-device", "3", trains);
        struct problem *p = o[k].problem;
        assert_int_equal(k, strstr(p->computes, ", images on the device") != NULL);
        w = k ? w : xcalloc((size_t)p->count, sizeof *w);
        g[k] = xcalloc((size_t)p->count, sizeof *g[k]);
        sums[k] = xcalloc((size_t)p->statistics, 2 * sizeof *sums[k]);
        float *statistics = (float *)(sums[k] + p->statistics);
        problem_initialise(p, w);
        const struct weights at = {w, problem_weights_version(p)};
        struct stream *s = trains ? p->kind->stream_open(p, 0, 1) : NULL;
        if (trains)
            assert_true(p->kind->gradient(p, s, 7, at, g[k], &loss[k], NULL, NULL));
        p->kind->statistics(p, at, 0, 1, sums[k], progress, NULL);
        p->kind->finish_statistics(p, sums[k], statistics);
        p->kind->evaluate(p, at, statistics, 0, 1, &evaluation[k], progress, NULL);
        if (trains)
            p->kind->stream_close(p, s);
    }
    assert_memory_equal(g[0], g[1], (size_t)o[0].problem->count * sizeof *g[0]);
    assert_memory_equal(sums[0], sums[1], (size_t)o[0].problem->statistics * sizeof *sums[0]);
    assert_memory_equal(&loss[0], &loss[1], sizeof *loss);
    assert_memory_equal(&evaluation[0], &evaluation[1], sizeof *evaluation);
    assert_true(evaluation[0].sum > 0 && (!trains || loss[0].sum > 0));
    for (int k = 0; k < 2; k++) {
        problem_close(o[k].problem);
        options_close(&o[k].options);
        xfree(g[k]);
        xfree(sums[k]);
    }
    xfree(w);
}

static void test_problems(void **state)
{
    (void)state;
    char cache[] = "/tmp/test_problem.XXXXXX";
    need_device();
    assert_int_equal(close(mkstemp(cache)), 0);
    check_problems(cache, true);
    check_problems(cache, false);
    unlink(cache);
}

static void test_tf32(void **state)
{
    (void)state;
    static const char *const options[] = {"--no-tf32", "--tf32", "--no-tf32"};
    enum { RUNS = 3 };
    char cache[] = "/tmp/test_problem.XXXXXX";
    struct loss loss[RUNS] = {{0}};
    need_device();
    assert_int_equal(close(mkstemp(cache)), 0);
    for (int k = 0; k < RUNS; k++) {
        struct opened o;
        open_problem(&o, cache, options[k], "3", true);
        struct problem *p = o.problem;
        assert_int_equal(k == 1, strstr(p->computes, " with TF32") != NULL);
        float *w = xcalloc((size_t)p->count, sizeof *w), *g = xcalloc((size_t)p->count, sizeof *g);
        struct stream *s = p->kind->stream_open(p, 0, 1);
        problem_initialise(p, w);
        assert_true(p->kind->gradient(p, s, 0, (struct weights){w, 0}, g, &loss[k], NULL, NULL));
        p->kind->stream_close(p, s);
        problem_close(p);
        options_close(&o.options);
        xfree(w);
        xfree(g);
    }
    assert_true(loss[0].sum == loss[2].sum && loss[0].sum != loss[1].sum);
    unlink(cache);
}

/* ---- images of the host lie in registered memory */

static int64_t registered_bytes;
static void *registered_block;

static void count_registered(struct problem *p, void *block, size_t bytes)
{
    (void)p;
    assert_int_equal((uintptr_t)block % 4096, 0);
    assert_null(registered_block);
    registered_block = block;
    registered_bytes = (int64_t)bytes;
}

static void count_unregistered(struct problem *p, void *block)
{
    (void)p;
    assert_ptr_equal(block, registered_block);
    registered_block = NULL;
    registered_bytes = 0;
}

static void test_batches_are_registered(void **state)
{
    (void)state;
    enum { BATCH = 8, SLOTS = 3, IMAGE = 3 * 32 * 32 * sizeof(float) };
    char cache[] = "/tmp/test_problem.XXXXXX";
    need_device();
    assert_int_equal(close(mkstemp(cache)), 0);
    for (int resident = 0; resident < 2; resident++) {
        struct opened o;
        open_problem(&o, cache, resident ? "--data-on-device" : "--no-data-on-device", "8", true);
        struct problem *p = o.problem;
        const struct problem_kind *kind = p->kind;
        struct problem_kind counts = *kind;
        counts.register_memory = count_registered;
        counts.unregister_memory = count_unregistered;
        p->kind = &counts;
        struct stream *s = kind->stream_open(p, 0, 1);
        assert_int_equal(registered_bytes, resident ? 0 : SLOTS * BATCH * IMAGE);
        kind->stream_close(p, s);
        assert_int_equal(registered_bytes, 0);
        p->kind = kind;
        problem_close(p);
        options_close(&o.options);
    }
    unlink(cache);
}

/* What this backend lacks is computed by the next one, and said; what it has it computes. */
static void open_network(const void *name)
{
    char *argv[] = {"test",
                    "--network",
                    (char *)name,
                    "--backend",
                    "cudnn",
                    "--dataset",
                    "synthetic",
                    "--train-samples",
                    "20",
                    "--batch",
                    "2",
                    "--minibatches",
                    "1",
                    "--norm=group",
                    "--eval-samples",
                    "2"};
    const int count = sizeof argv / sizeof *argv;
    struct options o;
    struct option_sets sets = option_sets();
    if (strncmp(name, "resnet", 6))
        argv[count - 3] = "--eval-batches=1";
    options_parse(&o, sets.list, count, argv, NULL);
    struct problem *p = problem_open(&(struct problem_options){
        .options = &o, .minibatch = 2, .threads = 1, .trains = true, .serves = true});
    float *w = xcalloc((size_t)p->count, sizeof *w), *g = xcalloc((size_t)p->count, sizeof *g);
    struct stream *s = p->kind->stream_open(p, 0, 1);
    struct loss loss;
    problem_initialise(p, w);
    assert_true(p->kind->gradient(p, s, 0, (struct weights){w, 0}, g, &loss, NULL, NULL));
    fprintf(stderr, "the loss is%s finite, by %s", isfinite(loss.sum) ? "" : " not", p->computes);
    p->kind->stream_close(p, s);
    problem_close(p);
    options_close(&o);
    xfree(w);
    xfree(g);
    exit(0);
}

static void test_the_next_backend_computes(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"mlp", "`hidden dense of an image + ReLU`, which mlp needs: "},
        {"lenet5", "`conv + bias"},
        {"resnet20", "`group norm"},
    };
    char next[100], computes[100];
    int at = 0;
    need_device();
    while (backends[at] != &backend_cudnn)
        at++;
    snprintf(next, sizeof next, "needs: %s computes it", backends[at + 1]->name);
    snprintf(computes, sizeof computes, "the loss is finite, by %s f32", backends[at + 1]->name);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_dies(
            0, open_network, cases[i][0],
            (const char *const[]){"backend cudnn has no unit ", cases[i][1], next, computes, NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_tf32),
        cmocka_unit_test(test_batches_are_registered),
        cmocka_unit_test(test_the_next_backend_computes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
