/* Neighbours that mix: on the simulated network, over graphs, seeds and delays; and D-PSGD against
 * a few lines that need no messages. */
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
#include "base/vector.h"
#include "gossip/gossip.h"
#include "scheme/scheme.h"
#include "tests/death_test.h"
#include "tests/special_case.h"

enum { SEEDS = 12, STEPS = 9, MOST_STEPS = 40, FLOATS = 5, WORKERS = 8 };

/* What each worker had at each step; the workers write it while they run. */
struct history {
    int steps;
    double delay_s; /* mean, before each half of an exchange */
    float x[MOST_STEPS + 1][WORKERS][FLOATS];
    double number[MOST_STEPS + 1][WORKERS];
};

static struct history *history_of(const struct node *n)
{
    return n->context->problem->self;
}

static void hold_up(struct node *n, int64_t step, int half)
{
    struct random r = random_at(RANDOM_TEST, (uint64_t)n->context->options->seed,
                                (uint64_t)n->worker, (uint64_t)step, (uint64_t)half);
    node_stand_still(n, -log(1 - random_uniform(&r)) * history_of(n)->delay_s);
}

static void record(struct history *h, int64_t step, int worker, const float *x, double number)
{
    memcpy(h->x[step][worker], x, sizeof h->x[step][worker]);
    h->number[step][worker] = number;
}

/* Two vectors, of which the older one is mixed into: as schemes do it. */
static void mix_for_a_while(struct node *n)
{
    struct history *h = history_of(n);
    struct gossip *g = gossip_open(n, FLOATS);
    float *x[2] = {net_alloc(n->net, sizeof h->x[0][0]), net_alloc(n->net, sizeof h->x[0][0])};
    struct random r =
        random_at(RANDOM_TEST, (uint64_t)n->context->options->seed, 100, (uint64_t)n->worker, 0);
    double number = 1;
    for (int i = 0; i < FLOATS; i++)
        x[0][i] = (float)random_normal(&r);
    record(h, 0, n->worker, x[0], number);
    for (int64_t t = 0; t < h->steps; t++) {
        hold_up(n, t, 0);
        gossip_begin(g, t, x[t % 2], number);
        hold_up(n, t, 1);
        number = gossip_mix(g, x[(t + 1) % 2]);
        record(h, t + 1, n->worker, x[(t + 1) % 2], number);
    }
    gossip_close(g);
    net_free(n->net, x[0]);
    net_free(n->net, x[1]);
}

static void serve_nothing(struct node *n)
{
    (void)n;
}

static const struct scheme mixing = {
    .name = "mixing", .flags = GOSSIP, .work = mix_for_a_while, .serve = serve_nothing};

static void run_mixing(struct experiment *e, struct history *h, const char *graph, uint64_t seed)
{
    struct option_list w = {0};
    char copy[200], *save = NULL;
    struct problem problem;
    struct ledger ledger;
    const struct links one_host = {.between = {.latency_s = 1e-3},
                                   .within = {.latency_s = 1e-4},
                                   .ranks_per_host = WORKERS + 1};
    snprintf(copy, sizeof copy, "%s", graph);
    add_plain_sgd(&w, "dpsgd", 0);
    add_option(&w, "workers=%d", WORKERS);
    add_option(&w, "samples=1");
    add_option(&w, "seed=%llu", (unsigned long long)seed);
    add_option(&w, "sim-latency=%g", seed % 3 ? 1e-3 : 0.1);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(&w, "%s", word);
    experiment_defaults(e, option_list_words(&w));
    ledger_problem(&problem, &ledger, 1);
    problem.self = h;
    e->problem = &problem;
    e->scheme = &mixing;
    if (seed % 2)
        e->links = &one_host; // cppcheck-suppress autoVariables ; until the end of the run
    experiment_run(e);
    e->problem = NULL;
    e->links = NULL;
    xfree(ledger.entry);
}

static double sum_of(const struct history *h, int step, int i)
{
    double sum = 0;
    for (int k = 0; k < WORKERS; k++)
        sum += h->x[step][k][i];
    return sum;
}

