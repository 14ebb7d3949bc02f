/* Delays as schemes meet them: what nothing interrupts, and what comes by the clock. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/option_list.h"
#include "tests/scheme_harness.h"

static void run(struct experiment *e, const char *scheme, const char *delay, const char *key)
{
    struct option_list w = {0};
    add_plain_sgd(&w, scheme, 0.001);
    add_option(&w, "workers=4");
    add_option(&w, "minibatches=4");
    add_option(&w, "batch=16");
    add_option(&w, "samples=4000");
    add_option(&w, "sim-minibatch=0.01");
    add_option(&w, "delay=%s", delay);
    add_option(&w, "delay-key=%s", key);
    experiment_defaults(e, option_list_words(&w));
    experiment_run(e);
}

/* A worker in a delay hears the signal and pushes; one that stands still is waited for. */
static void nobody_hears_who_stands_still(void **state)
{
    (void)state;
    for (int still = 0; still < 2; still++) {
        struct experiment e;
        run(&e, "nbssgd", still ? "constant:0.5!@2" : "constant:0.5@2", "attempts");
        double update_s = e.out.seconds / (double)e.out.updates;
        if (still ? update_s < 0.4 : update_s > 0.06)
            fail_msg("%s: %g s an update", still ? "standstill" : "delay", update_s);
        experiment_close(&e);
    }
}

/* Seconds before `end_s` for which a rank's machine is away. */
static double away_s(const char *text, uint64_t seed, int rank, double block_s, double end_s)
{
    struct delay d = delay_parse(text, 5);
    double at_s = block_s, sum = 0;
    for (int64_t k = 0; at_s < end_s; k++) {
        double delay_s = delay_at(&d, seed, rank, k, false);
        sum += fmin(delay_s, end_s - at_s);
        at_s += delay_s + block_s;
    }
    return sum;
}

/* Workers that hardly wait lose the same moments to their machines, whether their mini-batches are
 * dropped or not; keyed by attempts, whoever drops them draws again. */
static void by_the_clock_all_schemes_meet_the_same_moments(void **state)
{
    (void)state;
    static const char *const list[] = {"asgd", "nbssgd", "hogwild", "rennala"};
    const char *delay = "stall:0.05,0.4;uniform:0,0.01";
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct experiment e;
        run(&e, list[i], delay, "clock");
        for (int k = 0; k < 4; k++) {
            double wanted = away_s(delay, (uint64_t)e.options.seed, 1 + k, 0.01, e.out.seconds),
                   got = e.out.worker[k].delay_s;
            if (!(fabs(got - wanted) <= 0.03 * wanted + 0.1))
                fail_msg("%s: rank %d was held up for %g s instead of %g", list[i], 1 + k, got,
                         wanted);
        }
        experiment_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_hears_who_stands_still),
        cmocka_unit_test(by_the_clock_all_schemes_meet_the_same_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
