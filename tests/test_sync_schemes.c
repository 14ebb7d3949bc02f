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

#include "base/random.h"
#include "scheme/dropcompute.h"
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

static void dropcompute_without_a_limit_is_allreduce(void **state)
{
    (void)state;
    assert_same_bits("dropcompute", "dropcompute-tau=inf momentum=0.9 " DELAYS, "allreduce",
                     "momentum=0.9 " DELAYS);
    assert_same_bits("dropcompute", "dropcompute-tau=9 dropcompute-divide=kept momentum=0.9",
                     "allreduce", "momentum=0.9");
    assert_same_bits("dropcompute", "dropcompute-tau=auto dropcompute-steps=3", "allreduce", "");
}

/* A mini-batch takes 0.1 s, four times that at the second worker: within 0.45 s the first finishes
 * its four, the second one. */
static void dropcompute_takes_what_is_finished(void **state)
{
    (void)state;
    static const char *const divide[] = {"all", "kept"};
    for (int kept = 0; kept < 2; kept++) {
        struct experiment e;
        char options[200];
        double by = kept ? 5 : 8;
        snprintf(options, sizeof options,
                 "workers=2 minibatches=4 batch=16 samples=200 slow=2=4 dropcompute-tau=0.45 "
                 "dropcompute-divide=%s",
                 divide[kept]);
        run_ledger(&e, "dropcompute", options);
        assert_int_equal(e.out.updates, 10);
        assert_true(fabs(e.out.w[0] - 10 * 5 / by) < 1e-5);
        assert_true(fabs(e.out.w[1] - 10 * 4 / by) < 1e-5);
        assert_true(fabs(e.out.w[2] - 10 * 1 / by) < 1e-5);
        assert_true(e.out.seconds < 10 * 0.55);
        experiment_close(&e);
    }
}

enum { STEPS = 7, WORKERS = 5, MINIBATCHES = 4, EACH = MINIBATCHES + 1 };

/* Kept mini-batches a second, had this been tau, and their part of all. */
static double rate_at(float t[STEPS][WORKERS][EACH], double tau, double *part)
{
    double kept = 0, seconds = 0;
    for (int k = 0; k < STEPS; k++) {
        double slowest = 0, sum = 1e9;
        for (int i = 0; i < WORKERS; i++) {
            for (int m = 0; m < MINIBATCHES; m++)
                kept += t[k][i][m] <= tau;
            slowest = fmax(slowest, t[k][i][MINIBATCHES - 1]);
            sum = fmin(sum, t[k][i][MINIBATCHES]);
        }
        seconds += fmin(tau, slowest) + sum;
    }
    *part = kept / (STEPS * WORKERS * MINIBATCHES);
    return kept / seconds;
}

static void dropcompute_chooses_the_best_tau(void **state)
{
    (void)state;
    int within = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        float t[STEPS][WORKERS][EACH];
        struct random r = random_at(RANDOM_TEST, 201, seed, 0, 0);
        double best = 0, greatest = 0, least = seed % 2 ? 0.9 : 0, kept;
        for (int k = 0; k < STEPS; k++)
            for (int i = 0; i < WORKERS; i++) {
                double now = 0;
                for (int m = 0; m < MINIBATCHES; m++)
                    t[k][i][m] = (float)(now += 0.1 + 0.05 * pow(random_normal(&r), 4));
                greatest = fmax(greatest, now);
                t[k][i][MINIBATCHES] = (float)(0.02 + 0.1 * i);
            }
        for (double tau = 0.01; tau < greatest + 0.01; tau += 1e-3) {
            double rate = rate_at(t, tau, &kept);
            best = kept >= least ? fmax(best, rate) : best;
        }
        double tau = dropcompute_tau(t[0][0], STEPS, WORKERS, MINIBATCHES, least);
        assert_true(rate_at(t, tau, &kept) >= best && kept >= least);
        within += tau < 0.9 * greatest;
    }
    assert_true(within > 25);
    float even[1][2][3] = {{{0.1F, 0.2F, 0}, {0.1F, 0.2F, 0}}};
    assert_true(fabs(dropcompute_tau(even[0][0], 1, 2, 2, 0) - 0.2) < 1e-5);
}

/* Mini-batches take 0.1 s and 0.35 s. Of eight five are done within 0.4 s, six within 0.7 s, seven
 * within 1.05 s: the fewer, the more a second. The first steps drop nothing. */