/* From what all had at `step`, with W of that step, in ascending order. */
static void judge_step(const struct history *h, const struct topology *t, int step,
                       const char *graph, uint64_t seed)
{
    struct neighbour list[WORKERS];
    const float *source[WORKERS];
    double weight[WORKERS];
    for (int k = 0; k < WORKERS; k++) {
        int count = topology_sources(t, step, k, list);
        float x[FLOATS];
        for (int i = 0; i < count; i++) {
            source[i] = h->x[step][list[i].node];
            weight[i] = list[i].weight;
        }
        vector_sum(x, source, weight, count, FLOATS, 1);
        if (memcmp(x, h->x[step + 1][k], sizeof x))
            fail_msg("%s, seed %llu, step %d: worker %d mixed something else", graph,
                     (unsigned long long)seed, step, k);
    }
    for (int i = 0; i < FLOATS; i++)
        if (fabs(sum_of(h, step + 1, i) - sum_of(h, 0, i)) > 1e-5)
            fail_msg("%s, seed %llu, step %d: the mean has moved", graph, (unsigned long long)seed,
                     step);
    double numbers = 0;
    for (int k = 0; k < WORKERS; k++)
        numbers += h->number[step + 1][k];
    assert_true(fabs(numbers - WORKERS) < 1e-9);
}

/* Jacobi, whoever is late; the mean stays, and so does the sum of the numbers. */
static void mixing_is_a_product_with_w(void **state)
{
    (void)state;
    static const char *const graphs[] = {"topology=ring",
                                         "topology=star",
                                         "topology=torus mixing=uniform",
                                         "topology=one-peer-exponential",
                                         "topology=alternating-exponential-ring local-ranks=2",
                                         "topology=matcha matcha-budget=0.4",
                                         "topology=erdos-renyi",
                                         "topology=directed-exponential",
                                         "topology=directed-one-peer-exponential"};
    struct history *h = xcalloc(1, sizeof *h);
    for (size_t g = 0; g < sizeof graphs / sizeof *graphs; g++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct experiment e;
            h->steps = STEPS;
            h->delay_s = seed % 4 * 0.05;
            run_mixing(&e, h, graphs[g], seed);
            struct topology *t = gossip_topology(&e.options, WORKERS);
            for (int step = 0; step < STEPS; step++)
                judge_step(h, t, step, graphs[g], seed);
            topology_close(t);
            experiment_close(&e);
        }
    xfree(h);
}

static double distance_to_mean(const struct history *h, int step)
{
    double squares = 0;
    for (int k = 0; k < WORKERS; k++)
        for (int i = 0; i < FLOATS; i++)
            squares += pow(h->x[step][k][i] - sum_of(h, step, i) / WORKERS, 2);
    return sqrt(squares);
}

/* No gradient: a step leaves 1 - gap of the distance, at worst, and in the long run just that. */
static void the_distance_falls_by_the_second_eigenvalue(void **state)
{
    (void)state;
    static const char *const graphs[] = {"topology=ring", "topology=path", "topology=star"};
    struct history *h = xcalloc(1, sizeof *h);
    h->steps = MOST_STEPS;
    for (size_t g = 0; g < sizeof graphs / sizeof *graphs; g++) {
        struct experiment e;
        run_mixing(&e, h, graphs[g], 5);
        struct topology *t = gossip_topology(&e.options, WORKERS);
        double left = 1 - topology_measure(t).gap;
        for (int step = 0; step < MOST_STEPS; step++)
            assert_true(distance_to_mean(h, step + 1) <= left * distance_to_mean(h, step) + 1e-6);
        double last = distance_to_mean(h, MOST_STEPS) / distance_to_mean(h, MOST_STEPS - 1);
        if (fabs(last - left) > 0.02 * left)
            fail_msg("%s: the last step left %g of the distance, not %g", graphs[g], last, left);
        topology_close(t);
        experiment_close(&e);
    }
    xfree(h);
}

/* --- D-PSGD */

