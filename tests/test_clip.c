/* Gradient clipping: norms whose bits no cut and no thread changes, the step's formula in every
 * rule, and what each scheme clips. */
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
#include "base/squares.h"
#include "scheme/scheme.h"
#include "tests/scheme_harness.h"
#include "tests/quadratic.h"

enum { COUNT = 300 * 1024 + 5, SOURCES = 3 };

/* Of very unequal sizes, so that the order of a plain sum would show. */
static float *random_vector(uint64_t key, double size)
{
    struct random r = random_at(RANDOM_TEST, 200, key, 0, 0);
    float *v = xcalloc(COUNT, sizeof *v);
    for (int i = 0; i < COUNT; i++)
        v[i] = (float)(size * random_normal(&r) * exp2(10 * random_normal(&r)));
    return v;
}

static double norm_of(const float *v, int64_t count, int threads)
{
    struct squares s = {.bad = 0};
    squares_add(&s, v, count, threads);
    return squares_norm(&s);
}

static void no_cut_and_no_thread_changes_a_norm(void **state)
{
    (void)state;
    static const double sizes[] = {1e-12, 1e-3, 1, 1e12};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        float *v = random_vector(k, sizes[k]);
        long double sum = 0;
        for (int i = 0; i < COUNT; i++)
            sum += (long double)v[i] * v[i];
        double norm = norm_of(v, COUNT, 1), truth = (double)sqrtl(sum);
        assert_true(fabs(norm - truth) < 1e-12 * truth);
        assert_true(norm_of(v, COUNT, 3) == norm);
        for (int parts = 2; parts < 40; parts += 5) {
            struct squares whole = {.bad = 0};
            for (int part = parts - 1; part >= 0; part--) {
                struct range at = range_split(COUNT, part, parts, CACHE_LINE_FLOATS);
                struct squares some = {.bad = 0};
                squares_add(&some, v + at.from, at.to - at.from, 1);
                const struct squares_packed sent = squares_pack(&some);
                some = squares_unpack(&sent);
                squares_join(&whole, &some);
            }
            assert_true(squares_norm(&whole) == norm);
        }
        xfree(v);
    }
}

static void a_norm_knows_its_limits(void **state)
{
    (void)state;
    float v[40] = {0};
    assert_true(norm_of(v, 40, 1) == 0);
    v[39] = 3e38F;
    v[3] = -3e38F;
    assert_true(fabs(norm_of(v, 40, 1) - sqrt(2) * (double)3e38F) < 1e30);
    v[3] = NAN;
    assert_true(isinf(norm_of(v, 40, 1)));
    v[3] = -INFINITY;
    assert_true(isinf(norm_of(v, 40, 1)));
}

/* A step with a clipped sum of gradients is a step with its multiple, in double to rounding. */
static void every_rule_steps_with_the_clipped_gradient(void **state)
{
    (void)state;
    char rules[200], *save = NULL;
    snprintf(rules, sizeof rules, "%s", optimizer_rules());
    for (char *rule = strtok_r(rules, "|", &save); rule; rule = strtok_r(NULL, "|", &save))
        for (int long_one = 0; long_one < 2; long_one++) {
            struct optimizer_options o = {.rule = rule,
                                          .momentum = 0.9,
                                          .beta1 = 0.9,
                                          .beta2 = 0.99,
                                          .epsilon = 1e-8,
                                          .accum_iter = 2,
                                          .trust = 0.01,
                                          .decay = 0.01,
                                          .threads = 2};
            float *w = random_vector(1, 1), *other = random_vector(1, 1), *g = random_vector(2, 0);
            float *source[SOURCES];
            const double scale[SOURCES] = {0.5, 0.25, 0.125};
            double sum = 0;
            for (int k = 0; k < SOURCES; k++)
                source[k] = random_vector(10 + (uint64_t)k, 0.01);
            for (int i = 0; i < COUNT; i++) {
                for (int k = 0; k < SOURCES; k++)
                    g[i] += (float)scale[k] * source[k][i];
                sum += (double)g[i] * g[i];
            }
            struct optimizer *plain = optimizer_open(&o, (struct range){0, COUNT}, NULL, 0);
            o.clip = sqrt(sum) * (long_one ? 0.3 : 1.001);
            struct optimizer *clips = optimizer_open(&o, (struct range){0, COUNT}, NULL, 0);
            for (int i = 0; i < COUNT && long_one; i++)
                g[i] *= (float)(o.clip / sqrt(sum));
            for (int step = 0; step < 2; step++) {
                optimizer_step(plain, other, g, 0.1);
                optimizer_step_sum(clips, w, NULL, (const float *const *)source, scale, SOURCES,
                                   0.1);
            }
            for (int i = 0; i < COUNT; i++)
                if (!(fabsf(w[i] - other[i]) <= 1e-6F * fmaxf(1, fabsf(other[i]))))
                    fail_msg("%s, weight %d: %.9g instead of %.9g", rule, i, w[i], other[i]);
            for (int k = 0; k < SOURCES; k++)
                xfree(source[k]);
            xfree(w), xfree(other), xfree(g);
            optimizer_close(plain);
            optimizer_close(clips);
        }
}

