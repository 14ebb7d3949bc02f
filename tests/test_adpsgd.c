/* Atomic pairwise averages, simulated: what the workers end with is explained by averages one after
 * the other, each of two whole vectors; nobody waits for ever, whoever is slow; nothing is lost. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "pairs/pairs.h"
#include "scheme/scheme.h"
#include "tests/death_test.h"
#include "tests/special_case.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 10 };
#else
enum { SEEDS = 200 };
#endif
enum { WORKERS = 6, STEPS = 6, FLOATS = 4 };
static const double near = 1e-5;

/* --- averages without a gradient */

struct exchange { /* as the active worker knows it */
    int partner;
    float sent[FLOATS], after[FLOATS];
    bool used;
};

struct history {
    float first[WORKERS][FLOATS], last[WORKERS][FLOATS];
    struct exchange list[WORKERS * STEPS];
    int count;
};

static void hold_up(struct node *n, int64_t step)
{
    struct random r = random_at(RANDOM_TEST, (uint64_t)n->context->options->seed,
                                (uint64_t)n->worker, (uint64_t)step, 7);
    node_sleep(n, random_below(&r, 3) * 0.2 * random_uniform(&r));
}

static void average_for_a_while(struct node *n)
{
    struct history *h = n->context->problem->self;
    struct random r =
        random_at(RANDOM_TEST, (uint64_t)n->context->options->seed, 50, (uint64_t)n->worker, 0);
    for (int i = 0; i < FLOATS; i++)
        h->first[n->worker][i] = n->w[i] = (float)random_normal(&r);
    struct pairs *p = pairs_open(n);
    for (int64_t step = 0; step < STEPS; step++) {
        struct exchange *x = &h->list[h->count];
        pairs_begin(p, step);
        bool active = p->sent != NULL;
        if (active) {
            h->count++;
            x->partner = p->partner - n->context->servers;
            memcpy(x->sent, p->sent, sizeof x->sent);
        }
        pairs_batch(p);
        hold_up(n, step);
        while (active && p->sent) /* the record wants whole exchanges */
            pairs_batch(p);
        if (active)
            memcpy(x->after, n->w, sizeof x->after);
    }
    pairs_close(p);
    memcpy(h->last[n->worker], n->w, sizeof h->last[0]);
}

static void serve_nothing(struct node *n)
{
    (void)n;
}

static const struct scheme averaging = {
    .name = "averaging", .flags = GOSSIP, .work = average_for_a_while, .serve = serve_nothing};

static bool is_near(const float *a, const float *b)
{
    for (int i = 0; i < FLOATS; i++)
        if (!(fabsf(a[i] - b[i]) < near))
            return false;
    return true;
}

/* The exchange that a passive worker with x has taken next. */
static struct exchange *next(struct history *h, int worker, const float *x)
{
    for (int k = 0; k < h->count; k++) {
        struct exchange *e = &h->list[k];
        float average[FLOATS];
        for (int i = 0; i < FLOATS; i++)
            average[i] = 0.5f * e->sent[i] + 0.5f * x[i];
        if (!e->used && e->partner == worker && is_near(average, e->after))
            return e;
    }
    return NULL;
}

/* Each passive worker went from its first to its last weights by whole averages, and all that were
 * made are used so: one after the other, none torn, none lost. */
static void judge(struct history *h, const char *graph, uint64_t seed)
{
    int used = 0;
    double sum = 0;
    for (int i = 0; i < WORKERS; i++) {
        const float *x = h->first[i];
        struct exchange *e;
        bool passive = false;
        for (int k = 0; k < h->count; k++)
            passive |= h->list[k].partner == i;
        for (; passive && (e = next(h, i, x)); used++) {
            e->used = true;
            x = e->after;
        }
        if (passive && !is_near(x, h->last[i]))
            fail_msg("%s, seed %llu: worker %d ends with no chain of averages", graph,
                     (unsigned long long)seed, i);
        sum += h->last[i][0] - h->first[i][0];
    }
    if (used != h->count || !h->count || fabs(sum) > near)
        fail_msg("%s, seed %llu: %d of %d averages are explained, the sum moved by %g", graph,
                 (unsigned long long)seed, used, h->count, sum);
}

