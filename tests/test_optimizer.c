/* The optimizer against PyTorch's numbers, against one weight at a time (bit for bit, on any cut
 * and number of threads), and the schedules at the points that their formulas name. */
#include "optimizer/optimizer.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "tests/death_test.h"

enum { SMALL = 10, LARGE = 100 * 1024 + 37, STEPS = 3 };

static const char *const rules[] = {"sgd", "nesterov", "adam", "adamw", "adagrad"};
static const struct range no_decay[] = {{0, 1},      {17, 17},       {40, 75},      {75, 80},
                                        {999, 1031}, {50000, 50001}, {90000, LARGE}};
static const int no_decay_count = sizeof no_decay / sizeof *no_decay;

static struct optimizer_options options_of(const char *rule, double momentum, double decay)
{
    return (struct optimizer_options){.rule = rule,
                                      .momentum = momentum,
                                      .decay = decay,
                                      .beta1 = 0.9,
                                      .beta2 = 0.99,
                                      .epsilon = 1e-8,
                                      .threads = 1};
}

static float *random_vector(uint64_t key, int64_t count)
{
    struct random r = random_at(RANDOM_TEST, 100, key, 0, 0);
    float *v = xcalloc((size_t)count, sizeof *v);
    for (int64_t i = 0; i < count; i++)
        v[i] = (float)random_normal(&r);
    return v;
}

static float *copy_of(const float *v, int64_t count)
{
    float *w = xcalloc((size_t)count, sizeof *w);
    memcpy(w, v, (size_t)count * sizeof *w);
    return w;
}

static void assert_same(const float *got, const float *wanted, int64_t count, const char *what,
                        int step)
{
    for (int64_t i = 0; i < count; i++)
        if (memcmp(&got[i], &wanted[i], sizeof *got))
            fail_msg("%s, step %d, float %lld: %.9g instead of %.9g", what, step, (long long)i,
                     got[i], wanted[i]);
}

static void read_floats(FILE *f, float *to, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(fscanf(f, "%f", &to[i]), 1);
}

static void one_case(FILE *f, const struct optimizer_options *options, int steps)
{
    float w[SMALL], g[SMALL], wanted[SMALL];
    struct optimizer *o =
        optimizer_open(options, (struct range){0, SMALL}, &(struct range){3, 5}, 1);
    read_floats(f, w, SMALL);
    for (int step = 1; step <= steps; step++) {
        double lr;
        assert_int_equal(fscanf(f, " step %lf", &lr), 1);
        read_floats(f, g, SMALL);
        read_floats(f, wanted, SMALL);
        optimizer_step(o, w, g, lr);
        for (int i = 0; i < SMALL; i++)
            if (!(fabsf(w[i] - wanted[i]) <= 4 * FLT_EPSILON * fmaxf(1, fabsf(wanted[i]))))
                fail_msg("%s, momentum %g, decay %g, step %d, weight %d: %.9g, PyTorch has %.9g",
                         options->rule, options->momentum, options->decay, step, i, w[i],
                         wanted[i]);
    }
    optimizer_close(o);
}

static void test_pytorch(void **state)
{
    (void)state;
    FILE *f = fopen("tests/reference/optimizer.txt", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "#%*[^\n]"), 0);
    char rule[20];
    int cases = 0;
    struct optimizer_options o = {.rule = rule, .threads = 1};
    while (fscanf(f, " case %19s %lf %lf %lf %lf %lf", rule, &o.momentum, &o.decay, &o.beta1,
                  &o.beta2, &o.epsilon) == 6) {
        one_case(f, &o, 5);
        cases++;
    }
    assert_true(feof(f));
    assert_int_equal(cases, 12);
    fclose(f);
}

struct single { /* a weight, its state, and the products of its betas */
    float w, m, v;
    double beta1, beta2;
};

