/* How a rank sleeps, on real processes: mpirun -n 5 build/.../tests/mpi_node.
 *
 * NBSGD_HOSTS=n forces the paths between hosts. As in mpi_messaging, all pass or fail together. */
#include "tests/messaging_bench.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/command.h"
#include "tests/scheme_harness.h"

enum { TAG_FIRST = 50, TAG_SECOND };

static const double delay_s = 60, pause_s = 0.1;

struct sleeper {
    struct net *net;
    struct request *first, *second;
    int asked; /* after the first had come */
};

/* The first is read and changes nothing, the second ends the sleep. */
static enum node_flow hear(void *self)
{
    struct sleeper *k = self;
    if (k->first && net_wait(k->net, &k->first, 1, 0) == 0) {
        net_release(k->net, k->first);
        k->first = NULL;
    }
    k->asked += !k->first;
    return net_wait(k->net, &k->second, 1, 0) == 0 ? NODE_INTERRUPTED : NODE_CONTINUE;
}

static void sleep_through_both(struct bench *b, struct node *n)
{
    struct sleeper k = {.net = n->net,
                        .first = net_recv(n->net, 0, TAG_FIRST, NULL, 0),
                        .second = net_recv(n->net, 0, TAG_SECOND, NULL, 0)};
    double began_s = net_now(n->net);
    node_set_interrupt(n, hear, &k, (struct request *const *[]){&k.first, &k.second}, 2);
    enum node_flow flow = node_sleep(n, delay_s);
    node_set_interrupt(n, NULL, NULL, NULL, 0);
    double slept_s = net_now(n->net) - began_s;
    EXPECT(b, flow == NODE_INTERRUPTED && slept_s < delay_s / 2, "slept %g s", slept_s);
    EXPECT(b, k.asked >= 2 && k.asked < 100, "asked %d times after the first message", k.asked);
    net_release(n->net, k.second);
}

static void send_both(const struct node *n)
{
    for (int tag = TAG_FIRST; tag <= TAG_SECOND; tag++) {
        node_sleep((struct node *)n, pause_s);
        for (int r = 1; r < n->net->ranks; r++)
            net_send(n->net, r, &(struct header){.tag = tag}, NULL, 0);
    }
}

/* A rank in a delay that waits for a signal and for weights has heard the one: the other wakes
 * it. */
static void any_of_two_messages_ends_a_delay(void **state)
{
    static volatile sig_atomic_t never;
    struct bench *b = *state;
    struct options options;
    struct problem problem;
    struct ledger ledger;
    struct option_sets sets = option_sets();
    options_parse(&options, sets.list, 1, (char *[]){"test", NULL}, NULL);
    ledger_problem(&problem, &ledger, 1);
    const struct run_context context = {.options = &options,
                                        .problem = &problem,
                                        .delay = delay_parse("", b->net->ranks),
                                        .slowness = slowness_parse("", b->net->ranks),
                                        .schedule = {.shape = "constant", .lr = 1},
                                        .workers = b->net->ranks - 1,
                                        .servers = 1,
                                        .minibatches = 1,
                                        .minibatch = 1,
                                        .samples_wanted = 1000,
                                        .evaluate_every = 1000,
                                        .threads = 1,
                                        .stop_requested = &never};
    struct node *n = node_open(b->net, &context);
    if (n->worker >= 0)
        sleep_through_both(b, n);
    else
        send_both(n);
    node_close(n);
    xfree(ledger.entry);
    options_close(&options);
    bench_verdict(b);
}

static void body(struct net *net, void *argument)
{
    struct bench *b = argument;
    b->net = net;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(any_of_two_messages_ends_a_delay, b),
    };
    if (net->rank && !freopen("/dev/null", "w", stdout)) /* one rank's list of cases is enough */
        die(1, "/dev/null cannot be opened");
    b->failed = cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    struct bench b = {.seed = 1, .argc = argc, .argv = argv};
    mpi_run(&(struct world_options){.pin = true, .threads = 1}, body, &b);
    return b.failed ? 1 : 0;
}
