/* Schemes that wait by a rule of their own: their formulas in double, and what they become in
 * special cases, bit for bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scheme/scheme.h"
#include "tests/scheme_harness.h"
#include "tests/quadratic.h"

#define DELAYS "delay=exponential:0.05"

static void add_options(struct option_list *w, const char *more)
{
    char copy[400], *save = NULL;
    snprintf(copy, sizeof copy, "%s", more);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(w, "%s", word);
}

/* On the quadratic, with four workers and two mini-batches a batch. */
static void run(struct experiment *e, const char *scheme, const char *more)
{
    struct option_list w = {0};
    add_plain_sgd(&w, scheme, 0.05);
    add_options(&w, "network=quadratic workers=4 minibatches=2 batch=16 samples=1600");
    add_options(&w, more);
    quadratic_run(e, &w);
}

static void assert_same_bits(const char *a, const char *a_options, const char *b,
                             const char *b_options)
{
    struct experiment first, second;
    run(&first, a, a_options);
    run(&second, b, b_options);
    assert_true(first.out.updates > 5);
    assert_int_equal(first.out.updates, second.out.updates);
    if (memcmp(first.out.w, second.out.w, (size_t)first.out.count * sizeof(float)))
        fail_msg("%s %s ends %g from %s %s", a, a_options,
                 quadratic_difference(&first.out, &second.out), b, b_options);
    experiment_close(&first);
    experiment_close(&second);
}

/* A ledger's gradient is -1 at w[0] and at one of each worker's own. */
static void run_ledger(struct experiment *e, const char *scheme, const char *more)
{
    struct option_list w = {0};
    add_plain_sgd(&w, scheme, 1);
    add_options(&w, "minibatches=1 batch=4");
    add_options(&w, more);
    experiment_defaults(e, option_list_words(&w));
    experiment_run(e);
}

static void diloco_without_an_outer_step_of_its_own_is_localsgd(void **state)
{
    (void)state;
    assert_same_bits("diloco", "outer-lr=1 outer-momentum=0 local-steps=5 momentum=0.9 " DELAYS,
                     "localsgd", "local-steps=5 momentum=0.9 " DELAYS);
    assert_same_bits("diloco", "outer-lr=1 outer-momentum=0 local-steps=3 servers=3 depart=6=10",
                     "localsgd", "local-steps=3 depart=4=10");
}

/* H steps lead each worker H along w[0]. Alone it is the control of the outer step. */
static void diloco_steps_with_nesterovs_momentum(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers += 3) {
        struct experiment e;
        char options[200];
        const double a = 0.6, mu = 0.8, steps = 3;
        double w = 0, v = 0, own = 0;
        snprintf(options, sizeof options,
                 "workers=%d samples=%d local-steps=3 outer-lr=0.6 outer-momentum=0.8 " DELAYS,
                 workers, 4 * 3 * workers * 10);
        run_ledger(&e, "diloco", options);
        for (int i = 0; i < 10; i++) {
            double moved = -steps; /* w - w_i */
            v = mu * v + moved;
            w -= a * (moved + mu * v);
        }
        own = w / workers;
        assert_int_equal(e.out.updates, 10);
        assert_true(fabs(e.out.w[0] - w) < 1e-5 * w);
        for (int i = 0; i < workers; i++)
            assert_true(fabs(e.out.w[1 + i] - own) < 1e-5 * w);
        experiment_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diloco_without_an_outer_step_of_its_own_is_localsgd),
        cmocka_unit_test(diloco_steps_with_nesterovs_momentum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
