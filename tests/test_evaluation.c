/* Evaluations of sets of weights, on the simulated network: the ledger's loss is w[0], so each row
 * says which weights were judged. And no evaluation begins inside another one. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"
#include "signals/signals.h"
#include "tests/death_test.h"
#include "tests/option_list.h"
#include "tests/scheme_harness.h"

enum { WORKERS = 4, UPDATES = 5, ROWS = 100 };

/* --- two schemes for it --- */

/* Each worker goes its own way: after v batches w[0] of worker k is v (k + 1). */
static void separate_work(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    ps_pull(ps, n->w);
    while (ps_wait(ps)) {
        node_batch(n);
        n->w[0] += (float)(n->worker + 1);
        node_weights_changed(n);
        ps_report(ps, n->w);
        ps_pull(ps, n->w);
    }
    ps_client_close(ps);
}

static void separate_serve(struct node *n)
{
    node_set_evaluated(n, (struct weights_set){.mean = true, .workers = true});
    struct ps_server *ps = ps_server_open(n);
    ps_monitor(ps, true);
    ps_server_close(ps);
}

/* ssgd, whose workers are judged beside the servers. */
static void ssgd_serve_and_judge(struct node *n)
{
    if (n->rank == 0)
        node_set_evaluated(n, (struct weights_set){.server = true, .workers = true});
    scheme_find("ssgd")->serve(n);
}

/* --- rows --- */

struct row {
    int updates;
    char of[24];
    double loss;
};

/* Reads the rows of a CSV in the folder; returns how many there are, -1 without the file. Where
 * candidates.csv has `of`, eval.csv has its epoch, workers.csv the distance to the mean; and the
 * greatest one where both have the loss. */
static int read_rows(const char *folder, const char *name, struct row *rows)
{
    char path[200], line[400];
    int count = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    if (!f)
        return -1;
    while (fgets(line, sizeof line, f)) {
        struct row *r = &rows[count];
        assert_true(count < ROWS);
        count += sscanf(line, "%*f,%*d,%d,%23[^,],%lf", &r->updates, r->of, &r->loss) == 3;
    }
    fclose(f);
    return count;
}

struct judged {
    struct row primary[ROWS], other[ROWS], distance[ROWS];
    int primaries, others, distances;
};

static void run(struct experiment *e, const struct scheme *scheme, int servers, double ema,
                struct results *results)
{
    struct option_list w = {0};
    add_plain_sgd(&w, scheme->flags & ALONE ? scheme->name : "ssgd", 1);
    add_option(&w, "ema=%g", ema);
    add_option(&w, "workers=%d", WORKERS);
    add_option(&w, "servers=%d", servers);
    add_option(&w, "minibatches=2");
    add_option(&w, "batch=8");
    add_option(&w, "samples=%d", 8 * WORKERS * UPDATES);
    add_option(&w, "eval-every=1");
    add_option(&w, "delay=exponential:0.05");
    experiment_defaults(e, option_list_words(&w));
    e->scheme = scheme;
    e->results = results;
    experiment_run(e);
}

