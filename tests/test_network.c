/* What a network promises whatever computes it: the right gradient, a truthful hook, weights known
 * by their weights_version, and a plan in which no tensor is overwritten while somebody still wants
 * it. */
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

#include "backend/softmax.h"
#include "base/alloc.h"
#include "base/random.h"
#include "tests/network_fixture.h"
#include "tests/backend_spy.h"

enum { SEED = 3, OTHER_SEED = 4, SMALL_UNITS = 23 };

/* Shortcuts without parameters, and shortcuts whose parameters lie after those of the unit that
 * adds them; a max pool. */
static const struct fixture_options small = {
    .stem = "cifar",
    .model =
        {.name = "resnet20", .batch = 3, .classes = 10, .channels = 3, .height = 16, .width = 12},
    .smoothing = 0.1,
    .seed = SEED,
    .threads = 2,
};
static const struct fixture_options large = {
    .stem = "imagenet",
    .model =
        {.name = "resnet18", .batch = 2, .classes = 7, .channels = 3, .height = 40, .width = 40},
    .seed = SEED,
    .threads = 2,
};

static float *copy_of(const float *v, int64_t count)
{
    float *copy = xcalloc((size_t)count, sizeof *copy);
    memcpy(copy, v, (size_t)count * sizeof *copy);
    return copy;
}

static void assert_same_bits(const struct network_fixture *r, const char *what, const float *is,
                             const float *should, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (memcmp(&is[i], &should[i], sizeof *is))
            fail_msg("%s: %s: float %lld of %lld is %.9g, was %.9g", r->name, what, (long long)i,
                     (long long)count, (double)is[i], (double)should[i]);
}

static struct weights weights_of(const struct network_fixture *r)
{
    return (struct weights){r->w, r->weights_version};
}

static bool stop_after_the_loss(void *self, int step, int64_t from)
{
    (void)from;
    return step < *(const int *)self;
}

static double loss_at(struct network_fixture *r, const float *w)
{
    struct loss loss = {0};
    network_gradient(r->network, (struct weights){w, 0}, r->images, r->labels, r->g, &loss,
                     stop_after_the_loss, &r->a.units);
    return loss.sum / r->a.batch;
}

/* Moves floats [from, to) of w by some units in the last place, along g and at random, and holds
 * the loss's difference against the gradient's word for the steps that float32 really made: so
 * short that no ReLU comes to its kink. Returns the error in parts of
 * |step| (|g there| + |g| / 1000). */
static double slope_error(struct network_fixture *r, const float *g, int64_t from, int64_t to,
                          double random_part, uint64_t key)
{
    struct random random = random_at(RANDOM_TEST, SEED, key, 0, 0);
    float *side[2] = {copy_of(r->w, r->floats), copy_of(r->w, r->floats)};
    double here = 0, all = 0, w_squares = 0, word = 0, step = 0;
    for (int64_t i = 0; i < r->floats; i++)
        all += (double)g[i] * g[i];
    for (int64_t i = from; i < to; i++) {
        here += (double)g[i] * g[i];
        w_squares += (double)r->w[i] * r->w[i];
    }
    double unit = sqrt((double)(to - from)),
           size = 3e-7 * (w_squares > 0 ? sqrt(w_squares) / unit : 1);
    for (int64_t i = from; i < to; i++) {
        double along = here > 0 ? g[i] / sqrt(here) * unit : 0;
        double move = size * (along + random_part * random_normal(&random));
        side[0][i] = (float)(r->w[i] + move);
        side[1][i] = (float)(r->w[i] - move);
        double moved = (double)side[0][i] - side[1][i];
        word += moved * g[i];
        step += moved * moved;
    }
    double difference = loss_at(r, side[0]) - loss_at(r, side[1]);
    xfree(side[0]);
    xfree(side[1]);
    return fabs(difference - word) / (sqrt(step) * (sqrt(here) + sqrt(all) / 1000));
}

/* The last gamma of each block. */
static void clear_gammas(struct network_fixture *r, const struct tensor *t, int count)
{
    for (int k = 0; k < count; k++)
        if (strstr(t[k].name, ".bn2.weight"))
            memset(r->w + t[k].offset, 0, (size_t)t[k].count * sizeof *r->w);
    r->weights_version++;
}

