/* Memory of large simulated worlds: for what is under way and for each rank, not for each pair of
 * ranks. */
#include "messaging/messaging.h"

#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/options.h"
#include "command/command.h"
#include "node/node.h"
#include "tests/scheme_harness.h"

enum { TAG = 5, SIGNALLERS = 400 };

/* Bytes that the program has taken; 0 where an allocator does not say. */
static double taken(void)
{
    struct mallinfo2 info = mallinfo2();
    return (double)info.uordblks + (double)info.hblkhd;
}

/* One after the other signals to all. */
static void signal_body(struct net *net, void *argument)
{
    double *most = argument;
    for (int from = 0; from < net->ranks; from++) {
        net_advance(net, 1 - fmod(net_now(net), 1));
        for (int to = 0; to < net->ranks && from == net->rank; to++)
            if (to != from)
                net_send(net, to, &(struct header){.tag = TAG}, NULL, 0);
        if (from == net->rank)
            continue;
        struct request *come = net_recv(net, NET_ANY, TAG, NULL, 0);
        net_wait(net, &come, 1, INFINITY);
        net_release(net, come);
    }
    if (net->rank == 0)
        *most = taken();
}

/* A lane for each pair would take 40 MB. */
static void test_lanes(void **state)
{
    (void)state;
    double before = taken(), most = 0;
    sim_run(&(struct world_options){.ranks = SIGNALLERS, .latency_s = 1e-5, .bandwidth = 1e9},
            signal_body, &most);
    assert_true(most - before < 5e6);
}

struct open_nodes {
    struct run_context context;
    double most; /* bytes taken with all nodes open */
};

static void node_body(struct net *net, void *argument)
{
    struct open_nodes *o = argument;
    struct node *n = node_open(net, &o->context);
    if (n->rank == 0)
        o->most = taken();
    node_sleep(n, 1); /* an evaluation comes */
    node_close(n);
}

static double bytes_per_rank(int ranks)
{
    static volatile sig_atomic_t never;
    char *argv[] = {"test"};
    struct options options;
    struct problem problem;
    struct ledger ledger;
    struct option_sets sets = option_sets();
    options_parse(&options, sets.list, 1, argv, NULL);
    ledger_problem(&problem, &ledger, 1);
    struct open_nodes o = {.context = {.options = &options,
                                       .problem = &problem,
                                       .delay = delay_parse("", ranks),
                                       .slowness = slowness_parse("", ranks),
                                       .schedule = {.shape = "constant", .lr = 1},
                                       .workers = ranks - 1,
                                       .servers = 1,
                                       .minibatches = 1,
                                       .minibatch = 1,
                                       .samples_wanted = 1000000,
                                       .evaluate_every = 1000000,
                                       .threads = 1,
                                       .stop_requested = &never}};
    double before = taken();
    sim_run(&(struct world_options){.ranks = ranks}, node_body, &o);
    xfree(ledger.entry);
    options_close(&options);
    return (o.most - before) / ranks;
}

/* Once it was 25 bytes more for each other rank. */
static void test_nodes(void **state)
{
    (void)state;
    double few = bytes_per_rank(200), many = bytes_per_rank(2000);
    assert_true(many < few + 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
