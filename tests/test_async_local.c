/* Asynchronous schemes in which each worker weighs the same, or makes steps of its own, against
 * their formulas, in double and a few lines each. */
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

/* --- every worker weighs the same --- */

static void table_add(struct table *t, int worker, const double *g)
{
    for (int i = 0; i < FLOATS; i++)
        t->sum[worker][i] += g[i];
    t->count[worker]++;
}

static void step_by_table(struct reference *m, const struct table *t)
{
    double mean[FLOATS] = {0};
    for (int k = 0; k < WORKERS; k++)
        for (int i = 0; i < FLOATS; i++)
            mean[i] += t->sum[k][i] / t->count[k] / WORKERS;
    reference_step(m, mean, reference_lr);
}

static int left(const bool *done)
{
    int count = 0;
    for (int i = 0; i < WORKERS; i++)
        count += !done[i];
    return count;
}

static void ringleader(struct reference *m, int worker, const double *g, int64_t d)
{
    bool later = m->updates && m->served[worker], full = true;
    reference_use(m, d + (later ? left(m->served) : 0));
    table_add(&m->table[later], worker, g);
    for (int i = 0; i < WORKERS; i++)
        full &= m->table[0].count[i] > 0;
    m->updates = full;
    if (!full || later)
        return;
    m->served[worker] = true;
    step_by_table(m, &m->table[0]);
    if (left(m->served))
        return;
    m->table[0] = m->table[1];
    m->table[1] = (struct table){0};
    m->updates = false;
    memset(m->served, 0, sizeof m->served);
}

static void ringleader_makes_rounds_of_one_update_each(void **state)
{
    (void)state;
    static const char *const speeds[] = {UNEQUAL, EQUAL, "slow=5=40"};
    for (int i = 0; i < 3; i++) {
        struct reference m = follows(ringleader, "ringleader", speeds[i], 0, "");
        assert_int_equal(staler_than(&m, 2 * WORKERS - 2), 0);
        assert_true(m.version % WORKERS == 0 || m.updates);
    }
}

/* While the slowest computes one mini-batch the others compute 9, 7, 5 and 3. */
static void malenias_workers_weigh_the_same(void **state)
{
    (void)state;
    static const int given[WORKERS] = {9, 7, 5, 3, 1};
    struct experiment e;
    struct reference m = {0};
    reference_run(&e, "malenia", UNEQUAL, "");
    for (int64_t v = 0; v < e.out.updates; v++) {
        struct table t = {0};
        for (int k = 0; k < WORKERS; k++)
            for (int b = 0; b < given[k]; b++, m.index[k]++) {
                double g[FLOATS];
                reference_gradient(&m, k, m.index[k], g);
                table_add(&t, k, g);
            }
        step_by_table(&m, &t);
        for (int k = 0; k < WORKERS; k++)
            memcpy(m.at[k], m.x, sizeof m.x);
    }
    assert_true(e.out.updates > 10 && reference_apart(&e, m.x) < 1e-5);
    assert_int_equal(e.out.server.minibatches_per_update.bin[25], e.out.updates);
    assert_int_equal(e.out.server.staleness.bin[0], 25 * e.out.updates);
    experiment_close(&e);
}

/* 9, 7, 5, 3 and 1 have a harmonic mean of 2.797: enough for S = 13; for 14 a tenth is needed. */
static void malenia_waits_for_its_harmonic_mean(void **state)
{
    (void)state;
    for (int s = 13; s <= 14; s++) {
        struct experiment e;
        char options[100];
        snprintf(options, sizeof options, "malenia-batch=%d", s);
        reference_run(&e, "malenia", UNEQUAL, options);
        assert_int_equal(e.out.server.minibatches_per_update.bin[s + 12], e.out.updates);
        experiment_close(&e);
    }
}

/* --- local steps --- */

static void asynclocal(struct reference *m, int worker, const double *move, int64_t d)
{
    (void)worker;
    if (d >= m->parameter)
        return;
    reference_use(m, d);
    reference_step(m, move, -1);
}

static void asynclocal_adds_moves_that_are_not_too_old(void **state)
{
    (void)state;
    follows(asynclocal, "asynclocal", UNEQUAL, 1000, "local-steps=1 ringmaster-r=1000");
    struct reference m = follows(asynclocal, "asynclocal", UNEQUAL, 5, "local-steps=3");
    assert_true(m.pushes > m.version);
    follows(asynclocal, "asynclocal", UNEQUAL, 3, "local-steps=4 momentum=0.8 ringmaster-r=3");
}

static const double outer_lr = 0.7, outer_momentum = 0.6;

static void dnesterov(struct reference *m, int worker, const double *move, int64_t d)
{
    double by[FLOATS];
    bool last = ++m->count % m->parameter == 0;
    (void)worker;
    reference_use(m, d);
    for (int i = 0; i < FLOATS; i++) {
        m->sum[i] -= move[i];
        by[i] = outer_lr * -move[i] / m->parameter;
    }
    for (int i = 0; i < FLOATS && last; i++) {
        m->v[0][i] = outer_momentum * m->v[0][i] + m->sum[i] / m->parameter;
        by[i] += outer_lr * outer_momentum * m->v[0][i];
        m->sum[i] = 0;
    }
    reference_step(m, by, 1);
}

static void nesterovs_momentum_comes_with_every_nth_move(void **state)
{
    (void)state;
    follows(dnesterov, "dnesterov", UNEQUAL, WORKERS,
            "local-steps=3 momentum=0.8 outer-momentum=0.6");
    follows(dnesterov, "dnesterov", UNEQUAL, 1, "local-steps=2 outer-momentum=0.6 outer-delay=1");
    follows(dnesterov, "dnesterov", UNEQUAL, 3, "local-steps=1 outer-momentum=0.6 outer-delay=3");
}

/* Speeds of 1, 1 / 1.3, 1 / 1.7, 1 / 3.1 and 1 / 9.7: of 8 steps 8, 6, 4, 2 and at least 1, after
 * the first time. So all push about equally often. */
static void dylu_gives_slow_workers_fewer_steps(void **state)
{
    (void)state;
    struct experiment e;
    reference_run(&e, "dnesterov", UNEQUAL, "local-steps=8 dylu=yes samples=4000");
    const int64_t *pushes = e.out.server.minibatches_per_update.bin;
    assert_int_equal(pushes[3] + pushes[5] + pushes[7], 0);
    assert_in_range(pushes[8] - 4, pushes[6] - 5, pushes[6] + 5);
    assert_in_range(pushes[4], pushes[6] - 10, pushes[6] + 20);
    assert_true(pushes[2] > pushes[6] && pushes[1] > pushes[6] / 2);
    experiment_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ringleader_makes_rounds_of_one_update_each),
        cmocka_unit_test(malenias_workers_weigh_the_same),
        cmocka_unit_test(malenia_waits_for_its_harmonic_mean),
        cmocka_unit_test(asynclocal_adds_moves_that_are_not_too_old),
        cmocka_unit_test(nesterovs_momentum_comes_with_every_nth_move),
        cmocka_unit_test(dylu_gives_slow_workers_fewer_steps),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