static void judge_with(struct judged *j, const struct scheme *scheme, int servers, double ema)
{
    char folder[] = "/tmp/test_evaluation.XXXXXX", command[100];
    struct experiment e;
    assert_non_null(mkdtemp(folder));
    struct results *results = results_open(&(struct results_options){
        .folder = folder, .head = "# a: b\n", .config = "", .thresholds = "50", .quiet = true});
    run(&e, scheme, servers, ema, results);
    results_close(results);
    assert_int_equal(e.out.updates, UPDATES);
    j->primaries = read_rows(folder, "eval.csv", j->primary);
    j->others = read_rows(folder, "candidates.csv", j->other);
    j->distances = read_rows(folder, "workers.csv", j->distance);
    experiment_close(&e);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void judge(struct judged *j, const struct scheme *scheme, int servers)
{
    judge_with(j, scheme, servers, 0);
}

/* --- tests --- */

/* The mean is the primary; each worker's own weights are judged beside it. At version 0 all have
 * the server's. */
static void the_mean_and_each_workers_own(void **state)
{
    (void)state;
    static const struct scheme separate = {
        .name = "separate", .work = separate_work, .serve = separate_serve};
    struct judged j;
    judge(&j, &separate, 1);
    assert_int_equal(j.primaries, UPDATES + 1);
    assert_int_equal(j.others, UPDATES * WORKERS);
    for (int v = 0; v <= UPDATES; v++) {
        assert_int_equal(j.primary[v].updates, v);
        assert_true(j.primary[v].loss == v * (1 + WORKERS) / 2.0);
    }
    for (int i = 0; i < j.others; i++) {
        int v = 1 + i / WORKERS, k = i % WORKERS;
        char name[24];
        snprintf(name, sizeof name, "worker %d", k);
        assert_string_equal(j.other[i].of, name);
        assert_int_equal(j.other[i].updates, v);
        assert_true(j.other[i].loss == v * (k + 1));
    }
    assert_int_equal(j.distances, UPDATES);
    for (int v = 1; v <= UPDATES; v++) {
        assert_int_equal(j.distance[v - 1].updates, v);
        assert_true(fabs(atof(j.distance[v - 1].of) - v * sqrt(1.25)) < 1e-4);
        assert_true(j.distance[v - 1].loss == v * 1.5);
    }
}

/* Two servers' slices are gathered, workers' weights are borrowed: when version v is judged every
 * worker still has v - 1. */
static void the_servers_and_each_workers_own(void **state)
{
    (void)state;
    struct scheme both = *scheme_find("ssgd");
    both.serve = ssgd_serve_and_judge;
    struct judged j;
    judge(&j, &both, 2);
    assert_int_equal(j.primaries, UPDATES + 1);
    assert_int_equal(j.others, UPDATES * WORKERS);
    for (int v = 0; v <= UPDATES; v++)
        assert_true(j.primary[v].loss == v);
    for (int i = 0; i < j.others; i++)
        assert_true(j.other[i].loss == i / WORKERS);
}

static void a_set_of_one_leaves_no_second_file(void **state)
{
    (void)state;
    struct judged j;
    judge(&j, scheme_find("ssgd"), 1);
    assert_int_equal(j.primaries, UPDATES + 1);
    assert_int_equal(j.others, -1);
    assert_int_equal(j.distances, -1);
}

/* At 10.0 s rank 0 calls to an evaluation; messages take half a second. At 10.2 s the first worker
 * signals, and the second hears it after the evaluation, in which it is since 10.5 s. */
static const double called_s = 10, signalled_s = 10.2, latency_s = 0.5;

static void advance_to(struct node *n, double net_s)
{
    net_advance(n->net, net_s - net_now(n->net));
}

static void signals_work(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    struct signals s = signals_open(n, false);
    ps_pull(ps, n->w);
    ps_wait(ps);
    if (n->worker == 0) {
        advance_to(n, signalled_s);
        signals_send(&s);
    }
    while (n->worker > 0 && !signals_heard(&s))
        node_wait(n, (struct request *[]){NULL, s.posted}, 2, INFINITY, "a signal", NET_ANY);
    signals_close(&s, ps_depart(ps, s.sent));
    ps_client_close(ps);
}

static void signals_serve(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    ps_reply_all(ps);
    advance_to(n, called_s);
    node_updated(n, &(struct update){.samples = 1, .minibatches = 1, .contributions = 1});
    ps_server_close(ps);
}

static void an_evaluation_is_no_latency_of_a_signal(void **state)
{
    (void)state;
    static const struct scheme signals = {
        .name = "signals", .work = signals_work, .serve = signals_serve};
    char latency[40];
    struct experiment e;
    snprintf(latency, sizeof latency, "sim-latency=%g", latency_s);
    experiment_defaults(&e, (const char *const[]){"workers=2", "minibatches=1", "batch=4",
                                                  "samples=100", "eval-every=1", latency, NULL});
    e.scheme = &signals;
    e.together = true;
    experiment_run(&e);
    const struct counters *c = &e.out.worker[1];
    assert_int_equal(c->signals.heard, 1);
    assert_true(c->eval_s > 2 * latency_s);
    assert_true(fabs(c->signals.latency_s - (called_s + latency_s - signalled_s)) < 1e-3);
    assert_true(c->signals.worst_s == c->signals.latency_s);
    experiment_close(&e);
}

/* --ema: w[0] is v after v updates; the average of 1 .. v is the primary, the weights come beside
 * it. It is the same in slices, for serial, which has no server, and where the first worker
 * averages. */
static void an_average_of_the_updates(void **state)
{
    (void)state;
    static const double beta = 0.6;
    static const struct {
        const char *scheme;
        int servers;
    } cases[] = {{"ssgd", 1}, {"ssgd", 3}, {"serial", 1}, {"allreduce", 1}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct judged j;
        double sum = 0, divisor = 0;
        judge_with(&j, scheme_find(cases[k].scheme), cases[k].servers, beta);
        assert_int_equal(j.primaries, UPDATES + 1);
        assert_int_equal(j.others, UPDATES + 1);
        for (int v = 0; v <= UPDATES; v++) {
            sum = beta * sum + v;
            divisor = v ? beta * divisor + 1 : 0;
            double wanted = v ? sum / divisor : 0;
            assert_int_equal(j.primary[v].updates, v);
            assert_true(fabs(j.primary[v].loss - wanted) < 1e-5);
            assert_string_equal(j.other[v].of, "server");
            assert_true(j.other[v].loss == v);
        }
    }
}

/* What rank 0 prepares for an evaluation must not lead to another one. */
static void evaluates_again(void *self)
{
    struct node *n = self;
    node_updated(n, &(struct update){.samples = 1000000, .minibatches = 1});
}

static void nested_serve(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    node_before_evaluation(n, evaluates_again, n);
    ps_monitor(ps, false);
    ps_server_close(ps);
}

static void nest(const void *unused)
{
    (void)unused;
    static const struct scheme nested = {
        .name = "nested", .work = separate_work, .serve = nested_serve};
    struct experiment e;
    run(&e, &nested, 1, 0, NULL);
}

static void no_evaluation_inside_another_one(void **state)
{
    (void)state;
    assert_dies(128 + SIGABRT, nest, NULL, (const char *const[]){"evaluating", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mean_and_each_workers_own),
        cmocka_unit_test(the_servers_and_each_workers_own),
        cmocka_unit_test(a_set_of_one_leaves_no_second_file),
        cmocka_unit_test(an_evaluation_is_no_latency_of_a_signal),
        cmocka_unit_test(an_average_of_the_updates),
        cmocka_unit_test(no_evaluation_inside_another_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
