/* Asynchronous SGD and its relatives against their formulas, in double and a few lines each. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/reference_run.h"

/* --- asgd --- */

static void plain(struct reference *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    reference_use(m, d);
    reference_step(m, g, reference_lr);
}

static void inverse(struct reference *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    reference_use(m, d);
    reference_step(m, g, reference_lr / fmax(1, (double)d));
}

static void adaptive(struct reference *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    reference_use(m, d);
    reference_step(m, g, reference_lr * WORKERS / fmax(WORKERS, (double)d));
}

static void asgds_rate_follows_the_staleness(void **state)
{
    (void)state;
    follows(plain, "asgd", UNEQUAL, 0, "");
    struct reference m = follows(inverse, "asgd", UNEQUAL, 0, "stale-lr=inverse");
    assert_true(staler_than(&m, 1) > 0);
    m = follows(adaptive, "asgd", UNEQUAL, 0, "stale-lr=adaptive");
    assert_true(staler_than(&m, WORKERS) > 0);
}

/* The time between two pushes of a worker, in pushes of all, since its first, over the mean of all
 * who have pushed twice. */
static double rescaling(struct reference *m, int worker)
{
    double sum = 0, known = 0, factor = 1;
    m->last[worker] = m->pushes;
    m->first[worker] = m->given[worker]++ ? m->first[worker] : m->pushes;
    for (int i = 0; i < WORKERS; i++)
        if (m->given[i] > 1) {
            sum += (m->last[i] - m->first[i]) / (m->given[i] - 1);
            known++;
        }
    if (m->given[worker] > 1)
        factor = (m->last[worker] - m->first[worker]) / (m->given[worker] - 1) / (sum / known);
    m->weight[worker] += factor;
    return factor;
}

static void rescaled(struct reference *m, int worker, const double *g, int64_t d)
{
    reference_use(m, d);
    reference_step(m, g, reference_lr * rescaling(m, worker));
}

static void a_rescaled_rate_weighs_all_workers_alike(void **state)
{
    (void)state;
    struct reference m = follows(rescaled, "asgd", UNEQUAL, 0, "stale-lr=rescaled samples=8000");
    assert_true(m.given[0] > 6 * m.given[4]);
    for (int i = 1; i < WORKERS; i++)
        assert_true(fabs(m.weight[i] / m.weight[0] - 1) < 0.1);
}

static const double mu = 0.8;

/* v = mu v + g, x = x - reference_lr v */
static void momentum_of(struct reference *m, double *v, const double *g, int64_t d)
{
    reference_use(m, d);
    for (int i = 0; i < FLOATS; i++)
        v[i] = mu * v[i] + g[i];
    reference_step(m, v, reference_lr);
}

static void shared_momentum(struct reference *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    momentum_of(m, m->v[0], g, d);
}

static void own_momentum(struct reference *m, int worker, const double *g, int64_t d)
{
    momentum_of(m, m->v[worker], g, d);
}

/* All that is ever made of a gradient is rescaled, what is remembered of it, too. */
static void rescaled_momentum(struct reference *m, int worker, const double *g, int64_t d)
{
    double by[FLOATS], factor = rescaling(m, worker);
    for (int i = 0; i < FLOATS; i++)
        by[i] = factor * g[i];
    momentum_of(m, m->v[0], by, d);
}

/* A momentum of one worker's gradients has that worker's rate. */
static void rescaled_own_momentum(struct reference *m, int worker, const double *g, int64_t d)
{
    reference_use(m, d);
    for (int i = 0; i < FLOATS; i++)
        m->v[worker][i] = mu * m->v[worker][i] + g[i];
    reference_step(m, m->v[worker], reference_lr * rescaling(m, worker));
}

/* The rate is divided, not the gradient that is remembered. */
static void inverse_momentum(struct reference *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    reference_use(m, d);
    for (int i = 0; i < FLOATS; i++)
        m->v[0][i] = mu * m->v[0][i] + g[i];
    reference_step(m, m->v[0], reference_lr / fmax(1, (double)d));
}

static void a_server_has_one_momentum_or_each_workers(void **state)
{
    (void)state;
    follows(shared_momentum, "asgd", UNEQUAL, 0, "momentum=0.8");
    follows(inverse_momentum, "asgd", UNEQUAL, 0, "momentum=0.8 stale-lr=inverse");
    follows(rescaled_momentum, "asgd", UNEQUAL, 0, "momentum=0.8 stale-lr=rescaled");
    follows(rescaled_own_momentum, "asgd", UNEQUAL, 0,
            "momentum=0.8 stale-lr=rescaled server-momentum=worker");
    follows(own_momentum, "asgd", UNEQUAL, 0, "momentum=0.8 server-momentum=worker");
    follows(own_momentum, "ringmaster", UNEQUAL, 0,
            "momentum=0.8 server-momentum=worker ringmaster-r=1000");
    follows(own_momentum, "dcasgd", UNEQUAL, 0, "momentum=0.8 server-momentum=worker dc-lambda=0");
}