static void step_single(struct single *s, const struct optimizer_options *o, float g, bool decays,
                        double rate)
{
    float decay = decays ? (float)o->decay : 0, momentum = (float)o->momentum, lr = (float)rate;
    float d = g + (strcmp(o->rule, "adamw") ? decay : 0) * s->w;
    if (!strcmp(o->rule, "sgd")) {
        s->m = momentum * s->m + d;
        s->w -= lr * s->m;
    } else if (!strcmp(o->rule, "nesterov")) {
        s->m = momentum * s->m + d;
        s->w -= lr * (d + momentum * s->m);
    } else if (!strcmp(o->rule, "adagrad")) {
        s->m += d * d;
        s->w -= lr * d / (sqrtf(s->m) + (float)o->epsilon);
    } else {
        s->beta1 *= o->beta1;
        s->beta2 *= o->beta2;
        double root = sqrt(1 - s->beta2);
        s->m = (float)o->beta1 * s->m + (float)(1 - o->beta1) * d;
        s->v = (float)o->beta2 * s->v + (float)(1 - o->beta2) * d * d;
        float keep = strcmp(o->rule, "adamw") || !decays ? 1 : (float)(1 - rate * o->decay);
        s->w = keep * s->w - (float)(rate * root / (1 - s->beta1)) * s->m /
                                 (sqrtf(s->v) + (float)(o->epsilon * root));
    }
}

/* The weights after STEPS steps, each computed alone. */
static float *alone(const struct optimizer_options *o, const float *first, float *const *g)
{
    float *w = xcalloc(LARGE, sizeof *w);
    for (int64_t i = 0, k = 0; i < LARGE; i++) {
        while (k < no_decay_count && no_decay[k].to <= i)
            k++;
        bool decays = k == no_decay_count || i < no_decay[k].from;
        struct single s = {.w = first[i], .beta1 = 1, .beta2 = 1};
        for (int step = 0; step < STEPS; step++)
            step_single(&s, o, g[step][i], decays, 0.1 / (1 + step));
        w[i] = s.w;
    }
    return w;
}

/* The same by the optimizer, cut into slices at `cuts` (which end with LARGE). */
static float *sliced(const struct optimizer_options *o, const float *first, float *const *g,
                     const int64_t *cuts)
{
    float *w = copy_of(first, LARGE);
    for (int64_t from = 0; from < LARGE; from = *cuts++) {
        struct optimizer *part =
            optimizer_open(o, (struct range){from, *cuts}, no_decay, no_decay_count);
        for (int step = 0; step < STEPS; step++)
            optimizer_step(part, w + from, g[step] + from, 0.1 / (1 + step));
        optimizer_close(part);
    }
    return w;
}

static void test_alone_sliced_threaded(void **state)
{
    (void)state;
    float *first = random_vector(0, LARGE), *g[STEPS];
    for (int step = 0; step < STEPS; step++)
        g[step] = random_vector(1 + (uint64_t)step, LARGE);
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (int variant = 0; variant < 4; variant++) {
            struct optimizer_options o =
                options_of(rules[r], variant & 1 ? 0.9 : 0, variant & 2 ? 0.02 : 0);
            float *wanted = alone(&o, first, g);
            float *whole = sliced(&o, first, g, (const int64_t[]){LARGE});
            float *pieces =
                sliced(&o, first, g, (const int64_t[]){1, 60, 1000, 51313, 51313, 90001, LARGE});
            o.threads = 3;
            float *threads = sliced(&o, first, g, (const int64_t[]){LARGE});
            assert_same(whole, wanted, LARGE, rules[r], variant);
            assert_same(pieces, wanted, LARGE, rules[r], variant + 10);
            assert_same(threads, wanted, LARGE, rules[r], variant + 20);
            xfree(wanted), xfree(whole), xfree(pieces), xfree(threads);
        }
    xfree(first);
    for (int step = 0; step < STEPS; step++)
        xfree(g[step]);
}

static void test_state_bytes(void **state)
{
    (void)state;
    static const int states[] = {1, 1, 2, 2, 1};
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (int with_momentum = 0; with_momentum < 2; with_momentum++) {
            struct optimizer_options o = options_of(rules[r], with_momentum ? 0.5 : 0, 0);
            struct optimizer *p = optimizer_open(&o, (struct range){100, 350}, NULL, 0);
            int wanted = r < 2 && !with_momentum
                             ? 0
                             : states[r]; /* SGD without momentum remembers nothing */
            assert_int_equal(optimizer_state_bytes(p), wanted * 250 * 4);
            optimizer_close(p);
        }
    struct optimizer_options o = options_of("adam", 0, 0.1);
    struct optimizer *empty = optimizer_open(&o, (struct range){7, 7}, no_decay, no_decay_count);
    optimizer_step(empty, NULL, NULL, 0.1);
    optimizer_close(empty);
    optimizer_close(NULL);
}

