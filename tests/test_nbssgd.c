/* nbssgd on the simulated network: each of its races forced, and its promises held over random
 * runs.
 *
 * Promises of a locked server without carry: a version's update is the mean of exactly the
 * gradients that were computed at its weights (staleness 0), each sample of a shard is used once,
 * in order, aborts or not. The simulator adds its own: no message stays unread, no request leaks,
 * nobody waits without end. */
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
#include "parameter_server/parameter_server.h"
#include "scheme/nbssgd.h"
#include "tests/scheme_harness.h"
#include "tests/option_list.h"

enum { SEEDS = 1200 };

/* Every worker's gradients were those of its stream, in order, each once. */
static void check_streams(const struct experiment *e)
{
    int64_t *next = xcalloc((size_t)e->workers, sizeof *next);
    for (int i = 0; i < e->ledger->entries; i++) {
        const struct entry *x = &e->ledger->entry[i];
        assert_int_equal(x->index, next[x->worker]);
        next[x->worker]++;
    }
    xfree(next);
}

/* w[1 + i] is the sum over versions of worker i's part, if each gradient counted in the version it
 * was computed at. */
static void check_parts(const struct experiment *e)
{
    int64_t versions = e->out.updates;
    int64_t *all = xcalloc((size_t)versions + 1, sizeof *all);
    double *part = xcalloc((size_t)e->workers, sizeof *part);
    for (int i = 0; i < e->ledger->entries; i++) {
        assert_in_range(e->ledger->entry[i].version, 0, versions - 1);
        all[e->ledger->entry[i].version]++;
    }
    for (int64_t v = 0; v < versions; v++)
        assert_true(all[v] > 0);
    for (int i = 0; i < e->ledger->entries; i++)
        part[e->ledger->entry[i].worker] += 1.0 / (double)all[e->ledger->entry[i].version];
    for (int i = 0; i < e->workers; i++)
        assert_true(fabs(part[i] - e->out.w[1 + i]) < 1e-4 * (1 + part[i]));
    assert_int_equal(e->ledger->entries, (int64_t)e->out.server.minibatches_per_update.sum);
    xfree(all);
    xfree(part);
}

/* Options drawn by the seed; the same seed gives the same run. */
static void draw(struct option_list *w, uint64_t seed, bool plain)
{
    struct random r = random_at(RANDOM_TEST, seed, 77, 0, 0);
    int minibatches = 1 + (int)random_below(&r, 8), workers = 1 + (int)random_below(&r, 8),
        servers = 1 + (int)random_below(&r, 2);
    static const char *const delays[] = {"",
                                         "exponential:0.05",
                                         "gaussian:0.06,0.03",
                                         "pareto:0.01,1.5",
                                         "stall:0.05,2",
                                         "uniform:0,0.2@1"};
    add_plain_sgd(w, "nbssgd", 1);
    add_option(w, "nb-weigh=finished");
    add_option(w, "seed=%llu", (unsigned long long)seed);
    add_option(w, "workers=%d", workers);
    add_option(w, "servers=%d", servers);
    add_option(w, "minibatches=%d", minibatches);
    add_option(w, "batch=%d", minibatches * 4);
    add_option(w, "samples=%d", 4 * (20 + (int)random_below(&r, 300)));
    add_option(w, "delay=%s", delays[random_below(&r, 6)]);
    add_option(w, "sim-latency=%g", pow(10, -6 + 5 * random_uniform(&r)));
    add_option(w, "sim-bandwidth=%g", pow(10, 4 + 5 * random_uniform(&r)));
    add_option(w, "sim-minibatch=%g", 0.01 + random_uniform(&r));
    add_option(w, "nb-batch=%s", random_below(&r, 2) ? "keep" : "reset");
    add_option(w, "nb-signal=%s", random_below(&r, 2) ? "direct" : "relay");
    if (random_below(&r, 2))
        add_option(w, "slow=%d=%g", servers + workers - 1, 1 + 20 * random_uniform(&r));
    if (plain) {
        add_option(w, "nb-inflight=%s", random_below(&r, 2) ? "abort" : "finish");
        return;
    }
    static const char *const inflight[] = {"abort", "finish", "carry"};
    add_option(w, "nb-inflight=%s", inflight[random_below(&r, 3)]);
    static const char *const weigh[] = {"finished", "full", "samples", "capped"};
    bool racing = random_below(&r, 2);
    add_option(w, "nb-payload=%s", random_below(&r, 2) ? "gradient" : "weights");
    add_option(w, "nb-server=%s", racing ? "racing" : "locked");
    add_option(w, "nb-weigh=%s", weigh[random_below(&r, 4)]);
    add_option(w, "compress=%s", random_below(&r, 4) ? "f32" : "bf16");
}