/* --- dcasgd --- */

static const double lambda = 1.5, decay = 0.6; /* of the mean square, m->sum */

static void compensated(struct reference *m, int worker, const double *g, int64_t d)
{
    double by[FLOATS];
    if (m->parameter && d > m->parameter)
        return;
    for (int i = 0; i < FLOATS; i++)
        by[i] = g[i] + lambda * g[i] * g[i] * (m->x[i] - m->at[worker][i]);
    reference_use(m, d);
    reference_step(m, by, reference_lr);
}

static void compensated_adaptively(struct reference *m, int worker, const double *g, int64_t d)
{
    double by[FLOATS];
    for (int i = 0; i < FLOATS; i++) {
        m->sum[i] = decay * m->sum[i] + (1 - decay) * g[i] * g[i];
        by[i] = g[i] + lambda / sqrt(m->sum[i] + 1e-7) * g[i] * g[i] * (m->x[i] - m->at[worker][i]);
    }
    reference_use(m, d);
    reference_step(m, by, reference_lr);
}

static void dcasgd_corrects_stale_gradients(void **state)
{
    (void)state;
    follows(compensated, "dcasgd", UNEQUAL, 0, "dc-lambda=1.5");
    follows(compensated_adaptively, "dcasgd", UNEQUAL, 0, "dc=adaptive dc-lambda=1.5 dc-decay=0.6");
    struct reference m = follows(compensated, "dcasgd", UNEQUAL, 3, "dc-lambda=1.5 stale-bound=3");
    assert_true(m.pushes > m.version && m.stale[3] > 0);
    assert_int_equal(staler_than(&m, 3), 0);
}

/* --- softsync --- */

/* The mean of 5 / N pushes; whoever gave one goes on at once. */
static void accumulate(struct reference *m, const double *g, int64_t d, double scale, int size)
{
    reference_use(m, d);
    for (int i = 0; i < FLOATS; i++)
        m->sum[i] += scale * g[i];
    if (++m->count < size)
        return;
    reference_step(m, m->sum, reference_lr / size);
    m->count = 0;
    memset(m->sum, 0, sizeof m->sum);
}

static void softsync_1(struct reference *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    accumulate(m, g, d, 1, WORKERS);
}

static void softsync_2(struct reference *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    accumulate(m, g, d, 1, WORKERS / 2);
}

static void softsync_2_inverse(struct reference *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    accumulate(m, g, d, 1 / fmax(1, (double)d), WORKERS / 2);
}

static void softsyncs_contributors_go_on_at_once(void **state)
{
    (void)state;
    struct reference m = follows(softsync_1, "asgd", UNEQUAL, 0, "softsync=1");
    assert_true(staler_than(&m, 1) > 0);
    follows(softsync_2, "asgd", UNEQUAL, 0, "softsync=2");
    follows(softsync_2_inverse, "asgd", UNEQUAL, 0, "softsync=2 stale-lr=inverse");
}

/* Of W pushes between a pull and the next push, its own included, each c-th makes an update: N in
 * all; that of its own push comes after it. */
static void softsyncs_staleness_is_about_n(void **state)
{
    (void)state;
    struct reference m = follows(softsync_1, "asgd", EQUAL, 0, "softsync=1");
    assert_true(fabs(mean_staleness(&m) - 0.8) < 0.1);
    assert_int_equal(staler_than(&m, 1), 0);
    m = follows(softsync_2, "asgd", EQUAL, 0, "softsync=2");
    assert_true(fabs(mean_staleness(&m) - 2) < 0.2);
    m = follows(plain, "asgd", EQUAL, 0, "");
    assert_true(fabs(mean_staleness(&m) - 4) < 0.2);
}

/* A worker five times as slow holds up ssgd, and nobody here. */
static void softsync_waits_for_nobody(void **state)
{
    (void)state;
    struct experiment e;
    reference_run(&e, "asgd", "slow=5=9", "softsync=1");
    for (int i = 0; i < WORKERS; i++)
        assert_true(e.out.worker[i].wait_s < 0.02 * e.out.seconds);
    assert_true(e.out.worker[0].minibatches > 5 * e.out.worker[4].minibatches);
    experiment_close(&e);
}

/* --- ringmaster --- */

/* Mini-batches of the pushes that come after training. */
enum { AT_THE_END = 2 * (WORKERS - 1) };