/* The workers' mean after `updates`, by loops over all of them: x = W x - lr g(x). */
static void plain_dpsgd(struct problem *p, const struct topology *t, double lr, int updates,
                        int minibatches, float *mean)
{
    size_t count = (size_t)p->count, bytes = count * sizeof(float);
    struct stream *stream[WORKERS];
    struct neighbour list[WORKERS];
    float *x[2][WORKERS], *g = xcalloc(count, sizeof *g);
    for (int k = 0; k < WORKERS; k++) {
        stream[k] = p->kind->stream_open(p, k, WORKERS);
        for (int i = 0; i < 2; i++)
            x[i][k] = xcalloc(count, sizeof(float));
        p->kind->initialise(p, x[0][k]);
    }
    for (int v = 0; v < updates; v++)
        for (int k = 0; k < WORKERS; k++) {
            float *new = x[(v + 1) % 2][k];
            int sources = topology_sources(t, v, k, list);
            memset(new, 0, bytes);
            for (int j = 0; j < sources; j++)
                for (size_t i = 0; i < count; i++)
                    new[i] += (float)list[j].weight *x[v % 2][list[j].node][i];
            for (int m = 0; m < minibatches; m++) {
                struct loss loss = {0};
                p->kind->gradient(p, stream[k], v * minibatches + m,
                                  (struct weights){x[v % 2][k], (uint64_t)(1000 + v * WORKERS + k)},
                                  g, &loss, NULL, NULL);
                for (size_t i = 0; i < count; i++)
                    new[i] -= (float)(lr / minibatches) * g[i];
            }
        }
    memset(mean, 0, bytes);
    for (int k = 0; k < WORKERS; k++) {
        for (size_t i = 0; i < count; i++)
            mean[i] += x[updates % 2][k][i] / WORKERS;
        p->kind->stream_close(p, stream[k]);
        xfree(x[0][k]);
        xfree(x[1][k]);
    }
    xfree(g);
}

static void dpsgd_is_its_formula(void **state)
{
    (void)state;
    enum { UPDATES = 7, MINIBATCHES = 2, SAMPLES = 8 * MINIBATCHES * WORKERS * UPDATES };
    static const char *const graphs[] = {"topology=ring", "topology=one-peer-exponential",
                                         "topology=matcha"};
    for (size_t g = 0; g < sizeof graphs / sizeof *graphs; g++) {
        struct experiment e;
        char options[200];
        snprintf(options, sizeof options, "%s " DELAYS " samples=%d", graphs[g], SAMPLES);
        run_special_case(&e, "dpsgd", WORKERS, MINIBATCHES, options);
        assert_int_equal(e.out.updates, UPDATES);
        struct topology *t = gossip_topology(&e.options, WORKERS);
        struct problem *p = problem_open(&(struct problem_options){
            .options = &e.options, .minibatch = 8, .threads = 1, .trains = true});
        struct outcome plain = {.count = p->count, .w = xcalloc((size_t)p->count, sizeof(float))};
        plain_dpsgd(p, t, e.options.lr, UPDATES, MINIBATCHES, plain.w);
        double difference = quadratic_difference(&e.out, &plain);
        if (!(difference < rounding))
            fail_msg("%s: %g apart", graphs[g], difference);
        xfree(plain.w);
        problem_close(p);
        topology_close(t);
        experiment_close(&e);
    }
}

/* Equal starts: the mean of the workers is what allreduce has. Only to rounding, since the mean is
 * of weights there, of gradients here. After one update gradients are taken at weights that differ;
 * on the toy, whose curvature is the same everywhere, their mean is that at the mean. */
static void on_a_complete_graph_the_mean_is_allreduces(void **state)
{
    (void)state;
    const struct twin complete = {"dpsgd", "topology=complete mixing=uniform " DELAYS};
    assert_true(apart(complete, (struct twin){"allreduce", ""}, 8, 2) < rounding);
    assert_true(apart((struct twin){"dpsgd", DELAYS}, complete, 8, 2) > 0);
}

/* The same bits, sooner: on slow links weights travel while gradients are computed. */
static void overlap_hides_the_way(void **state)
{
    (void)state;
    static const char *const graphs[] = {"topology=ring", "topology=one-peer-exponential",
                                         "topology=matcha"};
    for (size_t g = 0; g < sizeof graphs / sizeof *graphs; g++) {
        struct experiment with, without;
        char options[200];
        snprintf(options, sizeof options, "%s sim-latency=0.04 overlap=yes", graphs[g]);
        run_special_case(&with, "dpsgd", WORKERS, 1, options);
        snprintf(options, sizeof options, "%s sim-latency=0.04 overlap=no", graphs[g]);
        run_special_case(&without, "dpsgd", WORKERS, 1, options);
        assert_memory_equal(with.out.w, without.out.w, (size_t)with.out.count * sizeof(float));
        assert_true(with.out.seconds < 0.9 * without.out.seconds);
        experiment_close(&with);
        experiment_close(&without);
    }
}

