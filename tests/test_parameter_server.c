/* What schemes depend on in the parameter server, tested by schemes that are made for it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/messages.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"
#include "tests/death_test.h"
#include "tests/scheme_harness.h"

enum { ROUNDS = 300, WORKERS = 3 };

static const double all[WORKERS] = {1, 1, 1};

static void run(struct experiment *e, const struct scheme *s, int workers, const char *const *words)
{
    experiment_defaults(e, words);
    e->workers = workers;
    e->scheme = s;
    experiment_run(e);
}

/* Gives with a pull under way: in even rounds the server takes the push first, in odd ones it wants
 * its weights taken first. */
static void give_and_pull(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    ps_pull(ps, n->w);
    for (int round = 0; ps_wait(ps); round++) {
        node_batch(n);
        ps_push_async(ps, n->sum);
        ps_pull(ps, n->w);
        assert_int_equal(ps_flush_or_pull(ps), round % 2 == 0);
    }
    ps_client_close(ps);
}

static void take_or_answer(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    ps_reply_all(ps);
    for (int round = 0; ps_next(ps); round++) {
        if (round % 2)
            ps_reply(ps, 0);
        if (!n->stop)
            ps_step(ps, all);
        if (round % 2 == 0) {
            net_advance(n->net, 1);
            ps_reply(ps, 0);
        }
    }
    ps_server_close(ps);
}

static void who_gives_hears_of_weights_that_come_first(void **state)
{
    (void)state;
    const struct scheme s = {.name = "asgd", .work = give_and_pull, .serve = take_or_answer};
    struct experiment e;
    run(&e, &s, 1,
        (const char *const[]){"scheme=asgd", "batch=8", "minibatches=1", "samples=408", "lr=1",
                              "momentum=0", NULL});
    assert_int_equal(e.out.samples, 408);
    experiment_close(&e);
}

/* Ten times slower than a mini-batch: there are always several pushes to take. */
static void serve_slowly(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        if (a->departed)
            continue;
        net_advance(n->net, 10 * n->context->minibatch_s);
        ps_step(ps, all);
        ps_reply(ps, a->worker);
    }
    ps_server_close(ps);
}

static void no_worker_starves_at_a_busy_server(void **state)
{
    (void)state;
    const struct scheme s = {.name = "asgd", .work = ps_work, .serve = serve_slowly};
    struct experiment e;
    run(&e, &s, WORKERS,
        (const char *const[]){"scheme=asgd", "batch=8", "minibatches=1", "samples=2400", "lr=1",
                              "momentum=0", NULL});
    for (int i = 0; i < WORKERS; i++)
        assert_in_range(e.out.worker[i].minibatches, ROUNDS / WORKERS - 1, ROUNDS / WORKERS + 2);
    experiment_close(&e);
}

/* --- departures --- */

static void serve_and_count(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    int departures = 0;
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next(ps));) {
        assert_int_equal(ps_present(ps), a->departed || departures ? WORKERS - 1 : WORKERS);
        assert_ptr_equal(a, ps_received(ps, a->worker));
        if (a->departed) {
            assert_int_equal(a->worker, 1);
            assert_int_equal(a->minibatches, 0);
            departures++;
            continue;
        }
        ps_step(ps, all);
        ps_reply(ps, a->worker);
    }
    assert_int_equal(departures, 1);
    assert_int_equal(ps_present(ps), 0);
    ps_server_close(ps);
}

static void a_departure_is_an_event_once(void **state)
{
    (void)state;
    const struct scheme s = {.name = "asgd", .work = ps_work, .serve = serve_and_count};
    struct experiment e;
    run(&e, &s, WORKERS,
        (const char *const[]){"scheme=asgd", "batch=8", "minibatches=1", "samples=400",
                              "depart=2=3", NULL});
    assert_int_equal(e.out.worker[1].minibatches, 3);
    assert_int_equal(e.out.samples, 400);
    experiment_close(&e);
}

/* --- messages that no worker would send --- */