static bool no_gradient(struct problem *p, struct stream *s, int64_t index, struct weights w,
                        float *g, struct loss *loss, network_hook *hook, void *self)
{
    (void)s, (void)index, (void)w;
    memset(g, 0, (size_t)p->count * sizeof *g);
    *loss = (struct loss){.sum = 0};
    return !hook || hook(self, p->steps - 1, 0);
}

static void run_averages(struct history *h, const char *graph, uint64_t seed)
{
    struct experiment e;
    struct option_list w = {0};
    struct problem problem;
    struct ledger ledger;
    memset(h, 0, sizeof *h);
    add_plain_sgd(&w, "adpsgd", 0);
    add_option(&w, "workers=%d", WORKERS);
    add_option(&w, "topology=%s", graph);
    add_option(&w, "minibatches=1");
    add_option(&w, "batch=1");
    add_option(&w, "samples=1");
    add_option(&w, "seed=%llu", (unsigned long long)seed);
    add_option(&w, "sim-latency=%g", seed % 3 ? 1e-3 : 0.1);
    add_option(&w, "slow=%d=%d", 1 + (int)(seed % WORKERS), seed % 4 ? 3 : 100);
    add_option(&w, "delay=exponential:0.05");
    experiment_defaults(&e, option_list_words(&w));
    ledger_problem(&problem, &ledger, 1);
    struct problem_kind kind = *problem.kind;
    kind.gradient = no_gradient;
    problem.kind = &kind;
    problem.self = h;
    e.problem = &problem;
    e.scheme = &averaging;
    experiment_run(&e);
    e.problem = NULL;
    xfree(ledger.entry);
    experiment_close(&e);
}

static void averages_are_atomic(void **state)
{
    (void)state;
    static const char *const graphs[] = {"ring", "path", "star", "one-peer-ring"};
    struct history *h = xcalloc(1, sizeof *h);
    for (size_t g = 0; g < sizeof graphs / sizeof *graphs; g++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            run_averages(h, graphs[g], seed);
            judge(h, graphs[g], seed);
        }
    xfree(h);
}

/* --- the scheme */

/* Each of four workers at full speed, ten or a hundred times slower, in all combinations. A
 * deadlock ends a simulated run, and so this program. */
static void no_mix_of_speeds_is_a_deadlock(void **state)
{
    (void)state;
    static const char *const graphs[] = {"ring", "path", "star"};
    static const int factors[] = {1, 10, 100};
    for (int mix = 0; mix < 81 * 3; mix++) {
        struct experiment e;
        char options[200];
        int of = mix / 3;
        snprintf(options, sizeof options,
                 "topology=%s slow=1=%d,2=%d,3=%d,4=%d samples=320 sim-latency=%s delay=%s",
                 graphs[mix % 3], factors[of % 3], factors[of / 3 % 3], factors[of / 9 % 3],
                 factors[of / 27], mix % 2 ? "1e-4" : "0.3",
                 mix % 5 ? "constant:0" : "exponential:0.05");
        run_special_case(&e, "adpsgd", 4, 1, options);
        assert_true(e.out.samples >= 320 && e.out.status == 0);
        experiment_close(&e);
    }
}

static void alone_it_is_serial(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"adpsgd", "momentum=0.9"},
                      (struct twin){"serial", "momentum=0.9"}, 1, 2) < rounding);
}

/* Three workers make the updates, whatever the fourth does: as long as they would alone. */
static void nobody_waits_for_the_slowest(void **state)
{
    (void)state;
    for (int slow = 1; slow <= 4; slow++) {
        struct experiment e;
        char options[60];
        snprintf(options, sizeof options, "slow=%d=100 samples=2400", slow);
        run_special_case(&e, "adpsgd", 4, 1, options);
        /* at the end the slow one finishes its mini-batch, of 10 s */
        assert_true(e.out.seconds < 1.05 * 0.1 * (double)e.out.updates / 3 + 10.1);
        assert_in_range(e.out.worker[slow - 1].minibatches, 0, 2);
        experiment_close(&e);
    }
}