static void ringmaster(struct reference *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    if (d >= m->parameter)
        return;
    reference_use(m, d);
    reference_step(m, g, reference_lr);
}

static void ringmaster_ignores_an_age_of_r(void **state)
{
    (void)state;
    static const int r[] = {1, 2, 3, 7};
    for (size_t i = 0; i < sizeof r / sizeof *r; i++) {
        char options[100];
        snprintf(options, sizeof options, "ringmaster-r=%d", r[i]);
        struct reference m = follows(ringmaster, "ringmaster", UNEQUAL, r[i], options);
        assert_int_equal(staler_than(&m, r[i] - 1), 0);
        assert_true(m.stale[r[i] - 1] > 0 && m.pushes > m.version);
    }
}

/* R = 1: the first to arrive wins. Stopped at once, the others never finish a batch. */
static void a_stopped_worker_starts_again(void **state)
{
    (void)state;
    struct experiment e;
    struct reference m = {.minibatches = 2};
    reference_run(&e, "ringmaster", UNEQUAL, "ringmaster-r=1 ringmaster-stops=yes");
    for (int64_t k = 0; k < e.out.updates; k++)
        reference_take(&m, 0, plain);
    assert_true(reference_apart(&e, m.x) < 1e-5);
    assert_int_equal(e.out.server.staleness.bin[0], e.out.updates);
    for (int i = 1; i < WORKERS; i++) {
        assert_true(e.out.worker[i].aborted_minibatches + e.out.worker[i].dropped_minibatches > 50);
        assert_true(e.out.worker[i].wait_s < 0.1 * e.out.seconds);
    }
    assert_in_range(e.out.server.dropped_minibatches, 0, AT_THE_END);
    experiment_close(&e);
}

/* The slowest needs the time of 30 updates for a batch: its weights reach the age of 12 first. */
static void only_who_is_too_late_is_stopped(void **state)
{
    (void)state;
    struct experiment e;
    reference_run(&e, "ringmaster", UNEQUAL, "ringmaster-r=12 ringmaster-stops=yes");
    for (int i = 0; i < 4; i++)
        assert_int_equal(e.out.worker[i].aborted_minibatches, 0);
    assert_true(e.out.worker[4].aborted_minibatches > 3);
    assert_in_range(e.out.server.dropped_minibatches, 0, AT_THE_END);
    for (int d = 12; d < HISTOGRAM; d++)
        assert_int_equal(e.out.server.staleness.bin[d], 0);
    experiment_close(&e);
    reference_run(&e, "ringmaster", UNEQUAL, "ringmaster-r=12");
    assert_true(e.out.server.dropped_minibatches > AT_THE_END);
    experiment_close(&e);
}

/* Signals cross pushes, overtake weights, come to workers that depart: it ends, with no message
 * unread. */
static void stops_are_heard_whatever_the_delays(void **state)
{
    (void)state;
    static const char *const delays[] = {"constant:0.02", "exponential:0.1", "pareto:0.01,1.5"};
    static const char *const departs[] = {"", "depart=2=3,4=7", "depart=2=1,3=2,4=2,5=1"};
    for (int seed = 0; seed < 54; seed++) {
        struct experiment e;
        char options[200];
        int r = 1 + seed % 4;
        snprintf(options, sizeof options,
                 "ringmaster-stops=yes ringmaster-r=%d seed=%d delay=%s %s servers=%d "
                 "sim-latency=%g",
                 r, seed, delays[seed % 3], departs[seed / 3 % 3], 1 + seed / 9 % 2,
                 seed / 18 ? 0.03 : 1e-5);
        reference_run(&e, "ringmaster", "", options);
        assert_true(e.out.samples >= e.options.samples);
        for (int d = r; d < HISTOGRAM; d++)
            assert_int_equal(e.out.server.staleness.bin[d], 0);
        experiment_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asgds_rate_follows_the_staleness),
        cmocka_unit_test(a_rescaled_rate_weighs_all_workers_alike),
        cmocka_unit_test(a_server_has_one_momentum_or_each_workers),
        cmocka_unit_test(dcasgd_corrects_stale_gradients),
        cmocka_unit_test(softsyncs_contributors_go_on_at_once),
        cmocka_unit_test(softsyncs_staleness_is_about_n),
        cmocka_unit_test(softsync_waits_for_nobody),
        cmocka_unit_test(ringmaster_ignores_an_age_of_r),
        cmocka_unit_test(a_stopped_worker_starts_again),
        cmocka_unit_test(only_who_is_too_late_is_stopped),
        cmocka_unit_test(stops_are_heard_whatever_the_delays),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