static const struct damage {
    const char *what, *said;
    int64_t version, minibatches;
    size_t bytes;
    bool departs; /* before */
    int64_t clock;
    double computed_s;
} damages[] = {
    {"a vector that is too short", "bytes expected, 400 came", 0, 1, 400, false},
    {"a vector without mini-batches", "0 bytes expected, 400 came", 0, 0, 400, false},
    {"a later version than there is", "this server is at version 0", 7, 0, 0, false},
    {"a negative version", "this server is at version 0", -1, 0, 0, false},
    {"a push after a departure", "which has departed", 0, 0, 0, true},
    {"more mini-batches than samples can be counted", "it counts 6799976246773022720 mini-batches",
     0, 6799976246773022720, 0, false},
    {"fewer mini-batches than none", "it counts -1 mini-batches", 0, -1, 0, false},
    {"a clock before the first", "clock -9223372036854775808", 0, 0, 0, false, INT64_MIN},
    {"a time that is no number", "it took nan s to compute", 0, 0, 0, false, 0, NAN},
};

/* --updates says which. */
static void push_damaged(struct node *n)
{
    const struct damage *d = &damages[n->context->options->updates];
    const struct push_note note = {
        .minibatches = d->minibatches, .clock = d->clock, .computed_s = d->computed_s};
    struct header header = {.tag = TAG_PUSH, .version = d->version};
    struct ps_client *ps = ps_client_open(n);
    ps_pull(ps, n->w);
    ps_wait(ps);
    header_pack(&header, note);
    if (d->departs && n->worker == 0)
        send_note(n->net, 0, TAG_DEPART, ((struct depart_note){0}));
    if (!d->departs || n->worker == 0)
        net_send(n->net, 0, &header, d->bytes ? n->sum : NULL, d->bytes);
    ps_pull(ps, n->w);
    ps_wait(ps);
    ps_client_close(ps);
}

static void run_damaged(const void *argument)
{
    const struct scheme s = {.name = "asgd", .work = push_damaged, .serve = serve_slowly};
    const struct damage *d = argument;
    struct experiment e;
    char updates[20];
    snprintf(updates, sizeof updates, "updates=%d", (int)(d - damages));
    run(&e, &s, d->departs ? 2 : 1, /* one is still there */
        (const char *const[]){"scheme=asgd", "batch=8", "minibatches=1", "samples=400", updates,
                              NULL});
}

static void damaged_pushes_end_the_run(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++)
        assert_dies(EXIT_WORLD, run_damaged, &damages[i],
                    (const char *const[]){"push of version", "from rank 1", damages[i].said, NULL});
}

/* --- reports of workers that agree among themselves --- */

/* All make the same update, as an all-reduce would. */
static void report_batches(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    ps_pull(ps, n->w);
    for (int64_t version = 0; ps_wait(ps); version++) {
        assert_int_equal(n->version, version);
        node_batch(n);
        n->w[0] += 1;
        node_weights_changed(n);
        ps_report(ps, n->w);
        ps_pull(ps, n->w);
    }
    ps_client_close(ps);
}

static void watch(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    ps_monitor(ps, true);
    ps_server_close(ps);
}

static const struct scheme reporting = {
    .name = "allreduce", .work = report_batches, .serve = watch};

/* An update takes BATCH_S of computing, and a message a quarter of that. */
#define BATCH_S 0.1
#define LATENCY_S 0.025
enum { SAMPLES = WORKERS * 8 }; /* of an update */

static void run_reporting(struct experiment *e, const char *limit, const char *evaluations)
{
    run(e, &reporting, WORKERS,
        (const char *const[]){"samples=24000", "scheme=allreduce", "batch=8", "minibatches=1",
                              "lr=1", "momentum=0", "sim-minibatch=0.1", "sim-latency=0.025", limit,
                              evaluations, NULL});
    for (int i = 0; i < WORKERS; i++) /* all end with the same update, whose weights are shown */
        assert_int_equal(e->out.worker[i].minibatches, e->out.updates);
    assert_int_equal(e->out.samples, e->out.updates * SAMPLES);
    assert_true(e->out.w[0] == (float)e->out.updates);
}