static void check_slopes(double smoothing, bool zero_gamma, bool every_tensor)
{
    const struct engine engine = {.backend = &backend_double, .dtype = DTYPE_F32, .name = "double"};
    struct fixture_options options = small;
    options.model.batch = 4;
    options.model.width = 16;
    options.smoothing = smoothing;
    struct network_fixture r;
    fixture_open(&r, &engine, &options);
    int count;
    struct tensor *t = model_tensors(&r.a, &count);
    if (zero_gamma)
        clear_gammas(&r, t, count);
    fixture_gradient(&r);
    float *g = copy_of(r.g, r.floats);
    double worst = 0;
    for (int k = -3; k < (every_tensor ? count : 0);
         k++) { /* -3: along g; -2, -1: all at random; then each tensor */
        int64_t from = k < 0 ? 0 : t[k].offset, to = k < 0 ? r.floats : t[k].offset + t[k].count;
        double error = slope_error(&r, g, from, to,
                                   k == -3 ? 0
                                   : k < 0 ? 10
                                           : 1,
                                   (uint64_t)(k + 3));
        if (!(error <= 1e-5))
            fail_msg("%s, smoothing %g, zero gamma %d, %s: the gradient and finite differences "
                     "differ by %.3g",
                     r.name, smoothing, zero_gamma, k < 0 ? "all tensors" : t[k].name, error);
        worst = fmax(worst, error);
    }
    print_message("smoothing %g, zero gamma %d: slopes differ by %.1e at most\n", smoothing,
                  zero_gamma, worst);
    xfree(t);
    xfree(g);
    fixture_close(&r);
}

/* Of a whole network in double, along the gradient, in random directions, and in each tensor. */
static void test_finite_differences(void **state)
{
    (void)state;
    check_slopes(0, false, false);
    check_slopes(0.1, false, true);
    check_slopes(0, true, false);
    check_slopes(0.1, true, false);
}

static void for_each_engine(const struct fixture_options *options,
                            void (*check)(struct network_fixture *))
{
    struct engine engines[MOST_ENGINES];
    int count = list_engines(engines);
    assert_true(count > 0);
    for (int e = 0; e < count; e++) {
        struct network_fixture r;
        fixture_open(&r, &engines[e], options);
        check(&r);
        fixture_close(&r);
    }
}

struct watch {
    struct network_fixture *fixture;
    int calls, stop_at; /* says false at this step */
    int64_t from;
    float *final; /* what the hook was told to be final, when it was told */
};

static bool watch_steps(void *self, int step, int64_t from)
{
    struct watch *w = self;
    const struct network_fixture *r = w->fixture;
    if (step != w->calls++)
        fail_msg("%s: step %d comes as number %d", r->name, step, w->calls - 1);
    if (step < r->a.units)
        assert_int_equal(from, r->floats);
    if (from > w->from || from < 0)
        fail_msg("%s, step %d: floats from %lld are final, but before it was %lld", r->name, step,
                 (long long)from, (long long)w->from);
    for (int64_t i = from; i < w->from; i++)
        if (isnan(r->g[i]))
            fail_msg("%s, step %d: float %lld is not there yet, though all from %lld should be",
                     r->name, step, (long long)i, (long long)from);
    if (from > 0 && !isnan(r->g[from - 1]))
        fail_msg("%s, step %d: float %lld is there already, though the first should be %lld",
                 r->name, step, (long long)from - 1, (long long)from);
    memcpy(w->final + from, r->g + from, (size_t)(w->from - from) * sizeof *w->final);
    w->from = from;
    return step != w->stop_at;
}

/* One gradient under watch, g full of NaN before. */
static bool watched_gradient(struct network_fixture *r, struct watch *w, int stop_at)
{
    struct loss loss = {0};
    *w = (struct watch){.fixture = r, .stop_at = stop_at, .from = r->floats, .final = w->final};
    for (int64_t i = 0; i < r->floats; i++)
        r->g[i] = w->final[i] = NAN;
    return network_gradient(r->network, weights_of(r), r->images, r->labels, r->g, &loss,
                            watch_steps, w);
}

static void check_hook(struct network_fixture *r)
{
    struct watch w = {.final = xcalloc((size_t)r->floats, sizeof *w.final)};
    const int units = r->a.units,
              stops[] = {0, units / 2, units - 1, units, units + units / 2, 2 * units - 1};
    fixture_gradient(r);
    float *truth = copy_of(r->g, r->floats);
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        assert_false(watched_gradient(r, &w, stops[i]));
        assert_int_equal(w.calls, stops[i] + 1);
    }
    assert_true(watched_gradient(r, &w, -1));
    assert_int_equal(w.calls, 2 * units);
    assert_int_equal(w.from, 0);
    assert_same_bits(r, "what the hook was told to be final", w.final, r->g, r->floats);
    assert_same_bits(r, "the gradient under watch", r->g, truth, r->floats);
    xfree(truth);
    xfree(w.final);
}

static void test_hook(void **state)
{
    (void)state;
    for_each_engine(&small, check_hook);
    for_each_engine(&large, check_hook);
}

/* What evaluations and statistics give, at the network's own weights and at others, in the middle
 * of a gradient or not. */
