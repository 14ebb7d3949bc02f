/* Asynchronous schemes against their formulas, in double and a few lines each.
 *
 * The run records the order in which the server took pushes. That order alone decides the weights:
 * so the same order is given to a model of the server and its workers, in double, whose rule is
 * written out here. Compared are the weights at the end and how stale each push was. */
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

#include "base/alloc.h"
#include "tests/option_list.h"
#include "tests/scheme_harness.h"

enum { WORKERS = 5, FLOATS = 6, MOST_EVENTS = 4000, MINIBATCH = 4 };
static const double lr = 0.03;
static const char unequal[] = "slow=2=1.3,3=1.7,4=3.1,5=9.7";
static const char equal[] = "slow=2=1.0001,3=1.0002,4=1.0003,5=1.0004"; /* no ties */

/* --- the problem: each mini-batch pulls the weights to a point of its own --- */

struct stream {
    int worker;
};

static double target(int worker, int64_t index, int i)
{
    return cos(1 + worker + 0.7 * i) + 0.3 * sin(3.1 * (double)index + worker + 2.0 * i);
}

static double slope(int i)
{
    return 0.2 + 0.3 * i;
}

static struct stream *stream_open(struct problem *p, int worker, int workers)
{
    struct stream *s = xcalloc(1, sizeof *s);
    (void)p, (void)workers;
    s->worker = worker;
    return s;
}

static void stream_close(struct problem *p, struct stream *s)
{
    (void)p;
    xfree(s);
}

static bool gradient(struct problem *p, struct stream *s, int64_t index, struct weights w, float *g,
                     struct loss *loss, network_hook *hook, void *self)
{
    for (int i = 0; i < FLOATS; i++)
        g[i] = (float)(slope(i) * (w.w[i] - target(s->worker, index, i)));
    *loss = (struct loss){.sum = p->minibatch};
    return !hook || hook(self, p->steps - 1, 0);
}

/* --- the model --- */

struct twin {
    int minibatches;            /* of a push */
    double x[FLOATS];           /* the server's */
    double at[WORKERS][FLOATS]; /* the workers' */
    int64_t index[WORKERS], version, version_at[WORKERS];
    int64_t stale[HISTOGRAM]; /* pushes that were used, by staleness */
    double pushes;

    /* for rules */
    int count, parameter;
    double sum[FLOATS], v[WORKERS][FLOATS];
    double first[WORKERS], last[WORKERS], given[WORKERS], weight[WORKERS];
    struct table {
        double sum[WORKERS][FLOATS], count[WORKERS];
    } table[2]; /* of this round, of the next one */
    bool updates, served[WORKERS];
};

/* What the server does with a push: the mean g of its mini-batches, d updates old. */
typedef void twin_rule(struct twin *m, int worker, const double *g, int64_t d);

static void use(struct twin *m, int64_t d)
{
    m->stale[d < HISTOGRAM ? d : HISTOGRAM - 1]++;
}

static void step(struct twin *m, const double *g, double rate)
{
    for (int i = 0; i < FLOATS; i++)
        m->x[i] -= rate * g[i];
    m->version++;
}

static void gradient_of(const struct twin *m, int worker, int64_t index, double *g)
{
    for (int i = 0; i < FLOATS; i++)
        g[i] = slope(i) * (m->at[worker][i] - target(worker, index, i));
}

static void take(struct twin *m, int worker, twin_rule *rule)
{
    double g[FLOATS] = {0}, one[FLOATS];
    for (int k = 0; k < m->minibatches; k++) {
        gradient_of(m, worker, m->index[worker]++, one);
        for (int i = 0; i < FLOATS; i++)
            g[i] += one[i] / m->minibatches;
    }
    m->pushes++;
    rule(m, worker, g, m->version - m->version_at[worker]);
    memcpy(m->at[worker], m->x, sizeof m->x);
    m->version_at[worker] = m->version;
}

/* --- a run, and the same by the model --- */

static char folder[] = "/tmp/nbsgd-async-XXXXXX";
static char order[sizeof folder + 8];

static int open_folder(void **state)
{
    (void)state;
    bool opened = mkdtemp(folder);
    snprintf(order, sizeof order, "%s/order", folder);
    return opened ? 0 : -1;
}

static int close_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* The workers of the pushes of the record; returns how many. */
static int read_order(int worker[MOST_EVENTS])
{
    char path[sizeof order + 4], line[300];
    unsigned char word[4];
    int count = 0;
    snprintf(path, sizeof path, "%s.0", order);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) && *line != '\n')
        continue;
    while (fread(word, 1, sizeof word, f) == sizeof word && word[3] == 0)
        worker[count++] = word[0];
    fclose(f);
    assert_int_equal(unlink(path), 0);
    assert_true(count > 40);
    return count;
}

