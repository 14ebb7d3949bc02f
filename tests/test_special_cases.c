/* What each paper says its scheme becomes in a special case, on the simulated network and the
 * quadratic toy.
 *
 * Two runs that are the same by theory are compared: bit for bit where the arithmetic is the same,
 * too, else to rounding. */
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

#include "scheme/scheme.h"
#include "tests/special_case.h"

static void alone_every_server_scheme_is_serial(void **state)
{
    (void)state;
    static const struct twin twins[] = {{"ssgd", ""},
                                        {"nbssgd", ""},
                                        {"asgd", ""},
                                        {"ringmaster", ""},
                                        {"ringleader", ""},
                                        {"ringmaster", "ringmaster-stops=yes"},
                                        {"dcasgd", ""},
                                        {"dcasgd", "dc=adaptive dc-lambda=2"},
                                        {"downpour", ""},
                                        {"hogwild", ""},
                                        {"ssp", "ssp-staleness=0"},
                                        {"ssp", "ssp-staleness=3"},
                                        {"backup", "backup-workers=0"},
                                        {"rennala", ""},
                                        {"anytime", "anytime-seconds=0.21"},
                                        {"allreduce", ""},
                                        {"eager", ""},
                                        {"local", ""},
                                        {"dpsgd", ""},
                                        {"nbgossip", ""}};
    for (size_t i = 0; i < sizeof twins / sizeof *twins; i++) {
        double difference = apart(twins[i], (struct twin){"serial", ""}, 1, 2);
        if (!(difference < rounding))
            fail_msg("%s %s ends %g apart", twins[i].scheme, twins[i].options, difference);
    }
}

/* The mean is of those who are there, however many were wanted once. */
static void who_has_left_takes_nothing_from_the_step(void **state)
{
    (void)state;
    const struct twin those_left = {"ssgd", "depart=2=4,3=8"};
    assert_true(apart(those_left, (struct twin){"ssgd", ""}, 4, 2) > rounding);
    assert_true(
        apart((struct twin){"backup", "backup-workers=0 depart=2=4,3=8"}, those_left, 4, 2) == 0);
}

static void racing_nbssgd_counts_no_update_without_a_gradient(void **state)
{
    (void)state;
    struct experiment e;
    run_special_case(&e, "nbssgd", 4, 4, "nb-server=racing slow=4=9");
    assert_int_equal(e.out.server.minibatches_per_update.bin[0], 0);
    assert_true(e.out.server.minibatches_per_update.count > 0);
    experiment_close(&e);
}

static void downpour_that_always_exchanges_is_asgd(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"downpour", DELAYS}, (struct twin){"asgd", DELAYS}, 4, 2) == 0);
}

enum { LINEAR = 2, RULES = 4 };
static const char *const rules[RULES] = {"momentum=0.9 weight-decay=0.1",
                                         "optimizer=nesterov momentum=0.8",
                                         "optimizer=adam lr=0.02", "optimizer=adagrad clip=0.5"};

static void same_by_rule(struct twin a, const char *b, int workers, int count)
{
    char options[200];
    for (int r = 0; r < count; r++) {
        snprintf(options, sizeof options, "%s %s", a.options, rules[r]);
        double difference =
            apart((struct twin){a.scheme, options}, (struct twin){b, rules[r]}, workers, 2);
        if (!(difference < rounding))
            fail_msg("%s %s ends %g from %s", a.scheme, options, difference, b);
    }
}

/* One worker: the server's moves are its own, however seldom they meet, by every rule. */
static void local_moves_are_the_servers(void **state)
{
    (void)state;
    same_by_rule((struct twin){"downpour", "n-push=1 n-fetch=4"}, "serial", 1, RULES);
    same_by_rule((struct twin){"downpour", "n-push=3 n-fetch=6"}, "serial", 1, RULES);
    same_by_rule((struct twin){"ssp", "ssp-staleness=3"}, "serial", 1, RULES);
}