static void reports_are_not_waited_for(void **state)
{
    (void)state;
    struct experiment e;
    run_reporting(&e, "samples=2400", "eval-every=100000");
    assert_int_equal(e.out.updates, 2400 / SAMPLES);
    double began_s = LATENCY_S, last_s = 3 * LATENCY_S; /* the first weights; the last report and
                                                           what ends the run */
    double expected_s = began_s + (double)e.out.updates * BATCH_S + last_s;
    if (e.out.seconds > expected_s + BATCH_S / 10)
        fail_msg("%g s, but only computing should take time: %g s", e.out.seconds, expected_s);
    experiment_close(&e);
}

/* Where one is due all wait for rank 0, but then the clock is stopped. */
static void evaluations_take_no_time_of_training(void **state)
{
    (void)state;
    struct experiment e, rare;
    run_reporting(&rare, "samples=2400", "eval-every=100000");
    run_reporting(&e, "samples=2400", "eval-every=240");
    /* the call to go on takes a message: nine evaluations before the last one */
    assert_true(e.out.seconds < rare.out.seconds + 9 * LATENCY_S + BATCH_S / 10);
    experiment_close(&e);
    experiment_close(&rare);
}

static void reporting_workers_end_together(void **state)
{
    (void)state;
    struct experiment e;
    run_reporting(&e, "updates=5", "eval-every=100000");
    assert_int_equal(e.out.updates, 5);
    experiment_close(&e);
    run_reporting(&e, "updates=1", "eval-every=100000");
    assert_int_equal(e.out.updates, 1);
    experiment_close(&e);
    run_reporting(&e, "samples=25", "eval-every=1");
    assert_int_equal(e.out.updates, 2);
    experiment_close(&e);
    for (int tenths = 1; tenths <= 30; tenths++) { /* in the middle of whatever is under way */
        char limit[40];
        snprintf(limit, sizeof limit, "seconds=%g", 0.033 * tenths);
        run_reporting(&e, limit, "eval-every=120");
        assert_true(e.out.seconds >= 0.033 * tenths);
        assert_true(e.out.seconds < 0.033 * tenths + 2 * BATCH_S + 4 * LATENCY_S);
        experiment_close(&e);
    }
}

/* The schedule follows the clock: a rate of an update before would be off by 0.05. */
static void report_rates(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    ps_pull(ps, n->w);
    while (ps_wait(ps)) {
        if (fabs(n->lr - node_lr(n)) > 0.02)
            fail_msg("version %lld, %g s: learning rate %g came, %g is due", (long long)n->version,
                     node_clock(n), n->lr, node_lr(n));
        node_batch(n);
        ps_report(ps, n->w);
        ps_pull(ps, n->w);
    }
    ps_client_close(ps);
}

static void rates_follow_a_limit_by_seconds(void **state)
{
    (void)state;
    const struct scheme s = {.name = "allreduce", .work = report_rates, .serve = watch};
    struct experiment e;
    run(&e, &s, WORKERS,
        (const char *const[]){"samples=24000", "scheme=allreduce", "batch=8", "minibatches=1",
                              "lr=1", "warmup=0", "sim-minibatch=0.1", "sim-latency=0.001",
                              "seconds=3", "eval-every=100000", NULL});
    assert_true(e.out.updates >= 28 && e.out.updates <= 30);
    experiment_close(&e);
}

static void reporting_workers_stop_together(void **state)
{
    (void)state;
    struct experiment e;
    experiment_defaults(&e, (const char *const[]){"scheme=allreduce", "batch=8", "minibatches=1",
                                                  "samples=24000", NULL});
    e.workers = WORKERS;
    e.scheme = &reporting;
    e.stop_requested = true;
    experiment_run(&e);
    assert_int_equal(e.out.status, EXIT_STOPPED);
    assert_int_equal(e.out.updates, 1);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(e.out.worker[i].minibatches, 1);
    experiment_close(&e);
}

/* A loss that is no number ends the run at its update; what has begun after it is dropped. */
static void report_nan(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    ps_pull(ps, n->w);
    while (ps_wait(ps)) {
        node_batch(n);
        n->loss = n->version == 2 && n->worker == 1 ? NAN : n->loss;
        ps_report(ps, n->w);
        ps_pull(ps, n->w);
    }
    ps_client_close(ps);
}