static void run(struct experiment *e, const char *scheme, const char *speeds, const char *more)
{
    struct option_list w = {0};
    char copy[300], *save = NULL;
    struct ledger ledger;
    struct problem p;
    struct problem_kind kind;
    add_plain_sgd(&w, scheme, lr);
    add_option(&w, "workers=%d", WORKERS);
    add_option(&w, "minibatches=2");
    add_option(&w, "batch=%d", 2 * MINIBATCH);
    add_option(&w, "samples=%d", 2 * MINIBATCH * 200);
    if (*speeds)
        add_option(&w, "%s", speeds);
    snprintf(copy, sizeof copy, "%s", more);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(&w, "%s", word);
    experiment_defaults(e, option_list_words(&w));
    ledger_problem(&p, &ledger, MINIBATCH);
    kind = *p.kind;
    kind.stream_open = stream_open;
    kind.stream_close = stream_close;
    kind.gradient = gradient;
    p.kind = &kind;
    p.count = FLOATS;
    p.steps = 100; /* interrupts are heard soon */
    e->problem = &p;
    experiment_run(e);
    e->problem = NULL;
    xfree(ledger.entry);
}

static double apart(const struct experiment *e, const double *x)
{
    double most = 0, difference = 0;
    for (int i = 0; i < FLOATS; i++) {
        most = fmax(most, fabs(x[i]));
        difference = fmax(difference, fabs(x[i] - (double)e->out.w[i]));
    }
    return difference / most;
}

/* Returns the model, which ends where the run does. */
static struct twin follows(twin_rule *rule, const char *scheme, const char *speeds, int parameter,
                           const char *more)
{
    static int worker[MOST_EVENTS];
    struct experiment e;
    struct twin m = {.minibatches = 2, .parameter = parameter};
    char options[300];
    snprintf(options, sizeof options, "record=%s %s", order, more);
    run(&e, scheme, speeds, options);
    int count = read_order(worker);
    for (int k = 0; k < count; k++)
        take(&m, worker[k], rule);
    if (!(apart(&e, m.x) < 1e-5))
        fail_msg("%s %s: %g apart", scheme, more, apart(&e, m.x));
    assert_int_equal(e.out.updates, m.version);
    for (int d = 0; d < HISTOGRAM; d++)
        assert_int_equal(e.out.server.staleness.bin[d], m.stale[d]);
    experiment_close(&e);
    return m;
}

static int64_t staler_than(const struct twin *m, int64_t d)
{
    int64_t sum = 0;
    while (++d < HISTOGRAM)
        sum += m->stale[d];
    return sum;
}

static double mean_staleness(const struct twin *m)
{
    double sum = 0, count = 0;
    for (int d = 0; d < HISTOGRAM; d++) {
        sum += (double)(d * m->stale[d]);
        count += (double)m->stale[d];
    }
    return sum / count;
}

/* --- asgd --- */

static void plain(struct twin *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    use(m, d);
    step(m, g, lr);
}

static void inverse(struct twin *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    use(m, d);
    step(m, g, lr / fmax(1, (double)d));
}

static void adaptive(struct twin *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    use(m, d);
    step(m, g, lr * WORKERS / fmax(WORKERS, (double)d));
}

static void asgds_rate_follows_the_staleness(void **state)
{
    (void)state;
    follows(plain, "asgd", unequal, 0, "");
    struct twin m = follows(inverse, "asgd", unequal, 0, "stale-lr=inverse");
    assert_true(staler_than(&m, 1) > 0);
    m = follows(adaptive, "asgd", unequal, 0, "stale-lr=adaptive");
    assert_true(staler_than(&m, WORKERS) > 0);
}

/* The time between two pushes of a worker, in pushes of all, since its first, over the mean of all
 * who have pushed twice. */
static void rescaled(struct twin *m, int worker, const double *g, int64_t d)
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
    use(m, d);
    step(m, g, lr * factor);
}

static void a_rescaled_rate_weighs_all_workers_alike(void **state)
{
    (void)state;
    struct twin m = follows(rescaled, "asgd", unequal, 0, "stale-lr=rescaled samples=8000");
    assert_true(m.given[0] > 6 * m.given[4]);
    for (int i = 1; i < WORKERS; i++)
        assert_true(fabs(m.weight[i] / m.weight[0] - 1) < 0.1);
}

