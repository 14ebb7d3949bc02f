/* Sums that are charged as a whole, against those whose messages are sent one by one: the same
 * bits, nearly the same time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/options.h"
#include "base/random.h"
#include "collective/collective.h"
#include "command/command.h"
#include "tests/scheme_harness.h"

enum { WORKERS = 64, ROUNDS = 2 };

struct sum_run {
    const char *method, *model_sums;
    int64_t count;
    double spread_s; /* workers begin that far apart */
    const struct links *links;
    double begin_s[ROUNDS], end_s[ROUNDS][WORKERS]; /* the last one begins; each ends */
    float *result;                                  /* [count], of the last round */
    int64_t messages, bytes, payload;               /* of worker 1, in a round */
    int other_bits;
};

static float float_at(int worker, int round, int64_t i)
{
    uint64_t bits = ((uint64_t)i * 1000003 + (uint64_t)round * 101 + (uint64_t)worker + 1) *
                    0x9e3779b97f4a7c15u;
    return (float)(bits >> 40) / (float)(1 << 24) - 0.5f;
}

static void sum_rounds(struct node *n, struct sum_run *r)
{
    struct collective *c = collective_open(n, r->count, NULL);
    float *vector = net_alloc(n->net, (size_t)r->count * sizeof *vector);
    for (int round = 0; round < ROUNDS; round++) {
        struct random late = random_at(RANDOM_TEST, 9, (uint64_t)n->worker, (uint64_t)round, 0);
        for (int64_t i = 0; i < r->count; i++)
            vector[i] = float_at(n->worker, round, i);
        node_sleep(n, 1 - fmod(net_now(n->net), 1) + r->spread_s * random_uniform(&late));
        int64_t messages = n->net->sent_messages, bytes = n->net->sent_bytes,
                payload = n->counters.uncompressed_bytes;
        r->begin_s[round] = fmax(r->begin_s[round], net_now(n->net));
        collective_sum(c, vector, 1.0 / 3);
        r->end_s[round][n->worker] = net_now(n->net);
        if (n->worker == 1) {
            r->messages = n->net->sent_messages - messages;
            r->bytes = n->net->sent_bytes - bytes;
            r->payload = n->counters.uncompressed_bytes - payload;
        }
    }
    if (!r->result) {
        r->result = xcalloc((size_t)r->count, sizeof *vector);
        memcpy(r->result, vector, (size_t)r->count * sizeof *vector);
    }
    r->other_bits += memcmp(r->result, vector, (size_t)r->count * sizeof *vector) != 0;
    net_free(n->net, vector);
    collective_close(c);
}

static void run_body(struct net *net, void *argument)
{
    static volatile sig_atomic_t never;
    struct sum_run *r = argument;
    char *argv[] = {"test", "--allreduce", (char *)r->method, "--sim-model-sums",
                    (char *)r->model_sums};
    struct options options;
    struct problem problem;
    struct ledger ledger;
    struct option_sets sets = option_sets();
    options_parse(&options, sets.list, 5, argv, NULL);
    ledger_problem(&problem, &ledger, 1);
    struct run_context context = {.options = &options,
                                  .problem = &problem,
                                  .delay = delay_parse("", net->ranks),
                                  .slowness = slowness_parse("", net->ranks),
                                  .schedule = {.shape = "constant", .lr = 1},
                                  .workers = WORKERS,
                                  .servers = 1,
                                  .minibatches = 1,
                                  .minibatch = 1,
                                  .samples_wanted = 1000000,
                                  .evaluate_every = 1000000,
                                  .threads = 1,
                                  .stop_requested = &never};
    struct node *n = node_open(net, &context);
    if (n->worker >= 0)
        sum_rounds(n, r);
    node_close(n);
    xfree(ledger.entry);
    options_close(&options);
}

static void run_sums(struct sum_run *r, const char *model_sums)
{
    r->model_sums = model_sums;
    sim_run(&(struct world_options){.ranks = WORKERS + 1, .links = r->links}, run_body, r);
}

/* The greatest part of a sum's time by which a worker ends sooner or later. */
static double difference(const struct sum_run *a, const struct sum_run *b)
{
    double worst = 0;
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < WORKERS; i++) {
            double takes_s = 0;
            for (int k = 0; k < WORKERS; k++)
                takes_s = fmax(takes_s, a->end_s[round][k] - a->begin_s[round]);
            worst = fmax(worst, fabs(a->end_s[round][i] - b->end_s[round][i]) / takes_s);
        }
    return worst;
}

static void compare(const char *method, const struct links *links, int64_t count, double spread_s,
                    double most)
{
    struct sum_run one_by_one = {
        .method = method, .links = links, .count = count, .spread_s = spread_s};
    struct sum_run whole = one_by_one;
    run_sums(&one_by_one, "0");
    run_sums(&whole, "1");
    assert_int_equal(one_by_one.other_bits + whole.other_bits, 0);
    assert_memory_equal(one_by_one.result, whole.result, (size_t)count * sizeof(float));
    assert_int_equal(one_by_one.messages, whole.messages);
    assert_int_equal(one_by_one.bytes, whole.bytes);
    assert_int_equal(one_by_one.payload, whole.payload);
    double off = difference(&one_by_one, &whole);
    if (!(off <= most))
        fail_msg("%s of %lld floats, begun within %g s: %.1f %% of the time apart", method,
                 (long long)count, spread_s, 100 * off);
    xfree(one_by_one.result);
    xfree(whole.result);
}

/* Where a late worker shares its host's port with what its neighbours answer at once, the model is
 * early. */
static void test_time(void **state)
{
    (void)state;
    const struct links fast = {.between = {20e-6, 0, 1.25e9}, .ranks_per_host = 1},
                       slow = {.between = {20e-6, 0, 1e7}, .ranks_per_host = 1},
                       hosts = {.between = {20e-6, 0, 1.25e9},
                                .within = {1e-6, 0, 1e10},
                                .ranks_per_host = 8,
                                .host_bandwidth = 2.5e9};
    const struct links *const links[] = {&fast, &slow, &hosts};
    for (int i = 0; i < 3; i++)
        for (int spread = 0; spread < 3; spread++) {
            double spread_s = (const double[]){0, 1e-3, 0.1}[spread];
            compare("direct", links[i], 20000, spread_s, i == 2 && spread == 2 ? 0.3 : 0.03);
            compare("ring", links[i], 20000, spread_s, 0.03);
        }
    for (int spread = 0; spread < 2; spread++) {
        compare("direct", &fast, 1000, spread ? 0.1 : 0, 0.01);
        compare("ring", &fast, 1000, spread ? 0.1 : 0, 0.01);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