static void downpours_warm_start_is_one_workers(void **state)
{
    (void)state;
    struct experiment e;
    run_special_case(&e, "downpour", 4, 1, "warm-start=0.5");
    assert_in_range(e.out.worker[0].samples, e.out.samples / 2, e.out.samples);
    for (int i = 1; i < 4; i++)
        assert_in_range(e.out.worker[i].samples, 1, e.out.samples / 4);
    experiment_close(&e);
}

static void ssp_without_slack_is_bulk_synchronous(void **state)
{
    (void)state;
    same_by_rule((struct twin){"ssp", "ssp-staleness=0 delay=exponential:0.05"}, "ssgd", 4, LINEAR);
}

/* While a worker computes batch c the slowest has finished c - s at least; some use all of s. */
static void ssp_keeps_its_bound(void **state)
{
    (void)state;
    for (int slack = 0; slack < 5; slack++) {
        struct experiment e;
        struct option_list w = {0};
        int64_t finished[4] = {0}, widest = 0;
        add_plain_sgd(&w, "ssp", 1);
        add_option(&w, "workers=4");
        add_option(&w, "minibatches=1");
        add_option(&w, "batch=4");
        add_option(&w, "samples=1600");
        add_option(&w, "ssp-staleness=%d", slack);
        add_option(&w, "slow=2=7");
        add_option(&w, DELAYS);
        experiment_defaults(&e, option_list_words(&w));
        experiment_run(&e);
        for (int i = 0; i < e.ledger->entries; i++) {
            const struct entry *a = &e.ledger->entry[i];
            int64_t least = finished[0];
            for (int k = 1; k < 4; k++)
                least = finished[k] < least ? finished[k] : least;
            assert_int_equal(a->index, finished[a->worker]);
            widest = a->index - least > widest ? a->index - least : widest;
            finished[a->worker]++;
        }
        assert_int_equal(widest, slack);
        experiment_close(&e);
    }
}

static void backup_without_backups_is_ssgd(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"backup", "backup-workers=0 " DELAYS},
                      (struct twin){"ssgd", DELAYS}, 4, 2) == 0);
}

static void backup_does_not_wait_for_the_slowest(void **state)
{
    (void)state;
    struct experiment e;
    run_special_case(&e, "backup", 4, 1, "backup-workers=1 slow=4=100");
    assert_int_equal(e.out.server.contributions.bin[3], e.out.updates);
    assert_int_equal(e.out.worker[3].minibatches, 1); /* its first, which was too late */
    assert_true(e.out.seconds < 0.1 * (double)e.out.updates * 1.2 + 10.1);
    experiment_close(&e);
}

static void rennala_at_one_speed_is_ssgd(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"rennala", "rennala-batch=4"}, (struct twin){"ssgd", ""}, 4,
                      1) < rounding);
    assert_true(apart((struct twin){"rennala", "rennala-batch=8"}, (struct twin){"ssgd", ""}, 4,
                      1) > rounding);
    assert_true(apart((struct twin){"rennala", ""}, (struct twin){"ssgd", ""}, 4, 3) < rounding);
}

static void anytime_with_time_for_a_batch_is_ssgd(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"anytime", "anytime-seconds=0.35"}, (struct twin){"ssgd", ""},
                      4, 3) < rounding);
}

static void anytime_takes_more_from_the_fast(void **state)
{
    (void)state;
    struct experiment e;
    run_special_case(&e, "anytime", 2, 1, "anytime-seconds=0.45 slow=2=4 samples=800");
    assert_int_equal(e.out.worker[0].minibatches, 4 * e.out.updates);
    assert_int_equal(e.out.worker[1].minibatches, e.out.updates);
    assert_true(e.out.seconds < 0.5 * (double)e.out.updates); /* what is under way is dropped at its
                                                                 next unit, not at its end */
    experiment_close(&e);
}

static void localsgd_of_one_step_is_ssgd(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"localsgd", "local-steps=1 " DELAYS},
                      (struct twin){"ssgd", DELAYS}, 4, 1) < rounding);
    assert_true(apart((struct twin){"localsgd", "local-steps=6 post-local=1"},
                      (struct twin){"ssgd", ""}, 4, 1) < rounding);
}

