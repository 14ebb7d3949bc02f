/* --nb-weigh: hand-made versions against its formulas in double, under rules that notice a scaled
 * gradient and under such that do not; and what it promises about payloads and servers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "parameter_server/parameter_server.h"
#include "scheme/nbssgd.h"
#include "tests/option_list.h"
#include "tests/quadratic.h"
#include "tests/scheme_harness.h"

enum { WORKERS = 3, MINIBATCHES = 4, VERSIONS = 9, DEPARTS_AT = 6, JUDGED = 16 };

static const double lr = 0.1, rounding = 2e-5;
static const char *const weighs[] = {"finished", "full", "samples", "capped"};
enum { WEIGHS = sizeof weighs / sizeof *weighs };

/* Mini-batches that each worker has finished in each version; the last worker departs. */
static const int finished[VERSIONS][WORKERS] = {{4, 2, 1}, {1, 0, 0}, {4, 4, 4},
                                                {0, 0, 0}, {0, 3, 2}, {2, 4, 3},
                                                {4, 1, 0}, {1, 1, 0}, {4, 3, 0}};

/* What a worker pushes in a version: sums of gradients, weights, or the way that they went. */
static float pushed(int64_t version, int worker, int64_t i)
{
    struct random r = random_at(RANDOM_TEST, (uint64_t)version, (uint64_t)worker, 9, (uint64_t)i);
    return (float)random_normal(&r);
}

static void push(struct node *n, struct ps_client *ps, int64_t version)
{
    node_clear(n);
    n->finished = finished[version][n->worker];
    for (int64_t i = 0; i < n->count; i++)
        n->sum[i] = i < JUDGED ? pushed(version, n->worker, i) : 0;
    ps_push(ps, n->sum);
    ps_pull(ps, n->w);
}

static bool departs(int64_t version, int worker)
{
    return worker == WORKERS - 1 && version == DEPARTS_AT;
}

/* In the order that a racing server meets: one push after the other. */
static void work(struct node *n)
{
    struct ps_client *ps = ps_client_open(n);
    ps_pull(ps, n->w);
    for (int64_t v = 0; ps_wait(ps) && !departs(v, n->worker); v++) {
        net_advance(n->net, (double)(v * WORKERS + n->worker + 1) - net_now(n->net));
        push(n, ps, v);
    }
    ps_client_close(ps);
}

static const struct scheme by_hand = {.name = "by hand", .work = work, .serve = nbssgd_serve};

static struct experiment run_by_hand(const char *weigh, const char *words)
{
    struct option_list w = {0};
    struct experiment e;
    char copy[400], *save = NULL;
    add_plain_sgd(&w, "nbssgd", lr);
    add_option(&w, "workers=%d", WORKERS);
    add_option(&w, "minibatches=%d", MINIBATCHES);
    add_option(&w, "batch=%d", MINIBATCHES);
    add_option(&w, "samples=1000000");
    add_option(&w, "nb-weigh=%s", weigh);
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(&w, "%s", word);
    experiment_defaults(&e, option_list_words(&w));
    e.scheme = &by_hand;
    experiment_run(&e);
    return e;
}

/* --- the same in double */

struct reference {
    const char *weigh, *rule;
    bool weights, racing;
    double w[JUDGED], m[JUDGED], v[JUDGED];
    double sum; /* of N */
    int updates, steps;
};

static double divisor(struct reference *r, double n, double full)
{
    r->sum += n;
    r->updates++;
    double mean = r->sum / r->updates;
    return !strcmp(r->weigh, "finished")  ? n
           : !strcmp(r->weigh, "full")    ? full
           : !strcmp(r->weigh, "samples") ? mean
           : n > mean                     ? n
                                          : mean;
}

/* One float: sgd and nesterov take the scaled gradient, adam and adagrad the scaled rate. */
static void step(struct reference *r, int i, double sum, double n, double by)
{
    const double beta1 = 0.9, beta2 = 0.999, momentum = 0.9, decay = 0.01, epsilon = 1e-8;
    if (!strcmp(r->rule, "sgd")) {
        double g = sum / by + decay * r->w[i];
        r->m[i] = momentum * r->m[i] + g;
        r->w[i] -= lr * r->m[i];
        return;
    }
    double g = sum / n + decay * r->w[i], rate = lr * n / by;
    if (!strcmp(r->rule, "adagrad")) {
        r->m[i] += g * g;
        r->w[i] -= rate * g / (sqrt(r->m[i]) + epsilon);
        return;
    }
    r->m[i] = beta1 * r->m[i] + (1 - beta1) * g;
    r->v[i] = beta2 * r->v[i] + (1 - beta2) * g * g;
    r->w[i] -= rate * (r->m[i] / (1 - pow(beta1, r->steps))) /
               (sqrt(r->v[i] / (1 - pow(beta2, r->steps))) + epsilon);
}

