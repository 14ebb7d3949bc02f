/* --nb-drop-late: a version closes some seconds after its signal. Who comes later contributes
 * nothing, is told, and does these samples again. */
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
#include "scheme/nbssgd.h"
#include "tests/option_list.h"
#include "tests/quadratic.h"
#include "tests/scheme_harness.h"

/* --- by hand: each worker pushes so many seconds after it got its weights --- */

enum { WORKERS = 3, VERSIONS = 8 };

static const double closes_s = 1;

/* For the n-th weights that it gets. The third worker is late with its first push by several
 * versions, and with its third by less than one. */
static const double pauses_s[WORKERS][VERSIONS] = {
    {0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1},
    {0.5, 0.2, 0.8, 0.1, 0.5, 0.5, 0.5, 0.5},
    {2.5, 0.6, 1.15, 0.1, 0.1},
};

/* Versions whose weights it got, and whether it heard that its push before was dropped. */
static const int got[WORKERS][VERSIONS] = {
    {0, 1, 2, 3, 4, 5, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7}, {0, 4, 5, 6, 7}};
static const bool told[WORKERS][VERSIONS] = {{0}, {0}, {0, 1, 0, 1, 0}};

static float pushed(int64_t version, int worker, int64_t i)
{
    return (float)(1 + worker) * (float)(1 + (version * 7 + i) % 13);
}

static void work(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    ps_pull(ps, n->w);
    for (int turn = 0; ps_wait(ps); turn++) {
        assert_int_equal(n->version, got[n->worker][turn]);
        assert_int_equal(ps_dropped(ps), told[n->worker][turn]);
        net_advance(n->net, pauses_s[n->worker][turn]);
        node_clear(n);
        n->finished = 1 + n->worker;
        for (int64_t i = 0; i < n->count; i++)
            n->sum[i] = pushed(n->version, n->worker, i);
        ps_push(ps, n->sum);
        ps_pull(ps, n->w);
    }
    ps_client_close(ps);
}

static const struct scheme by_hand = {.name = "by hand", .work = work, .serve = nbssgd_serve};

static void run_by_hand(struct experiment *e, int servers)
{
    struct option_list w = {0};
    add_plain_sgd(&w, "nbssgd", 0.5);
    add_option(&w, "nb-weigh=finished");
    add_option(&w, "workers=%d", WORKERS);
    add_option(&w, "servers=%d", servers);
    add_option(&w, "minibatches=4");
    add_option(&w, "batch=4");
    add_option(&w, "updates=%d", VERSIONS);
    add_option(&w, "samples=100000");
    add_option(&w, "nb-drop-late=%g", closes_s);
    experiment_defaults(e, option_list_words(&w));
    e->scheme = &by_hand;
    experiment_run(e);
}

/* Is the worker's push in this update? */
static bool contributes(int worker, int version)
{
    return worker < 2 || version == 4 || version >= 6;
}

static void who_is_late_contributes_nothing_and_is_told(void **state)
{
    (void)state;
    for (int servers = 1; servers <= 3; servers++) {
        struct experiment e;
        run_by_hand(&e, servers);
        assert_int_equal(e.out.updates, VERSIONS);
        for (int64_t i = 0; i < e.out.count; i++) {
            double w = 0;
            for (int v = 0; v < VERSIONS; v++) {
                double sum = 0, minibatches = 0;
                for (int k = 0; k < WORKERS; k++)
                    if (contributes(k, v)) {
                        sum += (double)pushed(v, k, i);
                        minibatches += 1 + k;
                    }
                w -= 0.5 * sum / minibatches;
            }
            if (!(fabs((double)e.out.w[i] - w) < 1e-4))
                fail_msg("%d servers: w[%lld] is %g, not %g", servers, (long long)i,
                         (double)e.out.w[i], w);
        }
        assert_int_equal(e.out.server.dropped_minibatches, 2 * 3);
        experiment_close(&e);
    }
}

/* --- real workers --- */

/* What a worker did again takes the place of what it did before: of the ledger's entries these are
 * left. Returns how many; their indices are 0, 1, .. */
static int survivors(const struct experiment *e, int worker, int64_t *version)
{
    int count = 0;
    for (int i = 0; i < e->ledger->entries; i++) {
        const struct entry *x = &e->ledger->entry[i];
        if (x->worker != worker)
            continue;
        assert_in_range(x->index, 0, count);
        count = (int)x->index;
        version[count++] = x->version;
    }
    return count;
}