static void allreduce_is_ssgd(void **state)
{
    (void)state;
    struct twin ssgd = {"ssgd", DELAYS " momentum=0.9"};
    assert_true(apart((struct twin){"allreduce", "allreduce=direct momentum=0.9 " DELAYS}, ssgd, 4,
                      2) == 0);
    assert_true(apart((struct twin){"allreduce", "allreduce=ring momentum=0.9 " DELAYS}, ssgd, 4,
                      2) < rounding);
    assert_true(apart((struct twin){"allreduce", "allreduce=vendor momentum=0.9 " DELAYS}, ssgd, 4,
                      2) < rounding);
}

static void eager_at_one_speed_is_ssgd(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"eager", ""}, (struct twin){"ssgd", ""}, 4, 2) < rounding);
    assert_true(apart((struct twin){"eager", "eager-trigger=majority"}, (struct twin){"ssgd", ""},
                      4, 2) < rounding);
}

/* A slow worker's gradients are late, but none is lost: what each worker gave is in w[1 +
 * worker]. */
static void eager_loses_no_gradient(void **state)
{
    (void)state;
    static const char *const modes[] = {"eager-trigger=solo", "eager-trigger=majority"};
    for (int mode = 0; mode < 2; mode++) {
        struct experiment e;
        struct option_list w = {0};
        double given = 0;
        add_plain_sgd(&w, "eager", 1);
        add_option(&w, "workers=4");
        add_option(&w, "minibatches=2");
        add_option(&w, "batch=8");
        add_option(&w, "samples=1600");
        add_option(&w, "slow=3=5");
        add_option(&w, DELAYS);
        add_option(&w, "%s", modes[mode]);
        experiment_defaults(&e, option_list_words(&w));
        experiment_run(&e);
        for (int i = 0; i < 4; i++)
            given += e.out.w[1 + i] * 4 * 2;
        assert_true(fabs(given * 4 - (double)e.out.samples) < 1);
        assert_true(fabs(e.out.w[0] * 4 * 2 - given) < 0.1);
        assert_true(e.out.worker[2].samples > 0 &&
                    e.out.server.staleness.bin[0] < e.out.server.staleness.count);
        experiment_close(&e);
    }
}

/* A worker five times as slow as the others: solo never waits for it, majority does when it is
 * drawn. */
static void a_majority_waits_for_who_is_drawn(void **state)
{
    (void)state;
    struct experiment solo, majority;
    run_special_case(&solo, "eager", 4, 1, "slow=4=5 samples=1600");
    run_special_case(&majority, "eager", 4, 1, "slow=4=5 samples=1600 eager-trigger=majority");
    assert_true(majority.out.seconds > 1.1 * solo.out.seconds);
    experiment_close(&solo);
    experiment_close(&majority);
}

static void hogwild_reaches_what_asgd_reaches(void **state)
{
    (void)state;
    struct experiment e, serial;
    run_special_case(&e, "hogwild", 4, 1, "samples=6400 lr=0.02 " DELAYS);
    run_special_case(&serial, "asgd", 4, 1, "samples=6400 lr=0.02 " DELAYS);
    assert_int_equal(e.out.updates, serial.out.updates);
    assert_true(quadratic_difference(&e.out, &serial.out) < 0.2);
    experiment_close(&e);
    experiment_close(&serial);
}

/* Error feedback: what compression leaves out is not lost, so the toy is learned; everything kept
 * is no compression. */
