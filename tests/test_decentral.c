/* Push-sum, gradient tracking and consensus ADMM on graphs, simulated: each is its formula in
 * double, and what it must conserve it conserves after every update, over graphs, seeds and
 * delays. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "gossip/gossip.h"
#include "node/private.h"
#include "scheme/scheme.h"
#include "tests/death_test.h"
#include "tests/gossip.h"
#include "tests/special_case.h"

enum { WORKERS = PLAIN_WORKERS, COUNT = PLAIN_FLOATS, MINIBATCHES = 2, UPDATES = 7 };

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 4 };
#else
enum { SEEDS = 20 };
#endif

/* --- formulas */

static const struct formula {
    const char *scheme, *options;
    void (*plain)(const struct plain_run *r, float *mean);
    int64_t overlap;
} formulas[] = {
    {"sgp", "topology=directed-exponential", plain_sgp, 0},
    {"sgp", "topology=directed-one-peer-exponential", plain_sgp, 0},
    {"sgp", "topology=star", plain_sgp, 0},
    {"osgp", "topology=directed-exponential", plain_osgp, 1},
    {"osgp", "topology=directed-one-peer-exponential overlap-steps=2", plain_osgp, 2},
    {"osgp", "topology=wheel overlap-steps=3", plain_osgp, 3},
    {"dsgt", "topology=ring", plain_dsgt, 0},
    {"dsgt", "topology=star", plain_dsgt, 0},
    {"dsgt", "topology=one-peer-exponential", plain_dsgt, 0},
    {"dinno", "topology=ring dinno-growth=1.1", plain_dinno, 0},
    {"dinno", "topology=star dinno-growth=1.01", plain_dinno, 0},
};

static void each_is_its_formula_in_double(void **state)
{
    (void)state;
    for (size_t f = 0; f < sizeof formulas / sizeof *formulas; f++) {
        struct experiment e;
        struct plain_run r = {.updates = UPDATES,
                              .minibatches = MINIBATCHES,
                              .overlap = formulas[f].overlap,
                              .rho = 0.3,
                              .growth = strstr(formulas[f].options, "=1.1") ? 1.1 : 1.01};
        char options[200];
        snprintf(options, sizeof options, "%s " DELAYS " samples=%d%s", formulas[f].options,
                 8 * MINIBATCHES * WORKERS * UPDATES,
                 strcmp(formulas[f].scheme, "dinno") ? "" : " dinno-rho=0.3");
        run_special_case(&e, formulas[f].scheme, WORKERS, MINIBATCHES, options);
        assert_int_equal(e.out.updates, UPDATES);
        r.lr = e.options.lr;
        struct topology *graph = gossip_topology(&e.options, WORKERS);
        r.graph = graph;
        r.problem = problem_open(&(struct problem_options){
            .options = &e.options, .minibatch = 8, .threads = 1, .trains = true});
        struct outcome plain = {.count = COUNT, .w = xcalloc(COUNT, sizeof(float))};
        formulas[f].plain(&r, plain.w);
        double difference = quadratic_difference(&e.out, &plain);
        if (!(difference < rounding))
            fail_msg("%s %s ends %g apart", formulas[f].scheme, formulas[f].options, difference);
        xfree(plain.w);
        problem_close(r.problem);
        topology_close(graph);
        experiment_close(&e);
    }
}

/* --- special cases */

static void alone_they_are_serial(void **state)
{
    (void)state;
    static const struct twin twins[] = {
        {"sgp", "momentum=0.9"}, {"dsgt", "optimizer=adam lr=0.02"}, {"dinno", ""}, {"osgp", ""}};
    for (size_t i = 0; i < sizeof twins / sizeof *twins; i++) {
        double difference = apart(twins[i], (struct twin){"serial", twins[i].options}, 1, 1);
        if (!(difference < rounding))
            fail_msg("%s ends %g from serial", twins[i].scheme, difference);
    }
}

/* Complete graphs with plain means: after an update all have the mean. */
static void on_a_complete_graph_they_are_allreduce(void **state)
{
    (void)state;
    const struct twin allreduce = {"allreduce", ""};
    assert_true(apart((struct twin){"sgp", "topology=complete mixing=uniform " DELAYS}, allreduce,
                      8, 2) < rounding);
    assert_true(apart((struct twin){"dsgt", "topology=complete mixing=uniform " DELAYS}, allreduce,
                      8, 2) < rounding);
    assert_true(apart((struct twin){"sgp", ""}, allreduce, 8, 2) < 10);
}