static void every_gradient_counts_once_in_its_version(void **state)
{
    (void)state;
    int64_t aborted = 0, late = 0, twice = 0, empty = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct option_list w = {0};
        struct experiment e;
        draw(&w, seed, true);
        experiment_defaults(&e, option_list_words(&w));
        experiment_run(&e);
        check_streams(&e);
        check_parts(&e);
        assert_true(fabs(e.out.w[0] - (double)e.out.updates) < 1e-3 * (double)e.out.updates);
        assert_int_equal(e.out.server.staleness.bin[0], e.out.server.staleness.count);
        int64_t sent = 0;
        for (int i = 0; i < e.workers; i++) {
            aborted += e.out.worker[i].aborted_minibatches;
            late += e.out.worker[i].signals.late;
            sent += e.out.worker[i].signals.sent;
        }
        twice += sent > e.out.updates;
        empty += (int64_t)e.out.server.contributions.sum < e.out.updates * e.workers;
        experiment_close(&e);
    }
    printf("%d runs: %lld mini-batches aborted, %lld late signals, %lld runs with two finishers in "
           "a version, %lld with empty pushes\n",
           SEEDS, (long long)aborted, (long long)late, (long long)twice, (long long)empty);
    assert_true(aborted > 1000 && late > 1000 && twice > 50 && empty > 50);
}

static void every_mode_ends_with_each_sample_used_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct option_list w = {0};
        struct experiment e;
        draw(&w, seed, false);
        experiment_defaults(&e, option_list_words(&w));
        experiment_run(&e);
        check_streams(&e);
        assert_true(e.out.samples >= e.options.samples);
        int64_t counted =
            (int64_t)e.out.server.minibatches_per_update.sum + e.out.server.dropped_minibatches;
        /* at most the last one of each, finished after the end */
        assert_in_range(e.ledger->entries - counted, 0, e.workers);
        experiment_close(&e);
    }
}

static void two_finishers_in_one_version(void **state)
{
    (void)state;
    struct option_list w = {0};
    struct experiment e;
    add_plain_sgd(&w, "nbssgd", 1);
    add_option(&w, "nb-weigh=finished");
    add_option(&w, "workers=4");
    add_option(&w, "minibatches=2");
    add_option(&w, "batch=8");
    add_option(&w, "samples=800");
    experiment_defaults(&e, option_list_words(&w));
    experiment_run(&e);
    check_streams(&e);
    check_parts(&e);
    int64_t sent = 0, late = 0;
    for (int i = 0; i < 4; i++) {
        sent += e.out.worker[i].signals.sent;
        late += e.out.worker[i].signals.late;
    }
    /* equal speeds: all four finish before any signal has arrived */
    assert_int_equal(sent, 4 * e.out.updates);
    /* each is read in the next version, those of the last one after the end */
    assert_int_equal(late, 3 * sent);
    experiment_close(&e);
}

