/* AccumAdam and AccumAdamW against their formula in double, a weight at a time; with windows of one
 * step they are Adam and AdamW, bit for bit; any cut and any threads give the same bits. */
#include "optimizer/optimizer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "tests/death_test.h"

enum { COUNT = 3000, STEPS = 7 };

static const struct range no_decay[] = {{3, 40}, {1000, 1001}};
static const double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-4;

static struct optimizer_options options_of(const char *rule, int64_t window, double decay)
{
    return (struct optimizer_options){.rule = rule,
                                      .beta1 = beta1,
                                      .beta2 = beta2,
                                      .epsilon = epsilon,
                                      .decay = decay,
                                      .accum_iter = window,
                                      .threads = 1};
}

static float number(uint64_t key, int64_t i)
{
    struct random r = random_at(RANDOM_TEST, 410, key, (uint64_t)i, 0);
    return (float)random_normal(&r);
}

static double rate_at(int step)
{
    return 0.1 / (1 + step);
}

/* Weights after STEPS steps by these options, cut at `cut`. */
static void run(float *w, const struct optimizer_options *o, int64_t cut)
{
    static float g[COUNT];
    const int64_t ends[] = {0, cut, COUNT};
    for (int64_t i = 0; i < COUNT; i++)
        w[i] = number(0, i);
    for (int part = 0; part < 2; part++) {
        int64_t from = ends[part];
        struct optimizer *p = optimizer_open(o, (struct range){from, ends[part + 1]}, no_decay, 2);
        for (int step = 0; step < STEPS; step++) {
            for (int64_t i = 0; i < COUNT; i++)
                g[i] = number(1 + (uint64_t)step, i);
            optimizer_step(p, w + from, g + from, rate_at(step));
        }
        optimizer_close(p);
    }
}

/* One weight after STEPS steps: Decent-DP's rule, line by line. */
static double truth(int64_t i, int64_t s, double decay, bool decoupled)
{
    double x = number(0, i), m = 0, v = 0, mean = 0;
    if ((i >= 3 && i < 40) || i == 1000)
        decay = 0;
    for (int t = 1; t <= STEPS; t++) {
        double g = number((uint64_t)t, i), lr = rate_at(t - 1);
        if (decoupled)
            x *= 1 - lr * decay;
        else
            g += decay * x;
        mean += g / (double)s;
        double now_m = m + (1 - beta1) * g, now_v = v + (1 - beta2) * g * g;
        double windows = ceil((double)t / (double)s);
        double c1 = 1 - pow(beta1, windows), c2 = 1 - pow(beta2, windows);
        x -= lr / c1 * now_m / (sqrt(now_v) / sqrt(c2) + epsilon);
        if (t % s == 0) {
            m = beta1 * (m + (1 - beta1) * mean);
            v = beta2 * (v + (1 - beta2) * mean * mean);
            mean = 0;
        }
    }
    return x;
}

static void each_step_is_the_formula_in_double(void **state)
{
    (void)state;
    static float w[COUNT];
    for (int decoupled = 0; decoupled < 2; decoupled++)
        for (int64_t s = 1; s <= 4; s++)
            for (int decays = 0; decays < 2; decays++) {
                double decay = 0.05 * decays;
                struct optimizer_options o =
                    options_of(decoupled ? "accumadamw" : "accumadam", s, decay);
                run(w, &o, COUNT);
                for (int64_t i = 0; i < COUNT; i++) {
                    double wanted = truth(i, s, decay, decoupled);
                    if (!(fabs(w[i] - wanted) < 3e-6 * fmax(1, fabs(wanted))))
                        fail_msg("%s, windows of %d, decay %g, weight %d: %.9g, not %.9g", o.rule,
                                 (int)s, decay, (int)i, w[i], wanted);
                }
            }
}

static void windows_of_one_step_are_adam(void **state)
{
    (void)state;
    static float w[COUNT], adam[COUNT];
    for (int decoupled = 0; decoupled < 2; decoupled++) {
        struct optimizer_options accum = options_of(decoupled ? "accumadamw" : "accumadam", 1, 0.1),
                                 plain = options_of(decoupled ? "adamw" : "adam", 0, 0.1);
        run(w, &accum, COUNT);
        run(adam, &plain, COUNT);
        assert_memory_equal(w, adam, sizeof w);
    }
}

static void cuts_and_threads_change_no_bit(void **state)
{
    (void)state;
    static float w[COUNT], other[COUNT];
    struct optimizer_options o = options_of("accumadam", 3, 0.1);
    run(w, &o, COUNT);
    run(other, &o, 1717);
    assert_memory_equal(w, other, sizeof w);
    o.threads = 3;
    run(other, &o, COUNT);
    assert_memory_equal(w, other, sizeof w);
}

static void what_is_forgotten_is_as_at_first(void **state)
{
    (void)state;
    float w[10], other[10], g[10];
    struct optimizer_options o = options_of("accumadam", 3, 0.1);
    struct optimizer *used = optimizer_open(&o, (struct range){0, 10}, NULL, 0),
                     *new = optimizer_open(&o, (struct range){0, 10}, NULL, 0);
    for (int i = 0; i < 10; i++) {
        w[i] = number(0, i);
        g[i] = number(1, i);
    }
    for (int step = 0; step < 4; step++)
        optimizer_step(used, w, g, 0.1);
    optimizer_forget(used);
    memcpy(other, w, sizeof other);
    optimizer_step(used, w, g, 0.1);
    optimizer_step(new, other, g, 0.1);
    assert_memory_equal(w, other, sizeof w);
    optimizer_close(used);
    optimizer_close(new);
}

static void opens(const void *options)
{
    optimizer_open(options, (struct range){0, 10}, NULL, 0);
}

static void a_window_has_steps_and_no_device_has_the_rule(void **state)
{
    (void)state;
    const struct optimizer_options none = options_of("accumadam", 0, 0),
                                   bad = {.rule = "accumadamw", .beta1 = 2, .accum_iter = 1};
    assert_dies(EXIT_USER, opens, &none, (const char *const[]){"--accum-iter 0: give", NULL});
    assert_dies(EXIT_USER, opens, &bad, (const char *const[]){"--beta1 2", NULL});
    assert_true(optimizer_fits_device("adam"));
    assert_false(optimizer_fits_device("accumadam") || optimizer_fits_device("lamb"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_is_the_formula_in_double),
        cmocka_unit_test(windows_of_one_step_are_adam),
        cmocka_unit_test(what_is_forgotten_is_as_at_first),
        cmocka_unit_test(cuts_and_threads_change_no_bit),
        cmocka_unit_test(a_window_has_steps_and_no_device_has_the_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