/* Nothing pulls: each worker is alone with its steps. With one step a round the toy, whose
 * curvature is everywhere the same, has allreduce's mean. */
static void without_a_pull_dinno_is_alone(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"dinno", "dinno-rho=0"}, (struct twin){"allreduce", ""}, 4, 1) <
                rounding);
    assert_true(apart((struct twin){"dinno", "dinno-optimizer=keep momentum=0.9"},
                      (struct twin){"dinno", "momentum=0.9"}, 4, 2) > rounding);
}

/* --- what is conserved */

struct watch {
    struct node *nodes[WORKERS];
    const struct topology *graph;
    const char *scheme, *options;
    uint64_t seed;
    int64_t judged; /* versions */
    double size;    /* greatest dual, or track */
    double sum[COUNT];
    void (*evaluate)(struct problem *p, struct weights w, const float *unused, int shard,
                     int shards, struct loss *loss, void (*progress)(void *), void *self);
};

static struct watch *watch; /* of the run */

static void note(void *self, struct node *n)
{
    (void)self;
    if (n->worker >= 0)
        watch->nodes[n->worker] = n;
}

/* What that worker keeps under this name. */
static const void *kept(int worker, const char *name)
{
    int count;
    struct kept *list = keeping_list(watch->nodes[worker], &count);
    const void *memory = NULL;
    for (int i = 0; i < count; i++)
        if (!strcmp(list[i].name, name))
            memory = list[i].memory;
    xfree(list);
    if (!memory)
        fail_msg("%s keeps no %s", watch->scheme, name);
    return memory;
}

/* sum += scale x the worker's vector */
static void add(int worker, const char *name, double scale)
{
    const float *v = kept(worker, name);
    for (int i = 0; i < COUNT; i++) {
        watch->sum[i] += scale * v[i];
        watch->size = fmax(watch->size, fabs(v[i]));
    }
}

static void expect_zero(const char *what, double bound)
{
    for (int i = 0; i < COUNT; i++)
        if (!(fabs(watch->sum[i]) < bound))
            fail_msg("%s %s, seed %llu, version %lld: %s are off by %g", watch->scheme,
                     watch->options, (unsigned long long)watch->seed,
                     (long long)watch->nodes[0]->version, what, watch->sum[i]);
}

/* The part of worker i's vector of that exchange that goes to others. */
static double away(int64_t exchange, int i)
{
    struct neighbour list[WORKERS];
    double part = 0;
    for (int k = topology_targets(watch->graph, exchange, i, list) - 1; k >= 0; k--)
        part += list[k].node == i ? 0 : list[k].weight;
    return part;
}

/* All weights, with those under way, add to the number of workers. */
static void judge_push_sum(void)
{
    double sum = 0;
    bool overlaps = !strcmp(watch->scheme, "osgp");
    for (int i = 0; i < WORKERS; i++) {
        sum += *(const double *)kept(i, "worker.push_sum");
        if (overlaps && *(const int64_t *)kept(i, "worker.sent/version") >= 0)
            sum += away(*(const int64_t *)kept(i, "worker.sent/exchange"), i) *
                   *(const double *)kept(i, "worker.sent/weight");
    }
    if (!(fabs(sum - WORKERS) < 1e-9))
        fail_msg("%s %s, seed %llu: push-sum weights add to %.12g", watch->scheme, watch->options,
                 (unsigned long long)watch->seed, sum);
}

static void judge(void)
{
    memset(watch->sum, 0, sizeof watch->sum);
    watch->size = 0;
    if (strstr(watch->scheme, "sgp"))
        judge_push_sum();
    for (int i = 0; i < WORKERS && !strcmp(watch->scheme, "dsgt"); i++) {
        add(i, "worker.tracker", 1);
        add(i, "worker.gradient", -1);
    }
    for (int i = 0; i < WORKERS && !strcmp(watch->scheme, "dinno"); i++)
        add(i, "worker.dual", 1);
    expect_zero(strcmp(watch->scheme, "dsgt") ? "duals" : "tracks", 1e-5 * fmax(1, watch->size));
    watch->judged++;
}

static void evaluate(struct problem *p, struct weights w, const float *unused, int shard,
                     int shards, struct loss *loss, void (*progress)(void *), void *self)
{
    if (shard == 0 && watch->nodes[0] && watch->nodes[0]->version > 0)
        judge();
    watch->evaluate(p, w, unused, shard, shards, loss, progress, self);
}