/* One update from the pushes of the workers from .. to - 1. */
static void update(struct reference *r, int64_t version, int from, int to, int present)
{
    double n = 0;
    for (int k = from; k < to; k++)
        n += finished[version][k];
    if (n == 0)
        return;
    double by = divisor(r, n, (double)present * MINIBATCHES);
    r->steps++;
    for (int i = 0; i < JUDGED; i++) {
        double sum = 0;
        for (int k = from; k < to; k++)
            if (finished[version][k])
                sum += (r->weights ? finished[version][k] : 1) * (double)pushed(version, k, i);
        if (!r->weights)
            step(r, i, sum, n, by);
        else if (r->racing)
            r->w[i] += sum / by;
        else
            r->w[i] += n / by * (sum / n - r->w[i]);
    }
}

/* All versions; the last of a racing server may be cut by the end. */
static void run_reference(struct reference *r, int updates)
{
    for (int64_t v = 0; v < VERSIONS; v++) {
        int present = v >= DEPARTS_AT ? WORKERS - 1 : WORKERS;
        if (!r->racing && v < updates)
            update(r, v, 0, present, present);
        for (int k = 0; r->racing && k < present && r->updates < updates; k++)
            update(r, v, k, k + 1, present);
    }
}

static void expect(const struct experiment *e, const struct reference *r, const char *words)
{
    for (int i = 0; i < JUDGED; i++)
        if (!(fabs(e->out.w[i] - r->w[i]) < rounding * (1 + fabs(r->w[i]))))
            fail_msg("--nb-weigh %s %s: w[%d] is %.9g, not %.9g", r->weigh, words, i,
                     (double)e->out.w[i], r->w[i]);
}

static void each_value_is_its_formula(void **state)
{
    (void)state;
    static const char *const rules[] = {"sgd", "adam", "adagrad", "weights"};
    for (int k = 0; k < WEIGHS * 4 * 2; k++) {
        const char *rule = rules[k / 2 % 4], *weigh = weighs[k / 8];
        bool racing = k % 2, weights = !strcmp(rule, "weights");
        char words[200];
        int updates = racing ? 15 : VERSIONS;
        snprintf(words, sizeof words, "updates=%d nb-server=%s weight-decay=0.01 %s%s", updates,
                 racing ? "racing" : "locked",
                 weights ? "nb-payload=weights" : "optimizer=", weights ? "" : rule);
        if (!strcmp(rule, "sgd"))
            strcat(words, " momentum=0.9");
        struct experiment e = run_by_hand(weigh, words);
        struct reference r = {.weigh = weigh, .rule = rule, .weights = weights, .racing = racing};
        assert_int_equal(e.out.updates, updates);
        run_reference(&r, updates);
        expect(&e, &r, words);
        experiment_close(&e);
    }
}

/* The mean is of the updates that this server has made: all make the same ones. */
static void several_servers_have_the_bits_of_one(void **state)
{
    (void)state;
    for (int k = 0; k < WEIGHS * 2; k++) {
        const char *weigh = weighs[k / 2], *server = k % 2 ? "racing" : "locked";
        char words[100];
        snprintf(words, sizeof words, "updates=9 momentum=0.9 nb-server=%s", server);
        struct experiment one = run_by_hand(weigh, words), three;
        strcat(words, " servers=3");
        three = run_by_hand(weigh, words);
        assert_memory_equal(one.out.w, three.out.w, JUDGED * sizeof *one.out.w);
        experiment_close(&one);
        experiment_close(&three);
    }
}

/* --- real workers */

static void run_on_quadratic(struct experiment *e, const char *weigh, const char *server,
                             const char *inflight, const char *payload)
{
    struct option_list w = {0};
    add_plain_sgd(&w, "nbssgd", 0.02);
    add_option(&w, "network=quadratic");
    add_option(&w, "workers=4");
    add_option(&w, "minibatches=1");
    add_option(&w, "batch=8");
    add_option(&w, "samples=2400");
    add_option(&w, "delay=exponential:0.05");
    add_option(&w, "nb-weigh=%s", weigh);
    add_option(&w, "nb-server=%s", server);
    add_option(&w, "nb-inflight=%s", inflight);
    add_option(&w, "nb-payload=%s", payload);
    quadratic_run(e, &w);
}

/* One local step of plain SGD goes as far as its gradient does at the server. */
static void with_one_minibatch_a_batch_both_payloads_are_one_scheme(void **state)
{
    (void)state;
    static const char *const inflight[] = {"abort", "finish", "carry"};
    for (int k = 0; k < WEIGHS * 6; k++) {
        const char *weigh = weighs[k % WEIGHS], *how = inflight[k / WEIGHS % 3],
                   *server = k < WEIGHS * 3 ? "locked" : "racing";
        struct experiment gradient, weights;
        run_on_quadratic(&gradient, weigh, server, how, "gradient");
        run_on_quadratic(&weights, weigh, server, how, "weights");
        assert_int_equal(gradient.out.updates, weights.out.updates);
        double difference = quadratic_difference(&gradient.out, &weights.out);
        if (!(difference < 1e-4))
            fail_msg("%s, %s, %s: the payloads end %g apart", server, how, weigh, difference);
        experiment_close(&gradient);
        experiment_close(&weights);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_is_its_formula),
        cmocka_unit_test(several_servers_have_the_bits_of_one),
        cmocka_unit_test(with_one_minibatch_a_batch_both_payloads_are_one_scheme),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