static void sum_alone(float *to, float *const *source, const double *scale, int sources,
                      int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        float sum = sources ? (float)scale[0] * source[0][i] : 0;
        for (int k = 1; k < sources; k++)
            sum = sum + (float)scale[k] * source[k][i];
        to[i] = sum;
    }
}

static void test_step_sum(void **state)
{
    (void)state;
    enum { SOURCES = 5 };
    static const double scale[SOURCES] = {0.3, 1, -2.5, 1.0 / 3, 1e-3};
    float *source[SOURCES], *first = random_vector(10, LARGE),
                            *wanted = xcalloc(LARGE, sizeof(float)),
                            *sum = xcalloc(LARGE, sizeof(float));
    for (int i = 0; i < SOURCES; i++)
        source[i] = random_vector(11 + (uint64_t)i, LARGE);
    for (int sources = 0; sources <= SOURCES; sources++)
        for (int threads = 1; threads <= 3; threads += 2) {
            struct optimizer_options o = options_of(rules[sources % 5], 0.9, 0.01);
            o.threads = threads;
            struct optimizer *two =
                optimizer_open(&o, (struct range){0, LARGE}, no_decay, no_decay_count);
            struct optimizer *one =
                optimizer_open(&o, (struct range){0, LARGE}, no_decay, no_decay_count);
            float *w2 = copy_of(first, LARGE), *w1 = copy_of(first, LARGE),
                  *g = random_vector(20, LARGE);
            sum_alone(wanted, source, scale, sources, LARGE);
            for (int step = 0; step < STEPS; step++) {
                vector_sum(sum, (const float *const *)source, scale, sources, LARGE, threads);
                assert_same(sum, wanted, LARGE, "vector_sum", sources);
                optimizer_step(two, w2, sum, 0.1);
                optimizer_step_sum(one, w1, step ? g : NULL, (const float *const *)source, scale,
                                   sources, 0.1);
                assert_same(w1, w2, LARGE, "optimizer_step_sum", sources);
            }
            assert_same(g, wanted, LARGE, "the sum left in g", sources);
            optimizer_close(one), optimizer_close(two);
            xfree(w1), xfree(w2), xfree(g);
        }
    /* onto one of the sources; `wanted` is of all five */
    vector_sum(source[2], (const float *const *)source, scale, SOURCES, LARGE, 2);
    assert_same(source[2], wanted, LARGE, "vector_sum in place", 0);
    for (int i = 0; i < SOURCES; i++)
        xfree(source[i]);
    xfree(first), xfree(wanted), xfree(sum);
}

static void test_add_and_copy(void **state)
{
    (void)state;
    static const int64_t counts[] = {0, 1, 15, 16, 1024, LARGE - 1};
    float *a = random_vector(30, LARGE), *b = random_vector(31, LARGE);
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
        for (int threads = 1; threads <= 3; threads += 2) {
            float *to = copy_of(a, LARGE), *wanted = copy_of(a, LARGE);
            for (int64_t i = 0; i < counts[k]; i++)
                wanted[i] += b[i];
            vector_add(to, b, counts[k], threads);
            assert_same(to, wanted, LARGE, "vector_add", threads);
            memcpy(wanted, b, (size_t)counts[k] * sizeof *b);
            vector_copy(to, b, counts[k], threads);
            assert_same(to, wanted, LARGE, "vector_copy", threads);
            xfree(to), xfree(wanted);
        }
    xfree(a), xfree(b);
}

static void finite_but_for(float *v, int64_t at, int64_t count, int threads)
{
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    float kept = v[at];
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        v[at] = bad[k];
        if (vector_finite(v, count, threads))
            fail_msg("%g at %lld of %lld floats, %d threads, was taken for finite", bad[k],
                     (long long)at, (long long)count, threads);
    }
    v[at] = kept;
}