/* Gradients of the toy are linear in the weights: the mean of those who never meet is allreduce's,
 * while each has gone its own way. */
static void local_workers_do_not_meet(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"local", DELAYS}, (struct twin){"allreduce", ""}, 4, 2) <
                rounding);
    struct experiment e;
    run_special_case(&e, "local", 4, 1, "");
    for (int i = 0; i < 4; i++)
        assert_int_equal(e.out.worker[i].uncompressed_bytes, 0);
    experiment_close(&e);
}

/* --- SlowMo */

/* The ledger's gradients move w[0] by one an update. With tau 2, beta 1/2, alpha 1, one worker:
 * u = -2, -3, -3.5 after each two updates, and w[0] moves by -u. */
static void the_outer_step_is_slowmos(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers += 3)
        for (int graph = 0; graph < 2; graph++) {
            struct experiment e;
            struct option_list w = {0};
            add_plain_sgd(&w, graph ? "dpsgd" : "local", 1);
            add_option(&w, "workers=%d", workers);
            add_option(&w, "minibatches=1");
            add_option(&w, "batch=4");
            add_option(&w, "samples=%d", 4 * workers * 6);
            add_option(&w, "outer-every=2");
            add_option(&w, "outer-momentum=0.5");
            experiment_defaults(&e, option_list_words(&w));
            experiment_run(&e);
            assert_int_equal(e.out.updates, 6);
            assert_true(fabs(e.out.w[0] - 8.5) < 1e-5);
            experiment_close(&e);
        }
}

/* The same with rates of 0.04, 0.36, 0.68, 1, 1, 1: u is that, and moves w[0] by u times their
 * means. */
static void the_outer_step_takes_the_mean_of_the_rates(void **state)
{
    (void)state;
    struct experiment e;
    struct option_list w = {0};
    add_plain_sgd(&w, "local", 1);
    add_option(&w, "workers=4");
    add_option(&w, "minibatches=1");
    add_option(&w, "batch=4");
    add_option(&w, "samples=%d", 4 * 4 * 6);
    add_option(&w, "warmup=0.5");
    add_option(&w, "outer-every=2");
    add_option(&w, "outer-momentum=0.5");
    experiment_defaults(&e, option_list_words(&w));
    experiment_run(&e);
    assert_true(fabs(e.out.w[0] - (2 * 0.2 + 3 * 0.84 + 3.5 * 1)) < 1e-5);
    experiment_close(&e);
}

/* Without momentum it is the mean of all: after each update, or after as many as localsgd makes. */
static void without_momentum_the_outer_step_is_the_mean(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"local", "outer-every=1 outer-momentum=0 " DELAYS},
                      (struct twin){"ssgd", ""}, 4, 2) < rounding);
    assert_true(apart((struct twin){"local", "outer-every=3 outer-momentum=0"},
                      (struct twin){"localsgd", "local-steps=3"}, 4, 1) < rounding);
    assert_true(apart((struct twin){"dpsgd", "outer-every=3 outer-momentum=0.6"},
                      (struct twin){"dpsgd", ""}, 4, 1) > rounding);
}

/* --- nbgossip */

static void nbgossip_at_one_speed_is_dpsgd(void **state)
{
    (void)state;
    static const char *const graphs[] = {"topology=ring", "topology=complete", "topology=torus"};
    for (size_t g = 0; g < sizeof graphs / sizeof *graphs; g++) {
        struct twin dpsgd = {"dpsgd", graphs[g]}, nbgossip = {"nbgossip", graphs[g]};
        assert_true(apart(nbgossip, dpsgd, WORKERS, 3) == 0);
    }
}

/* Nobody waits for one that is a hundred times as slow, on whatever graph; each worker's
 * mini-batches are used once, in their order. */