static void work_that_was_begun_after_a_nan_is_dropped(void **state)
{
    (void)state;
    const struct scheme s = {.name = "allreduce", .work = report_nan, .serve = watch};
    struct experiment e;
    run(&e, &s, WORKERS,
        (const char *const[]){"scheme=allreduce", "batch=8", "minibatches=1", "samples=2400",
                              NULL});
    assert_int_equal(e.out.status, EXIT_NAN);
    assert_int_equal(e.out.updates, 3);
    assert_int_equal(e.out.server.dropped_minibatches, WORKERS);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(e.out.worker[i].minibatches, 4);
    experiment_close(&e);
}

/* Updates from whoever has pushed when the time is up; the others' pushes are dropped. */
static void serve_by_the_clock(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    double *scale = xcalloc((size_t)n->context->workers, sizeof *scale), end_s = 0.25;
    int count = 0;
    n->races = true;
    ps_agree_on_order(ps);
    ps_reply_all(ps);
    for (const struct push *a; (a = ps_next_until(ps, end_s));) {
        if (!a->expired && a->staleness) {
            ps_discard(ps, a->worker);
        } else if (!a->expired) {
            scale[a->worker] = !a->departed;
            count += !a->departed;
            continue;
        }
        if (a->expired && n->rank == 0)
            assert_true(fabs(node_clock(n) - end_s) < 1e-6);
        if (a->expired && count) {
            ps_step(ps, scale);
            memset(scale, 0, (size_t)n->context->workers * sizeof *scale);
            count = 0;
        }
        if (a->expired)
            end_s += 0.25;
        ps_reply_all(ps);
    }
    xfree(scale);
    ps_server_close(ps);
}

/* The time that is up at rank 0 is up at all servers, at the same place among the pushes, though
 * these come to each at times of their own. */
static void time_is_up_for_all_servers_at_once(void **state)
{
    (void)state;
    enum { SERVERS = 3 };
    const struct scheme s = {.name = "asgd", .work = ps_work, .serve = serve_by_the_clock};
    struct link_pair pair[SERVERS * WORKERS];
    struct links links = {
        .ranks_per_host = 1, .pair = pair, .pair_count = SERVERS * WORKERS, .between = {1e-3}};
    struct experiment e;
    for (int i = 0; i < links.pair_count; i++)
        pair[i] = (struct link_pair){SERVERS + i / SERVERS, i % SERVERS, {1e-3, .jitter_s = 0.1}};
    experiment_defaults(&e, (const char *const[]){
                                "scheme=asgd", "servers=3", "batch=8", "minibatches=1", "lr=1",
                                "samples=2400", "momentum=0", "weight-decay=0", "warmup=0",
                                "schedule=constant", "delay=exponential:0.1", "depart=4=9", NULL});
    e.workers = WORKERS;
    e.scheme = &s;
    e.links = &links;
    experiment_run(&e);
    assert_true(e.out.samples >= 2400 && e.out.server.dropped_minibatches > 0);
    for (int k = 0; k <= WORKERS; k++)
        assert_true(e.out.w[k] == e.out.w[e.out.count - 1 - k] && e.out.w[k] > 0);
    assert_int_equal(e.out.versions[1], e.out.versions[0]);
    assert_int_equal(e.out.versions[2], e.out.versions[0]);
    experiment_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_gives_hears_of_weights_that_come_first),
        cmocka_unit_test(no_worker_starves_at_a_busy_server),
        cmocka_unit_test(a_departure_is_an_event_once),
        cmocka_unit_test(damaged_pushes_end_the_run),
        cmocka_unit_test(reports_are_not_waited_for),
        cmocka_unit_test(evaluations_take_no_time_of_training),
        cmocka_unit_test(reporting_workers_end_together),
        cmocka_unit_test(rates_follow_a_limit_by_seconds),
        cmocka_unit_test(reporting_workers_stop_together),
        cmocka_unit_test(work_that_was_begun_after_a_nan_is_dropped),
        cmocka_unit_test(time_is_up_for_all_servers_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