static void test_finite(void **state)
{
    (void)state;
    float *v = random_vector(40, LARGE);
    v[0] = FLT_MAX, v[1] = -FLT_MAX, v[2] = FLT_MIN / 8, v[3] = -0.0f;
    assert_true(vector_finite(v, 0, 1));
    for (int64_t count = 1; count <= 70; count++) {
        v[count] = NAN; /* after the end: not asked for */
        assert_true(vector_finite(v, count, 1));
        v[count] = 1;
        for (int64_t at = 0; at < count; at++)
            finite_but_for(v, at, count, 1);
    }
    for (int threads = 1; threads <= 3; threads++) {
        assert_true(vector_finite(v, LARGE, threads));
        for (int64_t part = 0; part <= 3; part++)
            for (int64_t near = -17; near <= 17; near++) {
                int64_t at = LARGE * part / 3 + near;
                if (at >= 0 && at < LARGE)
                    finite_but_for(v, at, LARGE, threads);
            }
    }
    xfree(v);
}

static void near(const struct schedule *s, double done, double wanted)
{
    double got = schedule_at(s, done);
    if (!(fabs(got - wanted) <= 1e-12))
        fail_msg("%s, warm-up %g, at %g of the run: %.15g instead of %.15g", s->shape, s->warmup,
                 done, got, wanted);
}

static void test_schedules(void **state)
{
    (void)state;
    struct schedule s = {.shape = "constant", .lr = 0.4};
    near(&s, 0, 0.4), near(&s, 0.7, 0.4), near(&s, 1, 0.4), near(&s, 1.5, 0.4);
    s = (struct schedule){
        .shape = "step", .lr = 0.4, .steps = {0.5, 0.75}, .step_count = 2, .gamma = 0.1};
    near(&s, 0, 0.4), near(&s, 0.4999, 0.4), near(&s, 0.5, 0.04), near(&s, 0.75, 0.004),
        near(&s, 1, 0.004);
    s = (struct schedule){.shape = "exponential", .lr = 0.4, .gamma = 0.01};
    near(&s, 0, 0.4), near(&s, 0.5, 0.04), near(&s, 1, 0.004), near(&s, 2, 0.004);
    s = (struct schedule){.shape = "cosine", .lr = 0.4};
    near(&s, 0, 0.4), near(&s, 1.0 / 3, 0.3), near(&s, 0.5, 0.2), near(&s, 2.0 / 3, 0.1),
        near(&s, 1, 0), near(&s, 9, 0);
    s = (struct schedule){.shape = "one-cycle", .lr = 0.5};
    near(&s, 0, 0.02), near(&s, 0.15, 0.26), near(&s, 0.3, 0.5),
        near(&s, 0.65, 0.5 * (1 + 1e-4) / 2), near(&s, 1, 0.5e-4);
    assert_true(schedule_at(&s, 0.3 - 1e-9) < 0.5 && schedule_at(&s, 0.3 + 1e-9) < 0.5);
}

static void test_warmup(void **state)
{
    (void)state;
    struct schedule s = {.shape = "constant", .lr = 0.4, .warmup = 0.1};
    near(&s, 0, 0.016), near(&s, 0.025, 0.112), near(&s, 0.05, 0.208), near(&s, 0.1, 0.4),
        near(&s, 1, 0.4);
    s.shape = "cosine"; /* falls over what is left */
    near(&s, 0, 0.016), near(&s, 0.05, 0.208), near(&s, 0.1, 0.4), near(&s, 0.55, 0.2),
        near(&s, 1, 0);
    s.shape = "exponential", s.gamma = 0.01;
    near(&s, 0, 0.016), near(&s, 0.05, 0.208), near(&s, 0.1, 0.4), near(&s, 0.55, 0.04),
        near(&s, 1, 0.004);
    /* at parts of the whole run */
    s.shape = "step", s.step_count = 2, s.steps[0] = 0.05, s.steps[1] = 0.5;
    near(&s, 0.04, 0.1696), near(&s, 0.05, 0.00208), near(&s, 0.1, 0.004), near(&s, 0.5, 0.4e-4);
    s = (struct schedule){.shape = "one-cycle", .lr = 0.5, .warmup = 0.1}; /* warms up by itself */
    near(&s, 0, 0.02), near(&s, 0.15, 0.26), near(&s, 0.3, 0.5);
    s = (struct schedule){.shape = "cosine", .lr = 1, .warmup = 1};
    near(&s, 0, 0.04), near(&s, 0.5, 0.52), near(&s, 0.75, 0.76);
    assert_true(schedule_at(&s, 1) >= 0);
}