/* The ledger's gradient says who made it, and averages keep the sum: each step is in the weights of
 * some worker, once. */
static void no_step_is_lost(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct experiment e;
        struct option_list w = {0};
        double given = 0;
        add_plain_sgd(&w, "adpsgd", 1);
        add_option(&w, "workers=4");
        add_option(&w, "minibatches=2");
        add_option(&w, "batch=8");
        add_option(&w, "samples=3200");
        add_option(&w, "slow=3=5");
        add_option(&w, "seed=%llu", (unsigned long long)seed);
        add_option(&w, DELAYS);
        experiment_defaults(&e, option_list_words(&w));
        experiment_run(&e);
        for (int i = 0; i < 4; i++)
            given += e.out.w[1 + i] * 4;
        /* but for an average that one side had, and a step that was not counted, at the end */
        if (fabs(given - (double)e.out.updates) > 0.02 * (double)e.out.updates ||
            fabs(e.out.w[0] * 4 - given) > 0.01)
            fail_msg("seed %llu: %g of %lld steps are in the weights", (unsigned long long)seed,
                     given, (long long)e.out.updates);
        experiment_close(&e);
    }
}

/* What all workers agree on they agree on here, too: the distance to the mean stays small. */
static void it_learns_as_asgd_does(void **state)
{
    (void)state;
    struct experiment e, asgd, start;
    run_special_case(&start, "asgd", 4, 1, "samples=1");
    run_special_case(&e, "adpsgd", 4, 1, "samples=12800 lr=0.02 " DELAYS);
    run_special_case(&asgd, "asgd", 4, 1, "samples=12800 lr=0.005 " DELAYS);
    double way = quadratic_difference(&asgd.out, &start.out);
    assert_true(quadratic_difference(&e.out, &asgd.out) < 0.25 * way);
    experiment_close(&start);
    experiment_close(&e);
    experiment_close(&asgd);
}

/* --- what is refused */

static void check_graph(const void *argument)
{
    struct experiment e;
    struct option_list w = {0};
    const char *text = argument;
    add_option(&w, "scheme=adpsgd");
    add_option(&w, "topology=%.*s", (int)strcspn(text + 2, " "), text + 2);
    if (strchr(text + 2, ' '))
        add_option(&w, "%s", strchr(text + 2, ' ') + 1);
    experiment_defaults(&e, option_list_words(&w));
    pairs_check(&e.options, *text - '0');
    experiment_close(&e);
}

static void graphs_that_are_not_bipartite_are_refused(void **state)
{
    (void)state;
    assert_dies(2, check_graph, "5 ring",
                (const char *const[]){"ring of 5 workers is not bipartite: workers 2 and 3",
                                      "take --topology path", NULL});
    assert_dies(2, check_graph, "6 complete",
                (const char *const[]){"workers 1 and 2 are neighbours on one side",
                                      "take --topology ring", NULL});
    assert_dies(2, check_graph, "4 directed-ring",
                (const char *const[]){"edges go one way", "take ring", NULL});
    assert_dies(2, check_graph, "4 ring mixing=uniform",
                (const char *const[]){"play no part in adpsgd; leave it out", NULL});
    assert_dies(2, check_graph, "4 ring choco-gamma=0.1",
                (const char *const[]){"--choco-gamma: vectors are sent as they are", NULL});
    static const char *const fine[] = {
        "6 ring", "5 path", "5 star", "8 hypercube", "1 ring", "2 ring", "8 one-peer-exponential"};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        check_graph(fine[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(averages_are_atomic),
        cmocka_unit_test(no_mix_of_speeds_is_a_deadlock),
        cmocka_unit_test(alone_it_is_serial),
        cmocka_unit_test(nobody_waits_for_the_slowest),
        cmocka_unit_test(no_step_is_lost),
        cmocka_unit_test(it_learns_as_asgd_does),
        cmocka_unit_test(graphs_that_are_not_bipartite_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