static void a_worker_with_nothing_finished_pushes_nothing(void **state)
{
    (void)state;
    struct option_list w = {0};
    struct experiment e;
    add_plain_sgd(&w, "nbssgd", 1);
    add_option(&w, "nb-weigh=finished");
    add_option(&w, "workers=3");
    add_option(&w, "minibatches=2");
    add_option(&w, "batch=8");
    add_option(&w, "samples=800");
    add_option(&w, "slow=3=1000");
    experiment_defaults(&e, option_list_words(&w));
    experiment_run(&e);
    check_streams(&e);
    check_parts(&e);
    assert_int_equal(e.out.worker[2].minibatches, 0);
    assert_int_equal(e.out.worker[2].aborted_minibatches, e.out.updates);
    assert_int_equal((int64_t)e.out.server.contributions.sum, 2 * e.out.updates);
    experiment_close(&e);
}

/* A server that answers the first worker at once and the others one after the other, a second
 * apart. */
static const double between_replies_s = 1;

static void serve_in_turn(struct node *n)
{
    int workers = n->context->workers;
    struct ps_server *ps = ps_server_open(n);
    double *scale = xcalloc((size_t)workers, sizeof *scale);
    ps_reply_all(ps);
    while (ps_collect(ps)) {
        for (int i = 0; i < workers; i++)
            scale[i] = ps_received(ps, i)->minibatches > 0;
        ps_step(ps, scale);
        for (int i = 0; i < workers; i++) {
            if (i && !n->stop)
                net_advance(n->net, between_replies_s);
            ps_reply(ps, i);
        }
    }
    xfree(scale);
    ps_server_close(ps);
}

static const struct scheme replies_in_turn = {
    .name = "replies in turn", .work = nbssgd_work, .serve = serve_in_turn};

/* A signal that overtakes the weights must not be lost: the slow worker would otherwise hold
 * everybody up for a whole batch. */
static void a_signal_ahead_of_the_weights_is_remembered(void **state)
{
    (void)state;
    struct option_list w = {0};
    struct experiment e;
    add_plain_sgd(&w, "nbssgd", 1);
    add_option(&w, "nb-weigh=finished");
    add_option(&w, "workers=2");
    add_option(&w, "minibatches=1");
    add_option(&w, "batch=4");
    add_option(&w, "samples=400");
    add_option(&w, "slow=2=50");
    /* the fast one is done before the other's weights set out */
    add_option(&w, "sim-minibatch=1e-6");
    experiment_defaults(&e, option_list_words(&w));
    e.scheme = &replies_in_turn;
    experiment_run(&e);
    check_streams(&e);
    check_parts(&e);
    assert_int_equal(e.out.worker[1].signals.heard, e.out.updates);
    /* asked before it could begin, but for the first version, which both begin together */
    assert_int_equal(e.out.worker[1].minibatches, 0);
    assert_int_equal(e.out.worker[1].aborted_minibatches, 1);
    assert_int_equal((int64_t)e.out.server.contributions.sum, e.out.updates);
    experiment_close(&e);
}

/* The fast worker has its weights first and signals while the other's are on their way. That one is
 * in a delay and hears the signal: it can push only when its weights have come, and must not sleep
 * on. */
static void a_sleeper_hears_the_signal_before_its_weights(void **state)
{
    (void)state;
    static const char *const modes[] = {"nb-payload=gradient", "nb-payload=weights",
                                        "nb-batch=reset",      "nb-inflight=abort",
                                        "servers=3",           "compress=bf16"};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct option_list w = {0};
        struct experiment e;
        add_plain_sgd(&w, "nbssgd", 1);
        add_option(&w, "nb-weigh=finished");
        add_option(&w, "nb-inflight=carry");
        add_option(&w, "%s", modes[i]);
        add_option(&w, "workers=2");
        add_option(&w, "minibatches=2");
        add_option(&w, "batch=8");
        add_option(&w, "updates=20");
        add_option(&w, "samples=100000");
        add_option(&w, "sim-minibatch=0.01");
        add_option(&w, "delay=constant:1000@%d", i == 4 ? 4 : 2);
        experiment_defaults(&e, option_list_words(&w));
        e.scheme = &replies_in_turn;
        experiment_run(&e);
        check_streams(&e);
        assert_int_equal(e.out.worker[1].signals.heard, e.out.updates);
        double most_s = (double)e.out.updates * (between_replies_s + 0.2);
        if (!(e.out.seconds < most_s))
            fail_msg("%s: %lld updates took %g s, a sleeper was not woken", modes[i],
                     (long long)e.out.updates, e.out.seconds);
        experiment_close(&e);
    }
}