static const double mu = 0.8;

/* v = mu v + g, x = x - lr v */
static void momentum_of(struct twin *m, double *v, const double *g, int64_t d)
{
    use(m, d);
    for (int i = 0; i < FLOATS; i++)
        v[i] = mu * v[i] + g[i];
    step(m, v, lr);
}

static void shared_momentum(struct twin *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    momentum_of(m, m->v[0], g, d);
}

static void own_momentum(struct twin *m, int worker, const double *g, int64_t d)
{
    momentum_of(m, m->v[worker], g, d);
}

/* The rate is divided, not the gradient that is remembered. */
static void inverse_momentum(struct twin *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    use(m, d);
    for (int i = 0; i < FLOATS; i++)
        m->v[0][i] = mu * m->v[0][i] + g[i];
    step(m, m->v[0], lr / fmax(1, (double)d));
}

static void a_server_has_one_momentum_or_each_workers(void **state)
{
    (void)state;
    follows(shared_momentum, "asgd", unequal, 0, "momentum=0.8");
    follows(inverse_momentum, "asgd", unequal, 0, "momentum=0.8 stale-lr=inverse");
    follows(own_momentum, "asgd", unequal, 0, "momentum=0.8 server-momentum=worker");
    follows(own_momentum, "ringmaster", unequal, 0,
            "momentum=0.8 server-momentum=worker ringmaster-r=1000");
    follows(own_momentum, "dcasgd", unequal, 0, "momentum=0.8 server-momentum=worker dc-lambda=0");
}

/* The mean of 5 / N pushes; whoever gave one goes on at once. */
static void accumulate(struct twin *m, const double *g, int64_t d, double scale, int size)
{
    use(m, d);
    for (int i = 0; i < FLOATS; i++)
        m->sum[i] += scale * g[i];
    if (++m->count < size)
        return;
    step(m, m->sum, lr / size);
    m->count = 0;
    memset(m->sum, 0, sizeof m->sum);
}

static void softsync_1(struct twin *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    accumulate(m, g, d, 1, WORKERS);
}

static void softsync_2(struct twin *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    accumulate(m, g, d, 1, WORKERS / 2);
}

static void softsync_2_inverse(struct twin *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    accumulate(m, g, d, 1 / fmax(1, (double)d), WORKERS / 2);
}

static void softsyncs_contributors_go_on_at_once(void **state)
{
    (void)state;
    struct twin m = follows(softsync_1, "asgd", unequal, 0, "softsync=1");
    assert_true(staler_than(&m, 1) > 0);
    follows(softsync_2, "asgd", unequal, 0, "softsync=2");
    follows(softsync_2_inverse, "asgd", unequal, 0, "softsync=2 stale-lr=inverse");
}

/* Of W pushes between a pull and the next push, its own included, each c-th makes an update: N in
 * all; that of its own push comes after it. */
static void softsyncs_staleness_is_about_n(void **state)
{
    (void)state;
    struct twin m = follows(softsync_1, "asgd", equal, 0, "softsync=1");
    assert_true(fabs(mean_staleness(&m) - 0.8) < 0.1);
    assert_int_equal(staler_than(&m, 1), 0);
    m = follows(softsync_2, "asgd", equal, 0, "softsync=2");
    assert_true(fabs(mean_staleness(&m) - 2) < 0.2);
    m = follows(plain, "asgd", equal, 0, "");
    assert_true(fabs(mean_staleness(&m) - 4) < 0.2);
}

/* A worker five times as slow holds up ssgd, and nobody here. */
static void softsync_waits_for_nobody(void **state)
{
    (void)state;
    struct experiment e;
    run(&e, "asgd", "slow=5=9", "softsync=1");
    for (int i = 0; i < WORKERS; i++)
        assert_true(e.out.worker[i].wait_s < 0.02 * e.out.seconds);
    assert_true(e.out.worker[0].minibatches > 5 * e.out.worker[4].minibatches);
    experiment_close(&e);
}

/* --- ringmaster --- */

/* Mini-batches of the pushes that come after training. */
enum { AT_THE_END = 2 * (WORKERS - 1) };

static void ringmaster(struct twin *m, int worker, const double *g, int64_t d)
{
    (void)worker;
    if (d >= m->parameter)
        return;
    use(m, d);
    step(m, g, lr);
}