struct visit {
    struct network_fixture *fixture;
    struct weights other;
    double *sums;
    struct loss truth[2];
    double *true_sums;
    int every;
};

static bool visit(void *self, int step, int64_t from)
{
    (void)from;
    struct visit *v = self;
    struct network_fixture *r = v->fixture;
    if (step % v->every)
        return true;
    int turn = step / v->every % 3;
    if (turn == 2) {
        memset(v->sums, 0, (size_t)r->statistic_floats * sizeof *v->sums);
        network_statistics(r->network, v->other, r->images, v->sums);
        if (memcmp(v->sums, v->true_sums, (size_t)r->statistic_floats * sizeof *v->sums))
            fail_msg("%s: statistics from inside step %d are others", r->name, step);
        return true;
    }
    struct loss loss = {0};
    network_evaluate(r->network, turn ? v->other : weights_of(r), r->statistics, r->images,
                     r->labels, r->a.batch, &loss);
    if (memcmp(&loss, &v->truth[turn], sizeof loss))
        fail_msg("%s: an evaluation from inside step %d gives the loss %.9g, not %.9g", r->name,
                 step, loss.sum, v->truth[turn].sum);
    return true;
}

static void check_visits(struct network_fixture *r)
{
    fixture_gradient(r);
    float *truth = copy_of(r->g, r->floats), *w = copy_of(r->w, r->floats);
    struct visit v = {.fixture = r, .every = r->a.units == SMALL_UNITS ? 1 : 15};
    v.sums = xcalloc(2 * (size_t)r->statistic_floats, sizeof *v.sums);
    v.true_sums = v.sums + r->statistic_floats;
    v.truth[0] = fixture_evaluate(r);
    fixture_set_weights(r, OTHER_SEED);
    float *other = copy_of(r->w, r->floats);
    v.other = (struct weights){other, r->weights_version++};
    memcpy(r->w, w, (size_t)r->floats * sizeof *w);
    network_evaluate(r->network, v.other, r->statistics, r->images, r->labels, r->a.batch,
                     &v.truth[1]);
    network_statistics(r->network, v.other, r->images, v.true_sums);
    struct loss loss = {0};
    for (int64_t i = 0; i < r->floats; i++)
        r->g[i] = NAN;
    assert_true(
        network_gradient(r->network, weights_of(r), r->images, r->labels, r->g, &loss, visit, &v));
    assert_same_bits(r, "a gradient with evaluations in between", r->g, truth, r->floats);
    xfree(v.sums);
    xfree(other);
    xfree(w);
    xfree(truth);
}

static void test_evaluation_inside_a_gradient(void **state)
{
    (void)state;
    for_each_engine(&small, check_visits);
    for_each_engine(&large, check_visits);
}

static void check_weights_versions(struct network_fixture *r)
{
    static const uint64_t unknown = 0;
    float *truth[2];
    uint64_t weights_version[2];
    for (int k = 1; k >= 0; k--) { /* each at a weights_version of its own, in the same memory */
        fixture_set_weights(r, k ? OTHER_SEED : SEED);
        weights_version[k] = r->weights_version;
        fixture_gradient(r);
        truth[k] = copy_of(r->g, r->floats);
    }
    assert_true(memcmp(truth[0], truth[1], (size_t)r->floats * sizeof *truth[0]));
    /* Weights 0 lie in r->w now. Which weights, under which weights_version; what a backend kept of
     * those before must not matter. */
    static const struct {
        int weights;
        bool known, evaluates;
    } steps[] = {{0, true, false}, {0, false, false}, {1, false, false}, {1, true, true},
                 {0, true, false}, {1, false, true},  {1, true, false},  {0, false, false},
                 {0, true, false}, {0, true, true}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int k = steps[i].weights;
        char what[80];
        snprintf(what, sizeof what, "step %zu, weights %d under %s", i, k,
                 steps[i].known ? "their weights_version" : "weights_version 0");
        fixture_set_weights(r, k ? OTHER_SEED : SEED);
        r->weights_version = steps[i].known ? weights_version[k] : unknown;
        if (steps[i].evaluates)
            fixture_evaluate(r);
        fixture_gradient(r);
        assert_same_bits(r, what, r->g, truth[k], r->floats);
    }
    for (int k = 0; k < 2; k++)
        xfree(truth[k]);
}

static void test_weights_versions(void **state)
{
    (void)state;
    for_each_engine(&small, check_weights_versions);
}

/* A gradient, whatever was computed before it and whatever the memory holds; with `cache` in a
 * network opened anew as well. */