/* Each sample was used once, in order, in the version that it was computed at (`exact`: it counts
 * there). What was told to be dropped at the end is left out by the worker's own count. */
static void check(const struct experiment *e, bool exact)
{
    int64_t *version = xcalloc((size_t)e->ledger->entries + 1, sizeof *version), used = 0;
    double *all = xcalloc((size_t)e->out.updates + 1, sizeof *all),
           *part = xcalloc((size_t)e->workers, sizeof *part);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < e->workers; i++) {
            int count = survivors(e, i, version);
            int64_t finished = e->out.worker[i].minibatches;
            assert_in_range(finished, 0, count);
            used += pass ? 0 : finished;
            for (int64_t k = 0; k < finished && exact; k++) {
                assert_in_range(version[k], 0, e->out.updates);
                if (pass)
                    part[i] += all[version[k]] > 0 ? 1 / all[version[k]] : 0;
                else
                    all[version[k]]++;
            }
        }
    for (int i = 0; i < e->workers && exact; i++)
        if (!(fabs(part[i] - (double)e->out.w[1 + i]) < 1e-4 * (1 + part[i])))
            fail_msg("worker %d: its part is %g, not %g", i, (double)e->out.w[1 + i], part[i]);
    assert_in_range(used - (int64_t)e->out.server.minibatches_per_update.sum, 0,
                    exact ? 0 : e->workers);
    xfree(version);
    xfree(all);
    xfree(part);
}

/* A worker that stands still does not hear the signal. */
static void draw(struct option_list *w, uint64_t seed)
{
    static const char *const inflight[] = {"abort", "finish", "carry"}, *const delays[] = {
                                                                            "exponential:0.3!",
                                                                            "constant:3!@LAST",
                                                                            "stall:0.05,20!",
                                                                            "pareto:0.02,1.2!"};
    struct random r = random_at(RANDOM_TEST, seed, 78, 0, 0);
    int minibatches = 1 + (int)random_below(&r, 5), workers = 2 + (int)random_below(&r, 5),
        servers = 1 + (int)random_below(&r, 2);
    char delay[40], last[16];
    snprintf(delay, sizeof delay, "%s", delays[random_below(&r, 4)]);
    snprintf(last, sizeof last, "%d", servers + workers - 1);
    if (strstr(delay, "LAST"))
        strcpy(strstr(delay, "LAST"), last);
    add_plain_sgd(w, "nbssgd", 1);
    add_option(w, "nb-weigh=finished");
    add_option(w, "seed=%llu", (unsigned long long)seed);
    add_option(w, "workers=%d", workers);
    add_option(w, "servers=%d", servers);
    add_option(w, "minibatches=%d", minibatches);
    add_option(w, "batch=%d", minibatches * 4);
    add_option(w, "samples=%d", 4 * (20 + (int)random_below(&r, 200)));
    add_option(w, "delay=%s", delay);
    add_option(w, "sim-latency=%g", pow(10, -6 + 4 * random_uniform(&r)));
    add_option(w, "sim-minibatch=%g", 0.01 + random_uniform(&r));
    add_option(w, "nb-batch=%s", random_below(&r, 2) ? "keep" : "reset");
    add_option(w, "nb-signal=%s", random_below(&r, 2) ? "direct" : "relay");
    add_option(w, "nb-inflight=%s", inflight[seed % 3]);
    add_option(w, "nb-payload=%s", random_below(&r, 3) ? "gradient" : "weights");
    add_option(w, "nb-drop-late=%g", pow(10, -2 + 2 * random_uniform(&r)));
    add_option(w, "eval-every=%d", random_below(&r, 2) ? 8 : 0);
    add_option(w, "compress=%s", random_below(&r, 4) ? "f32" : "bf16");
}

/* A push's way to each server is longer by a random part of 0.1 s: one may meet it in time, another
 * one too late. */
static int scatter(struct link_pair *pair, int servers, int workers)
{
    int pairs = 0;
    for (int s = 0; s < servers; s++)
        for (int i = 0; i < workers; i++)
            pair[pairs++] =
                (struct link_pair){servers + i, s, {.latency_s = 1e-4, .jitter_s = 0.1}};
    return pairs;
}

/* The ledger's floats, mirrored in the last server's slice. */
static void check_slices(const struct experiment *e)
{
    const float *w = e->out.w;
    for (int64_t k = 0; k <= e->workers; k++)
        if (w[k] != w[e->out.count - 1 - k])
            fail_msg("float %lld is %.9g at the first server, %.9g at the last", (long long)k, w[k],
                     w[e->out.count - 1 - k]);
}