/* The toy with four workers. */
static void run(struct experiment *e, const char *scheme, const char *also, double clip)
{
    struct option_list w = {0};
    add_plain_sgd(&w, scheme, 0.05);
    add_option(&w, "network=quadratic");
    add_option(&w, "workers=4");
    add_option(&w, "minibatches=2");
    add_option(&w, "batch=16");
    add_option(&w, "samples=1600");
    add_option(&w, "delay=exponential:0.05");
    if (*also)
        add_option(&w, "%s", also);
    add_option(&w, "clip=%g", clip);
    quadratic_run(e, &w);
}

static double apart(const char *scheme, const char *also, double clip, struct experiment *from)
{
    struct experiment e;
    run(&e, scheme, also, clip);
    double difference = quadratic_difference(&e.out, &from->out);
    experiment_close(&e);
    return difference;
}

/* The mean is clipped, whoever sums it and on however many servers. */
static void synchronous_schemes_clip_the_mean(void **state)
{
    (void)state;
    struct experiment ssgd;
    const double clip = 0.7;
    run(&ssgd, "ssgd", "", clip);
    assert_true(apart("ssgd", "", 0, &ssgd) > 0.01);
    assert_true(apart("ssgd", "servers=3", clip, &ssgd) == 0);
    assert_true(apart("allreduce", "allreduce=direct", clip, &ssgd) == 0);
    assert_true(apart("backup", "backup-workers=0", clip, &ssgd) == 0);
    assert_true(apart("serial", "", clip, &ssgd) < 1e-5);
    experiment_close(&ssgd);
}

/* Equal workers, so that three servers change no message's order. */
static void locked_nbssgd_clips_the_mean(void **state)
{
    (void)state;
    static const char *const options[] = {"servers=1", "servers=3", "servers=3"};
    struct experiment e[3];
    for (int k = 0; k < 3; k++) {
        struct option_list w = {0};
        add_plain_sgd(&w, "nbssgd", 0.05);
        add_option(&w, "network=quadratic");
        add_option(&w, "workers=4");
        add_option(&w, "minibatches=4");
        add_option(&w, "batch=32");
        add_option(&w, "samples=3200");
        add_option(&w, "clip=%g", k == 2 ? 0 : 0.7);
        add_option(&w, "%s", options[k]);
        quadratic_run(&e[k], &w);
    }
    assert_true(quadratic_difference(&e[0].out, &e[1].out) < 1e-5);
    assert_true(quadratic_difference(&e[0].out, &e[2].out) > 0.01);
    for (int k = 0; k < 3; k++)
        experiment_close(&e[k]);
}

/* The ledger's gradients are -1 at w[0] and at one of each worker's own, and once more at the other
 * end: a push has norm sqrt(4), the mean of four sqrt(2 (1 + 4 / 16)). */
static void moved_by(const char *scheme, double norm)
{
    struct experiment e;
    struct option_list w = {0};
    const double clip = 0.5;
    add_plain_sgd(&w, scheme, 1);
    add_option(&w, "workers=4");
    add_option(&w, "minibatches=2");
    add_option(&w, "batch=8");
    add_option(&w, "samples=800");
    add_option(&w, "clip=%g", clip);
    experiment_defaults(&e, option_list_words(&w));
    experiment_run(&e);
    double wanted = (double)e.out.updates * clip / norm;
    if (!(fabs(e.out.w[0] - wanted) < 1e-4 * wanted))
        fail_msg("%s: w[0] is %g, not %g", scheme, e.out.w[0], wanted);
    experiment_close(&e);
}

static void a_push_or_the_mean_is_clipped(void **state)
{
    (void)state;
    moved_by("ssgd", sqrt(2.5));
    moved_by("allreduce", sqrt(2.5));
    moved_by("serial", sqrt(2.5));
    moved_by("asgd", sqrt(4));
    moved_by("hogwild", sqrt(4));
}

/* A step is no longer than lr x C, so no scheme gets further than that for each mini-batch. */
static void every_scheme_clips(void **state)
{
    (void)state;
    for (const struct scheme *const *each = schemes, *s; (s = *each); each++) {
        struct experiment e;
        struct option_list w = {0};
        const double clip = 1e-3;
        double most = 0;
        add_plain_sgd(&w, s->name, 1);
        add_option(&w, "workers=4");
        add_option(&w, "minibatches=2");
        add_option(&w, "batch=8");
        add_option(&w, "samples=256");
        add_option(&w, "delay=exponential:0.05");
        add_option(&w, "clip=%g", clip);
        experiment_defaults(&e, option_list_words(&w));
        experiment_run(&e);
        for (int i = 0; i < LEDGER_FLOATS; i++)
            most = fmax(most, fabs((double)e.out.w[i]));
        if (!(most > 0 && most < clip * (double)(e.out.samples / 4)))
            fail_msg("%s went %g in %lld mini-batches", s->name, most,
                     (long long)e.out.samples / 4);
        experiment_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_cut_and_no_thread_changes_a_norm),
        cmocka_unit_test(a_norm_knows_its_limits),
        cmocka_unit_test(every_rule_steps_with_the_clipped_gradient),
        cmocka_unit_test(synchronous_schemes_clip_the_mean),
        cmocka_unit_test(locked_nbssgd_clips_the_mean),
        cmocka_unit_test(a_push_or_the_mean_is_clipped),
        cmocka_unit_test(every_scheme_clips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