static void nbgossip_waits_for_no_batch(void **state)
{
    (void)state;
    const double slow_batch_s = 4 * 0.1 * 100;
    static const char *const cases[] = {"topology=ring", "topology=path nbgossip-weigh=finished",
                                        "topology=torus " DELAYS,
                                        "topology=complete delay=pareto:0.01,1.2"};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct experiment e;
        struct option_list w = {0};
        char copy[200], *save = NULL;
        int64_t next[WORKERS] = {0};
        snprintf(copy, sizeof copy, "%s", cases[c]);
        add_plain_sgd(&w, "nbgossip", 1);
        add_option(&w, "workers=%d", WORKERS);
        add_option(&w, "minibatches=4");
        add_option(&w, "batch=16");
        add_option(&w, "samples=%d", 16 * WORKERS * 20);
        add_option(&w, "slow=3=100");
        for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
            add_option(&w, "%s", word);
        experiment_defaults(&e, option_list_words(&w));
        experiment_run(&e);
        for (int i = 0; i < e.ledger->entries; i++) {
            const struct entry *a = &e.ledger->entry[i];
            assert_int_equal(a->index, next[a->worker]++);
        }
        if (!(e.out.seconds < 5 * slow_batch_s) || e.out.status)
            fail_msg("%s: %g s, %lld updates", cases[c], e.out.seconds, (long long)e.out.updates);
        assert_true(e.out.samples >= e.options.samples);
        experiment_close(&e);
    }
}

/* --- what is refused */

struct wish {
    const char *options;
    enum gossip_graph wanted;
};

static void check_graph(const void *argument)
{
    const struct wish *wish = argument;
    struct experiment e;
    struct option_list w = {0};
    char copy[200], *save = NULL;
    snprintf(copy, sizeof copy, "%s", wish->options);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(&w, "topology=%s", word);
    w.count--; /* what follows the graph is no graph */
    add_option(&w, "mixing=%s", strrchr(wish->options, ' ') + 1);
    add_option(&w, "scheme=dpsgd");
    experiment_defaults(&e, option_list_words(&w));
    gossip_check(&e.options, 6, wish->wanted);
    experiment_close(&e);
}

static void refused(const char *options, enum gossip_graph wanted, const char *words)
{
    assert_dies(2, check_graph, &(struct wish){options, wanted},
                (const char *const[]){words, NULL});
}

static void graphs_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    refused("hypercube metropolis", GOSSIP_DOUBLY, "a power of two: 4 or 8, not 6");
    refused(
        "directed-ring metropolis", GOSSIP_DOUBLY,
        "directed-ring: edges go one way, and dpsgd wants both ends of an edge to send; take ring");
    refused("star uniform", GOSSIP_DOUBLY,
            "worker 0 is mixed add to 2.66667, not 1: dpsgd would not keep the mean; take --mixing "
            "metropolis");
    refused("star uniform", GOSSIP_COLUMNS, "take --mixing metropolis");
    refused("one-peer-ring metropolis", GOSSIP_FIXED, "it changes from step to step");
    check_graph(&(struct wish){"torus metropolis", GOSSIP_FIXED});
    check_graph(&(struct wish){"directed-exponential metropolis", GOSSIP_COLUMNS});
    check_graph(&(struct wish){"star metropolis", GOSSIP_DOUBLY});
    check_graph(&(struct wish){"matcha metropolis", GOSSIP_DOUBLY});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixing_is_a_product_with_w),
        cmocka_unit_test(the_distance_falls_by_the_second_eigenvalue),
        cmocka_unit_test(dpsgd_is_its_formula),
        cmocka_unit_test(on_a_complete_graph_the_mean_is_allreduces),
        cmocka_unit_test(overlap_hides_the_way),
        cmocka_unit_test(local_workers_do_not_meet),
        cmocka_unit_test(the_outer_step_is_slowmos),
        cmocka_unit_test(the_outer_step_takes_the_mean_of_the_rates),
        cmocka_unit_test(without_momentum_the_outer_step_is_the_mean),
        cmocka_unit_test(nbgossip_at_one_speed_is_dpsgd),
        cmocka_unit_test(nbgossip_waits_for_no_batch),
        cmocka_unit_test(graphs_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