static void each_sample_is_used_once_whoever_is_late(void **state)
{
    (void)state;
    struct link_pair pair[2 * 6];
    int64_t dropped = 0;
    double dropped_s = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct option_list w = {0};
        struct experiment e;
        draw(&w, seed);
        experiment_defaults(&e, option_list_words(&w));
        const struct links links = {.between = {.latency_s = 1e-4},
                                    .ranks_per_host = 1,
                                    .pair = pair,
                                    .pair_count = scatter(pair, e.servers, e.workers)};
        e.links = e.servers > 1 ? &links : NULL;
        experiment_run(&e);
        check_slices(&e);
        const struct nbssgd_options *o = options_of(&e.options, &nbssgd_option_set);
        check(&e, strcmp(o->nb_inflight, "carry") && strcmp(o->nb_payload, "weights"));
        dropped += e.out.server.dropped_minibatches;
        for (int i = 0; i < e.workers; i++)
            dropped_s += e.out.worker[i].dropped_s;
        experiment_close(&e);
    }
    assert_true(dropped > 500 && dropped_s > 50);
}

/* Four workers of one speed; the last stands still for 10 s in each mini-batch. */
static void run_with_one_stopped(struct experiment *e, const char *inflight, double late_s)
{
    struct option_list w = {0};
    add_plain_sgd(&w, "nbssgd", 1);
    add_option(&w, "nb-weigh=finished");
    add_option(&w, "workers=4");
    add_option(&w, "minibatches=4");
    add_option(&w, "batch=16");
    add_option(&w, "samples=4000");
    add_option(&w, "updates=40");
    add_option(&w, "sim-minibatch=0.1");
    add_option(&w, "delay=constant:10!@4");
    add_option(&w, "nb-inflight=%s", inflight);
    add_option(&w, "nb-drop-late=%g", late_s);
    experiment_defaults(e, option_list_words(&w));
    experiment_run(e);
}

static void nobody_waits_for_a_worker_that_stands_still(void **state)
{
    (void)state;
    static const char *const inflight[] = {"abort", "finish", "carry"};
    for (int i = 0; i < 3; i++) {
        struct experiment all, late;
        run_with_one_stopped(&all, inflight[i], 0);
        run_with_one_stopped(&late, inflight[i], 0.05);
        if (!(late.out.seconds < 25 && all.out.seconds > 100))
            fail_msg("%s: 40 versions take %g s, with all %g s", inflight[i], late.out.seconds,
                     all.out.seconds);
        experiment_close(&all);
        experiment_close(&late);
    }
}

static void run_on_quadratic(struct experiment *e, uint64_t seed, double late_s)
{
    static const char *const inflight[] = {"abort", "finish", "carry"};
    struct option_list w = {0};
    add_plain_sgd(&w, "nbssgd", 0.05);
    add_option(&w, "nb-weigh=finished");
    add_option(&w, "network=quadratic");
    add_option(&w, "seed=%llu", (unsigned long long)seed);
    add_option(&w, "workers=4");
    add_option(&w, "servers=%d", seed % 2 ? 2 : 1);
    add_option(&w, "minibatches=3");
    add_option(&w, "batch=12");
    add_option(&w, "samples=2000");
    add_option(&w, "delay=exponential:0.1");
    add_option(&w, "depart=%s", seed % 4 ? "" : "4=12");
    add_option(&w, "nb-inflight=%s", inflight[seed % 3]);
    add_option(&w, "nb-payload=%s", seed % 5 ? "gradient" : "weights");
    add_option(&w, "nb-drop-late=%g", late_s);
    quadratic_run(e, &w);
}

static void with_time_for_all_it_is_the_scheme_without(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct experiment all, late;
        run_on_quadratic(&all, seed, 0);
        run_on_quadratic(&late, seed, 1e9);
        assert_int_equal(all.out.updates, late.out.updates);
        assert_memory_equal(all.out.w, late.out.w, (size_t)all.out.count * sizeof(float));
        assert_int_equal(late.out.server.dropped_minibatches, 0);
        experiment_close(&all);
        experiment_close(&late);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_late_contributes_nothing_and_is_told),
        cmocka_unit_test(each_sample_is_used_once_whoever_is_late),
        cmocka_unit_test(nobody_waits_for_a_worker_that_stands_still),
        cmocka_unit_test(with_time_for_all_it_is_the_scheme_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