static void opens(const void *options)
{
    optimizer_open(options, (struct range){0, 10}, NULL, 0);
}

static void asks(const void *schedule)
{
    schedule_at(schedule, 0);
}

static void parses(const void *milestones)
{
    struct schedule s = {.shape = "step"};
    schedule_set_milestones(&s, milestones);
}

static void test_mistakes(void **state)
{
    (void)state;
    struct optimizer_options o = options_of("sdg", 0, 0);
    assert_dies(
        EXIT_USER, opens, &o,
        (const char *const[]){"sdg", "sgd|nesterov|adam|adamw|accumadam|accumadamw|adagrad", NULL});
    const struct optimizer_options good = options_of("adam", 0.9, 1e-4);
    assert_dies(0, opens, &good, NULL);
    static const double wrong[] = {NAN, -0.1, INFINITY};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct optimizer_options bad[6] = {good, good, good, good, good, good};
        bad[0].momentum = bad[1].decay = bad[2].beta1 = bad[3].beta2 = bad[4].epsilon = wrong[i];
        bad[5].epsilon = 1e-60;               /* no float */
        bad[0].rule = i ? "sgd" : "nesterov"; /* each rule judges its own numbers */
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
            assert_dies(EXIT_USER, opens, &bad[k], (const char *const[]){": give", NULL});
        const struct schedule fine = {
            .shape = "step", .lr = 0.1, .gamma = 0.1, .steps = {0.5}, .step_count = 1};
        struct schedule worse[4] = {fine, fine, fine, fine};
        worse[0].lr = worse[1].warmup = worse[2].gamma = worse[3].steps[0] = wrong[i];
        for (size_t k = 0; k < sizeof worse / sizeof *worse; k++)
            assert_dies(EXIT_USER, asks, &worse[k], (const char *const[]){": give", NULL});
    }
    const char *milestones[] = {"0.5,x", "0.5,1.5", "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"};
    for (size_t i = 0; i < sizeof milestones / sizeof *milestones; i++)
        assert_dies(EXIT_USER, parses, milestones[i],
                    (const char *const[]){"--milestones '", milestones[i], NULL});
    struct schedule s = {.shape = "cosinus", .lr = 0.1};
    assert_dies(
        EXIT_USER, asks, &s,
        (const char *const[]){"cosinus", "constant|step|exponential|cosine|one-cycle", NULL});
}

static void test_names(void **state)
{
    (void)state;
    struct schedule s = {.shape = "step"};
    schedule_set_milestones(&s, "0.5,0.75");
    assert_true(s.step_count == 2 && s.steps[0] == 0.5 && s.steps[1] == 0.75);
    schedule_set_milestones(&s, "");
    assert_int_equal(s.step_count, 0);
    assert_string_equal(optimizer_rules(),
                        "sgd|nesterov|adam|adamw|accumadam|accumadamw|adagrad|lars|lamb");
    char shapes[200];
    assert_string_equal(schedule_shapes(shapes, sizeof shapes),
                        "constant|step|exponential|cosine|one-cycle");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),     cmocka_unit_test(test_names),
        cmocka_unit_test(test_pytorch),      cmocka_unit_test(test_state_bytes),
        cmocka_unit_test(test_step_sum),     cmocka_unit_test(test_alone_sliced_threaded),
        cmocka_unit_test(test_add_and_copy), cmocka_unit_test(test_finite),
        cmocka_unit_test(test_schedules),    cmocka_unit_test(test_warmup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