static void run_watched(const char *scheme, const char *options, uint64_t seed)
{
    struct experiment e;
    struct option_list w = {0};
    char copy[200], *save = NULL;
    struct watch all = {.scheme = scheme, .options = options, .seed = seed};
    add_plain_sgd(&w, scheme, 0.05);
    add_option(&w, "network=quadratic");
    add_option(&w, "workers=%d", WORKERS);
    add_option(&w, "seed=%llu", (unsigned long long)seed);
    add_option(&w, "minibatches=1");
    add_option(&w, "batch=8");
    add_option(&w, "samples=%d", 8 * WORKERS * UPDATES);
    add_option(&w, "eval-every=%d", 8 * WORKERS);
    add_option(&w, "delay=%s", seed % 2 ? "exponential:0.05" : "pareto:0.01,1.2");
    snprintf(copy, sizeof copy, "%s", options);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(&w, "%s", word);
    experiment_defaults(&e, option_list_words(&w));
    e.problem = problem_open(&(struct problem_options){
        .options = &e.options, .minibatch = 8, .threads = 1, .trains = true});
    const struct problem_kind *kind = e.problem->kind;
    struct problem_kind watched = *kind;
    struct topology *graph = gossip_topology(&e.options, WORKERS);
    watched.evaluate = evaluate;
    all.evaluate = kind->evaluate;
    all.graph = graph;
    e.problem->kind = &watched; // cppcheck-suppress autoVariables ; until the end of the run
    e.opened = note;
    e.together = true; /* else nothing is kept */
    watch = &all;
    experiment_run(&e);
    watch = NULL;
    assert_true(all.judged >= UPDATES - 1);
    e.problem->kind = kind;
    problem_close(e.problem);
    topology_close(graph);
    experiment_close(&e);
}

static void sums_are_conserved_at_every_update(void **state)
{
    (void)state;
    static const struct twin runs[] = {{"sgp", "topology=directed-exponential"},
                                       {"sgp", "topology=star"},
                                       {"osgp", "topology=directed-exponential overlap-steps=2"},
                                       {"osgp", "topology=directed-ring momentum=0.9"},
                                       {"dsgt", "topology=ring"},
                                       {"dsgt", "topology=one-peer-exponential"},
                                       {"dsgt", "topology=matcha momentum=0.9"},
                                       {"dinno", "topology=ring"},
                                       {"dinno", "topology=erdos-renyi optimizer=adam lr=0.01"},
                                       {"dinno", "topology=one-peer-ring"}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++)
            run_watched(runs[i].scheme, runs[i].options, seed);
}

/* --- what is refused */

static void check_options(const void *argument)
{
    struct experiment e;
    struct option_list w = {0};
    char copy[200], *save = NULL;
    snprintf(copy, sizeof copy, "%s", (const char *)argument);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(&w, "%s", word);
    experiment_defaults(&e, option_list_words(&w));
    scheme_find(e.options.scheme)->check(&e.options, 8);
    experiment_close(&e);
}

/* Where edges are drawn, as many as a worker has may come at once. */
static void osgp_wants_that_something_is_kept(void **state)
{
    (void)state;
    assert_dies(
        2, check_options, "scheme=osgp topology=matcha matcha-graph=ring",
        (const char *const[]){"of what it sends, and osgp goes on with what is kept", NULL});
    check_options("scheme=osgp topology=ring");
    check_options("scheme=osgp topology=directed-exponential");
}

static void options_without_effect_are_refused(void **state)
{
    (void)state;
    assert_dies(2, check_options, "scheme=dinno topology=star mixing=uniform",
                (const char *const[]){"play no part in dinno; leave it out", NULL});
    assert_dies(2, check_options, "scheme=dinno topology=directed-ring",
                (const char *const[]){"edges go one way", NULL});
    assert_dies(2, check_options, "scheme=local sim-model-sums=2",
                (const char *const[]){"--sim-model-sums: local sums", NULL});
    check_options("scheme=dinno topology=star");
    check_options("scheme=local outer-every=2 sim-model-sums=2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_its_formula_in_double),
        cmocka_unit_test(alone_they_are_serial),
        cmocka_unit_test(on_a_complete_graph_they_are_allreduce),
        cmocka_unit_test(without_a_pull_dinno_is_alone),
        cmocka_unit_test(sums_are_conserved_at_every_update),
        cmocka_unit_test(osgp_wants_that_something_is_kept),
        cmocka_unit_test(options_without_effect_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