static void ringmaster_ignores_an_age_of_r(void **state)
{
    (void)state;
    static const int r[] = {1, 2, 3, 7};
    for (size_t i = 0; i < sizeof r / sizeof *r; i++) {
        char options[100];
        snprintf(options, sizeof options, "ringmaster-r=%d", r[i]);
        struct twin m = follows(ringmaster, "ringmaster", unequal, r[i], options);
        assert_int_equal(staler_than(&m, r[i] - 1), 0);
        assert_true(m.stale[r[i] - 1] > 0 && m.pushes > m.version);
    }
}

/* R = 1: the first to arrive wins. Stopped at once, the others never finish a batch. */
static void a_stopped_worker_starts_again(void **state)
{
    (void)state;
    struct experiment e;
    struct twin m = {.minibatches = 2};
    run(&e, "ringmaster", unequal, "ringmaster-r=1 ringmaster-stops=yes");
    for (int64_t k = 0; k < e.out.updates; k++)
        take(&m, 0, plain);
    assert_true(apart(&e, m.x) < 1e-5);
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
    run(&e, "ringmaster", unequal, "ringmaster-r=12 ringmaster-stops=yes");
    for (int i = 0; i < 4; i++)
        assert_int_equal(e.out.worker[i].aborted_minibatches, 0);
    assert_true(e.out.worker[4].aborted_minibatches > 3);
    assert_in_range(e.out.server.dropped_minibatches, 0, AT_THE_END);
    for (int d = 12; d < HISTOGRAM; d++)
        assert_int_equal(e.out.server.staleness.bin[d], 0);
    experiment_close(&e);
    run(&e, "ringmaster", unequal, "ringmaster-r=12");
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
        run(&e, "ringmaster", "", options);
        assert_true(e.out.samples >= e.options.samples);
        for (int d = r; d < HISTOGRAM; d++)
            assert_int_equal(e.out.server.staleness.bin[d], 0);
        experiment_close(&e);
    }
}

/* --- every worker weighs the same --- */

static void table_add(struct table *t, int worker, const double *g)
{
    for (int i = 0; i < FLOATS; i++)
        t->sum[worker][i] += g[i];
    t->count[worker]++;
}

static void step_by_table(struct twin *m, const struct table *t)
{
    double mean[FLOATS] = {0};
    for (int k = 0; k < WORKERS; k++)
        for (int i = 0; i < FLOATS; i++)
            mean[i] += t->sum[k][i] / t->count[k] / WORKERS;
    step(m, mean, lr);
}

static int left(const bool *done)
{
    int count = 0;
    for (int i = 0; i < WORKERS; i++)
        count += !done[i];
    return count;
}

static void ringleader(struct twin *m, int worker, const double *g, int64_t d)
{
    bool later = m->updates && m->served[worker], full = true;
    use(m, d + (later ? left(m->served) : 0));
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
    static const char *const speeds[] = {unequal, equal, "slow=5=40"};
    for (int i = 0; i < 3; i++) {
        struct twin m = follows(ringleader, "ringleader", speeds[i], 0, "");
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
    struct twin m = {0};
    run(&e, "malenia", unequal, "");
    for (int64_t v = 0; v < e.out.updates; v++) {
        struct table t = {0};
        for (int k = 0; k < WORKERS; k++)
            for (int b = 0; b < given[k]; b++, m.index[k]++) {
                double g[FLOATS];
                gradient_of(&m, k, m.index[k], g);
                table_add(&t, k, g);
            }
        step_by_table(&m, &t);
        for (int k = 0; k < WORKERS; k++)
            memcpy(m.at[k], m.x, sizeof m.x);
    }
    assert_true(e.out.updates > 10 && apart(&e, m.x) < 1e-5);
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
        run(&e, "malenia", unequal, options);
        assert_int_equal(e.out.server.minibatches_per_update.bin[s + 12], e.out.updates);
        experiment_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asgds_rate_follows_the_staleness),
        cmocka_unit_test(a_rescaled_rate_weighs_all_workers_alike),
        cmocka_unit_test(a_server_has_one_momentum_or_each_workers),
        cmocka_unit_test(softsyncs_contributors_go_on_at_once),
        cmocka_unit_test(softsyncs_staleness_is_about_n),
        cmocka_unit_test(softsync_waits_for_nobody),
        cmocka_unit_test(ringmaster_ignores_an_age_of_r),
        cmocka_unit_test(a_stopped_worker_starts_again),
        cmocka_unit_test(only_who_is_too_late_is_stopped),
        cmocka_unit_test(stops_are_heard_whatever_the_delays),
        cmocka_unit_test(ringleader_makes_rounds_of_one_update_each),
        cmocka_unit_test(malenias_workers_weigh_the_same),
        cmocka_unit_test(malenia_waits_for_its_harmonic_mean),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