/* The same contributions in any order of pushes: the workers push fixed vectors after random
 * pauses. */
struct fixed {
    struct run_context context;
    uint64_t seed;
    float *result;
};

static void push_fixed(struct net *net, void *argument)
{
    struct fixed *f = argument;
    struct node *n = node_open(net, &f->context);
    if (n->worker >= 0) {
        struct ps_client *ps = ps_client_open(n);
        struct random pause = random_at(RANDOM_TEST, f->seed, (uint64_t)n->worker, 5, 0);
        ps_pull(ps, n->w);
        for (uint64_t v = 0; ps_wait(ps); v++) {
            struct random values = random_at(RANDOM_TEST, v, (uint64_t)n->worker, 6, 0);
            for (int64_t i = 0; i < n->count; i++)
                n->sum[i] = (float)random_normal(&values);
            node_clear(n);
            n->finished = 1 + (int64_t)((v + (uint64_t)n->worker) % 3);
            net_advance(net, random_uniform(&pause));
            ps_push(ps, n->sum);
            ps_pull(ps, n->w);
        }
        ps_client_close(ps);
    } else {
        nbssgd_serve(n);
        memcpy(f->result, n->w, (size_t)n->count * sizeof(float));
    }
    node_close(n);
}

static void locked_gives_the_same_bits_in_any_order_of_arrival(void **state)
{
    (void)state;
    float first[LEDGER_FLOATS], now[LEDGER_FLOATS];
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct option_list w = {0};
        struct experiment e;
        add_option(&w, "scheme=nbssgd");
        add_option(&w, "batch=16");
        add_option(&w, "minibatches=4");
        add_option(&w, "workers=5");
        add_option(&w, "samples=200");
        experiment_defaults(&e, option_list_words(&w));
        e.problem = NULL;
        struct fixed f = {.seed = seed, .result = now};
        static volatile sig_atomic_t never;
        struct problem *p = xcalloc(1, sizeof *p);
        struct ledger unused;
        ledger_problem(p, &unused, 4);
        f.context = (struct run_context){.options = &e.options,
                                         .problem = p,
                                         .workers = 5,
                                         .servers = 1,
                                         .minibatches = 4,
                                         .minibatch = 4,
                                         .threads = 1,
                                         .samples_wanted = 200,
                                         .evaluate_every = 1000,
                                         .stop_requested = &never,
                                         .schedule = {.shape = "constant", .lr = 0.1}};
        sim_run(
            &(struct world_options){.ranks = 6, .latency_s = 1e-5, .bandwidth = 1e6, .seed = seed},
            push_fixed, &f);
        if (seed == 1)
            memcpy(first, now, sizeof first);
        assert_memory_equal(first, now, sizeof first);
        xfree(unused.entry);
        xfree(p);
        experiment_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_finishers_in_one_version),
        cmocka_unit_test(a_worker_with_nothing_finished_pushes_nothing),
        cmocka_unit_test(a_signal_ahead_of_the_weights_is_remembered),
        cmocka_unit_test(a_sleeper_hears_the_signal_before_its_weights),
        cmocka_unit_test(every_gradient_counts_once_in_its_version),
        cmocka_unit_test(every_mode_ends_with_each_sample_used_once),
        cmocka_unit_test(locked_gives_the_same_bits_in_any_order_of_arrival),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