static void compressed_pushes_still_learn(void **state)
{
    (void)state;
    static const char *const lossy[] = {"compress=bf16", "compress=f16",   "compress=int8",
                                        "compress=topk", "compress=randk", "compress=sign"};
    struct experiment start, exact;
    run_special_case(&start, "ssgd", 4, 1, "samples=1");
    run_special_case(&exact, "ssgd", 4, 1, "samples=12800 lr=0.02");
    double way = quadratic_difference(&exact.out, &start.out);
    for (size_t i = 0; i < sizeof lossy / sizeof *lossy; i++) {
        struct experiment e;
        char options[200];
        snprintf(options, sizeof options, "samples=12800 lr=0.02 compress-ratio=0.1 %s", lossy[i]);
        run_special_case(&e, "ssgd", 4, 1, options);
        if (!(quadratic_difference(&exact.out, &e.out) < 0.2 * way) ||
            !(quadratic_difference(&exact.out, &e.out) > 0))
            fail_msg("%s ends %g apart, of %g in all", lossy[i],
                     quadratic_difference(&exact.out, &e.out), way);
        experiment_close(&e);
    }
    assert_true(apart((struct twin){"ssgd", "compress=topk compress-ratio=1"},
                      (struct twin){"ssgd", ""}, 4, 1) < rounding);
    experiment_close(&start);
    experiment_close(&exact);
}

/* The order of arrivals is all that other delays change. */
static void a_replay_gives_the_same_bits(void **state)
{
    (void)state;
    char folder[] = "/tmp/nbsgd-replay-XXXXXX", record[200], replay[200], file[220];
    assert_non_null(mkdtemp(folder));
    for (const struct scheme *const *each = schemes, *s; (s = *each); each++) {
        struct experiment e, again, other;
        if (!(s->flags & REPLAYS))
            continue;
        snprintf(record, sizeof record,
                 "stale-bound=6 overwrite=yes record=%s/order servers=2 delay=exponential:0.1",
                 folder);
        snprintf(replay, sizeof replay,
                 "stale-bound=6 replay=%s/order servers=2 delay=pareto:0.01,1.2", folder);
        run_special_case(&e, s->name, 4, 2, record);
        run_special_case(&other, s->name, 4, 2, strstr(replay, "servers"));
        run_special_case(&again, s->name, 4, 2, replay);
        if (memcmp(e.out.w, again.out.w, (size_t)e.out.count * sizeof(float)) ||
            !memcmp(e.out.w, other.out.w, (size_t)e.out.count * sizeof(float)))
            fail_msg("%s: the replay ends %g apart, a run without it %g", s->name,
                     quadratic_difference(&e.out, &again.out),
                     quadratic_difference(&e.out, &other.out));
        experiment_close(&e);
        experiment_close(&again);
        experiment_close(&other);
    }
    for (int rank = 0; rank < 2; rank++) {
        snprintf(file, sizeof file, "%s/order.%d", folder, rank);
        assert_int_equal(unlink(file), 0);
    }
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_every_server_scheme_is_serial),
        cmocka_unit_test(who_has_left_takes_nothing_from_the_step),
        cmocka_unit_test(racing_nbssgd_counts_no_update_without_a_gradient),
        cmocka_unit_test(downpour_that_always_exchanges_is_asgd),
        cmocka_unit_test(local_moves_are_the_servers),
        cmocka_unit_test(downpours_warm_start_is_one_workers),
        cmocka_unit_test(ssp_without_slack_is_bulk_synchronous),
        cmocka_unit_test(ssp_keeps_its_bound),
        cmocka_unit_test(backup_without_backups_is_ssgd),
        cmocka_unit_test(backup_does_not_wait_for_the_slowest),
        cmocka_unit_test(rennala_at_one_speed_is_ssgd),
        cmocka_unit_test(anytime_with_time_for_a_batch_is_ssgd),
        cmocka_unit_test(anytime_takes_more_from_the_fast),
        cmocka_unit_test(localsgd_of_one_step_is_ssgd),
        cmocka_unit_test(allreduce_is_ssgd),
        cmocka_unit_test(eager_at_one_speed_is_ssgd),
        cmocka_unit_test(eager_loses_no_gradient),
        cmocka_unit_test(a_majority_waits_for_who_is_drawn),
        cmocka_unit_test(hogwild_reaches_what_asgd_reaches),
        cmocka_unit_test(compressed_pushes_still_learn),
        cmocka_unit_test(a_replay_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