static void check_repeats(const struct engine *engine, const char *cache)
{
    struct fixture_options options = small;
    options.cache = cache;
    float *truth = NULL;
    struct loss losses[2] = {{0}};
    for (int round = 0; round < 2; round++) {
        struct engine spied = *engine;
        spied.backend = spy_on(engine->backend, false);
        struct network_fixture r;
        fixture_open(&r, &spied, &options);
        for (int again = 0; again < 3; again++) {
            fixture_set_batch(&r, 0);
            losses[0] = fixture_gradient(&r);
            losses[1] = fixture_evaluate(&r);
            if (!truth)
                truth = copy_of(r.g, r.floats);
            assert_same_bits(&r, round ? "opened again" : "computed again", r.g, truth, r.floats);
            fixture_set_batch(&r, 1);
            fixture_gradient(&r);
            struct loss other = fixture_evaluate(&r);
            assert_true(other.sum != losses[1].sum);
            spy_poison();
        }
        assert_true(isfinite(losses[0].sum) && isfinite(losses[1].sum));
        fixture_close(&r);
    }
    xfree(truth);
}

static void test_repeats(void **state)
{
    (void)state;
    struct engine engines[MOST_ENGINES];
    int count = list_engines(engines);
    for (int e = 0; e < count; e++) {
        char cache[] = "/tmp/test_network.XXXXXX";
        int file = mkstemp(cache);
        assert_true(file >= 0);
        close(file);
        check_repeats(&engines[e], cache);
        unlink(cache);
    }
}

static void check_count(struct network_fixture *r)
{
    const int batch = r->a.batch, classes = r->a.classes,
              floats = r->a.height * r->a.width * r->a.channels;
    struct loss whole = fixture_evaluate(r), sum = {0};
    struct loss each;
    float *logits = copy_of(spy_logits(), batch * classes);
    for (int count = batch; count >= 0; count--) {
        for (int i = count * floats; i < batch * floats; i++)
            r->floats_of_images[i] = NAN; /* what lies after is not read */
        struct loss loss = {.sum = 100, .top1 = 1000, .top5 = 2000};
        network_evaluate(r->network, weights_of(r), r->statistics, r->images, r->labels, count,
                         &loss);
        sum = (struct loss){.sum = 100, .top1 = 1000, .top5 = 2000};
        for (int b = 0; b < count; b++) {
            softmax_loss(logits + b * classes, r->labels + b, 1, classes,
                         (float)r->options.smoothing, NULL, &each);
            sum.sum += each.sum;
            sum.top1 += each.top1;
            sum.top5 += each.top5;
        }
        if (!(fabs(loss.sum - sum.sum) <= 1e-6 * (1 + sum.sum - 100)) || loss.top1 != sum.top1 ||
            loss.top5 != sum.top5)
            fail_msg(
                "%s: %d of the batch: loss %.9g, %d and %d hits; of the logits %.9g, %d and %d",
                r->name, count, loss.sum, (int)loss.top1, (int)loss.top5, sum.sum, (int)sum.top1,
                (int)sum.top5);
    }
    assert_true(fabs(whole.sum) > 0);
    xfree(logits);
}

/* *loss is added to; only the first images count, and those after may be anything. */
static void test_part_of_a_batch(void **state)
{
    (void)state;
    struct engine engines[MOST_ENGINES];
    int count = list_engines(engines);
    for (int e = 0; e < count; e++) {
        struct network_fixture r;
        struct engine spied = engines[e];
        spied.backend = spy_on(engines[e].backend, false);
        fixture_open(&r, &spied, &small);
        check_count(&r);
        fixture_close(&r);
    }
}

/* The book of every tensor, through a gradient with evaluations in between. */
static void check_plan(const struct engine *engine, const struct fixture_options *options)
{
    struct engine spied = *engine;
    spied.backend = spy_on(engine->backend, true);
    struct network_fixture r;
    fixture_open(&r, &spied, options);
    check_visits(&r);
    assert_true(spy_reads() > 10 * r.a.units);
    fixture_close(&r);
}

static void test_plan(void **state)
{
    (void)state;
    static const char *const names[] = {"resnet50", "resnet50", "resnet18"}, *const stems[] = {
                                                                                 "cifar",
                                                                                 "imagenet",
                                                                                 "imagenet"};
    struct engine engines[MOST_ENGINES];
    int count = list_engines(engines);
    for (int e = 0; e < count; e++)
        check_plan(&engines[e], &small);
    for (int i = 0; i < 3; i++) {
        struct fixture_options options = large;
        options.model.name = names[i];
        options.stem = stems[i];
        options.model.height = options.model.width = i ? 32 : 8;
        check_plan(&engines[0], &options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_hook),
        cmocka_unit_test(test_evaluation_inside_a_gradient),
        cmocka_unit_test(test_weights_versions),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_part_of_a_batch),
        cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