static void dropcompute_drops_no_more_than_it_may(void **state)
{
    (void)state;
    static const struct {
        const char *most;
        double kept; /* in ten steps */
    } cases[] = {{"0.1", 10 * 8}, {"0.2", 3 * 8 + 7 * 7}, {"0.4", 3 * 8 + 7 * 5}};
    for (int k = 0; k < 3; k++) {
        struct experiment e;
        char options[200];
        snprintf(options, sizeof options,
                 "workers=2 minibatches=4 batch=16 samples=10000 updates=10 slow=2=3.5 "
                 "dropcompute-steps=3 dropcompute-most=%s",
                 cases[k].most);
        run_ledger(&e, "dropcompute", options);
        assert_int_equal(e.out.updates, 10);
        assert_true(fabs(e.out.w[0] - cases[k].kept / 8) < 1e-5);
        experiment_close(&e);
    }
}

/* Rare long delays: what waiting for them costs is more than what they drop. */
static void dropcompute_is_faster_among_stragglers(void **state)
{
    (void)state;
    static const char stalls[] = "workers=4 minibatches=4 batch=16 samples=9600 delay=stall:0.02,3";
    struct experiment waits, drops;
    run_ledger(&waits, "allreduce", stalls);
    char options[200];
    snprintf(options, sizeof options, "%s dropcompute-steps=20", stalls);
    run_ledger(&drops, "dropcompute", options);
    assert_true(drops.out.samples >= waits.out.samples);
    assert_true(drops.out.seconds < 0.7 * waits.out.seconds);
    assert_true(drops.out.worker[0].aborted_minibatches > 0);
    experiment_close(&waits);
    experiment_close(&drops);
}

static void quorum_with_endless_grace_is_ssgd(void **state)
{
    (void)state;
    assert_same_bits("quorum", "grace=inf momentum=0.9 " DELAYS, "ssgd", "momentum=0.9 " DELAYS);
    assert_same_bits("quorum", "quorum=1 grace=inf servers=3 depart=5=8 " DELAYS, "ssgd",
                     "depart=3=8 " DELAYS);
}

static void quorum_without_grace_is_backup(void **state)
{
    (void)state;
    assert_same_bits("quorum", "quorum=3 grace=0 " DELAYS, "backup", "backup-workers=1 " DELAYS);
    /* ranks begin after the servers */
    assert_same_bits("quorum", "quorum=2 grace=0.03 slow=2=1.1,3=1.2,4=1.6", "quorum",
                     "quorum=2 grace=0.03 slow=4=1.1,5=1.2,6=1.6 servers=3");
}

/* A mini-batch takes 0.1 s; workers come after 0.1, 0.1, 0.13 and 0.3 s. Of each update w[1 + i] is
 * worker i's part. */
static void quorum_takes_who_comes_within_grace(void **state)
{
    (void)state;
    static const struct {
        double grace, parts[4], seconds;
    } cases[] = {{0.02, {10. / 2, 10. / 2, 0, 0}, 1.2},
                 {0.05, {10. / 3, 10. / 3, 10. / 3, 0}, 1.5}};
    for (int k = 0; k < 2; k++) {
        struct experiment e;
        char options[200];
        snprintf(options, sizeof options,
                 "workers=4 slow=3=1.3,4=3 quorum=2 updates=10 samples=100000 grace=%g",
                 cases[k].grace);
        run_ledger(&e, "quorum", options);
        assert_int_equal(e.out.updates, 10);
        assert_true(fabs(e.out.w[0] - 10) < 1e-5);
        for (int i = 0; i < 4; i++)
            assert_true(fabs(e.out.w[1 + i] - cases[k].parts[i]) < 1e-5);
        /* and what is under way then */
        assert_true(e.out.seconds > cases[k].seconds && e.out.seconds < cases[k].seconds + 0.31);
        experiment_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diloco_without_an_outer_step_of_its_own_is_localsgd),
        cmocka_unit_test(diloco_steps_with_nesterovs_momentum),
        cmocka_unit_test(dropcompute_without_a_limit_is_allreduce),
        cmocka_unit_test(dropcompute_takes_what_is_finished),
        cmocka_unit_test(dropcompute_chooses_the_best_tau),
        cmocka_unit_test(dropcompute_drops_no_more_than_it_may),
        cmocka_unit_test(dropcompute_is_faster_among_stragglers),
        cmocka_unit_test(quorum_with_endless_grace_is_ssgd),
        cmocka_unit_test(quorum_without_grace_is_backup),
        cmocka_unit_test(quorum_takes_who_comes_within_grace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
