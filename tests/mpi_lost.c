/* Who is taken for lost, and who is not, on real processes: mpirun -n 3 build/.../tests/mpi_lost
 * [--case NAME].
 *
 * Without a case: ranks that are long busy, or long in an evaluation, and are believed. With one
 * the run must end with EXIT_SILENT; tests/lost.sh knows the words. */
#include "tests/messaging_bench.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/command.h"
#include "scheme/scheme.h"
#include "tests/scheme_harness.h"

enum { TAG_DONE = 50, STEPS = 7 };

static const double short_s = 0.5, step_s = 0.2;

struct lost {
    struct bench bench; /* first: a case's state */
    struct problem_kind kind;
    const char *name; /* of the case; NULL: none */
};

static void nap_s(double seconds)
{
    usleep((useconds_t)(1e6 * seconds));
}

/* Rank 1 does something for longer than the deadline, the others wait for it. */
static void others_wait(struct net *net, void (*something)(struct net *net))
{
    struct request *done = net->rank == 1 ? NULL : net_recv(net, 1, TAG_DONE, NULL, 0);
    net_barrier(net);
    if (done) {
        net_await(net, done, 1, "rank 1");
        net_release(net, done);
        return;
    }
    something(net);
    for (int r = 0; r < net->ranks; r++)
        if (r != 1)
            net_release(net, net_send(net, r, &(struct header){.tag = TAG_DONE}, NULL, 0));
}

static void be_busy(struct net *net)
{
    struct net_activity before =
        net_act(net, (struct net_activity){.pace = NET_BUSY, .what = "a slow disk"});
    nap_s(STEPS * step_s);
    net_act(net, before);
}

static void give_steps(struct net *net)
{
    struct net_activity before =
        net_act(net, (struct net_activity){.pace = NET_STEPS, .what = "a long list"});
    for (int i = 0; i < STEPS; i++) {
        nap_s(step_s);
        net_step(net);
    }
    net_act(net, before);
}

static void a_busy_rank_is_believed(void **state)
{
    struct bench *b = *state;
    others_wait(b->net, be_busy);
    bench_verdict(b);
}

static void a_rank_that_gives_steps_is_believed(void **state)
{
    struct bench *b = *state;
    others_wait(b->net, give_steps);
    bench_verdict(b);
}

/* What the others see of rank 1. */
static void what_a_rank_does_is_seen(void **state)
{
    struct bench *b = *state;
    struct net *net = b->net;
    const struct net_activity activity = {NET_STEPS, "mini-batch", 12, 79};
    struct net_activity before = net->activity;
    if (net->rank == 1)
        before = net_act(net, activity);
    net_barrier(net);
    if (net->rank == 1)
        net_act(net, activity); /* the barrier was another one */
    for (int i = 0; i < 100 && net->rank != 1; i++) {
        struct net_vitals v = net_vitals(net, 1);
        if (!strcmp(v.activity.what, activity.what))
            break;
        net_advance(net, 0.05);
    }
    const struct net_vitals v = net_vitals(net, 1);
    EXPECT(b,
           !strcmp(v.activity.what, "mini-batch") && v.activity.number == 12 &&
               v.activity.of == 79 && v.process > 0,
           "rank 1, process %lld, does '%s %lld of %lld'", (long long)v.process, v.activity.what,
           (long long)v.activity.number, (long long)v.activity.of);
    if (net->rank == 1)
        nap_s(1);
    net_act(net, before);
    bench_verdict(b);
}

/* ---- a problem of which rank 1 is slow, or stuck */

static bool hang(struct problem *p, struct stream *s, int64_t index, struct weights w, float *g,
                 struct loss *loss, network_hook *hook, void *self)
{
    (void)p, (void)s, (void)index, (void)w, (void)g, (void)loss, (void)hook, (void)self;
    for (;;)
        nap_s(step_s);
    return false;
}

/* An evaluation of one mini-batch of many units: each is a step. */
static void evaluate_slowly(struct problem *p, struct weights w, const float *unused, int shard,
                            int shards, struct loss *loss, void (*progress)(void *), void *self)
{
    const struct node *n = self;
    (void)p, (void)w, (void)unused, (void)shards;
    for (int i = 0; i < STEPS && shard == 1; i++) {
        nap_s(step_s);
        net_step(n->net);
    }
    loss->sum += 1;
    progress(self);
}

static void run_scheme(struct lost *k, const char *scheme)
{
    static volatile sig_atomic_t never;
    struct net *net = k->bench.net;
    struct options options;
    struct problem problem;
    struct ledger ledger;
    struct option_sets sets = option_sets();
    char deadline[40];
    snprintf(deadline, sizeof deadline, "%g", short_s);
    char *words[] = {"test", "--scheme", (char *)scheme, "--deadline", deadline, NULL};
    options_parse(&options, sets.list, 5, words, NULL);
    option_sets_use(&options);
    ledger_problem(&problem, &ledger, 1);
    k->kind = *problem.kind;
    problem.kind = &k->kind;
    if (k->name)
        k->kind.gradient = net->rank == 1 ? hang : k->kind.gradient;
    else
        k->kind.evaluate = evaluate_slowly;
    const struct run_context context = {.options = &options,
                                        .problem = &problem,
                                        .delay = delay_parse("", net->ranks),
                                        .slowness = slowness_parse("", net->ranks),
                                        .departures = departures_parse("", net->ranks),
                                        .schedule = {.shape = "constant", .lr = 1},
                                        .workers = net->ranks - 1,
                                        .servers = 1,
                                        .minibatches = 1,
                                        .minibatch = 1,
                                        .samples_wanted = 1,
                                        .evaluate_every = 1,
                                        .threads = 1,
                                        .stop_requested = &never};
    struct node *n = node_open(net, &context);
    const struct scheme *s = scheme_find(scheme);
    (n->worker >= 0 ? s->work : s->serve)(n);
    node_close(n);
    xfree(ledger.entry);
    options_close(&options);
}

static void a_long_evaluation_is_believed(void **state)
{
    struct lost *k = *state;
    run_scheme(k, "ssgd");
    bench_verdict(&k->bench);
}

/* ---- cases that end */

/* Each waits for a message that nobody sends. */
static void wait_in_a_circle(struct net *net)
{
    int next = (net->rank + 1) % net->ranks;
    net_await(net, net_recv(net, next, TAG_DONE, NULL, 0), next, "what never comes");
}

static void be_busy_for_ever(struct net *net, int rank)
{
    if (net->rank != rank)
        net_await(net, net_recv(net, rank, TAG_DONE, NULL, 0), rank, "the disk");
    net_act(net, (struct net_activity){.pace = NET_BUSY, .what = "a dead disk"});
    for (;;)
        nap_s(step_s);
}

static void stop_oneself(const struct net *net, int rank)
{
    if (net->rank == rank)
        kill(getpid(), SIGSTOP);
}

static void end(struct lost *k)
{
    struct net *net = k->bench.net;
    net_barrier(net);
    if (!strcmp(k->name, "stuck"))
        run_scheme(k, "ssgd");
    else if (!strcmp(k->name, "circle"))
        wait_in_a_circle(net);
    else if (!strcmp(k->name, "busy"))
        be_busy_for_ever(net, 1);
    else if (!strcmp(k->name, "first_busy"))
        be_busy_for_ever(net, 0);
    else if (!strcmp(k->name, "barrier"))
        stop_oneself(net, 2);
    else if (strcmp(k->name, "end") != 0)
        die(1, "no case %s", k->name);
    if (!strcmp(k->name, "barrier"))
        net_barrier(net);
    else
        stop_oneself(net, 1); /* while all wait for the world's end */
}

static void body(struct net *net, void *argument)
{
    struct lost *k = argument;
    k->bench.net = net;
    if (k->name) {
        end(k);
        return;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(what_a_rank_does_is_seen, k),
        cmocka_unit_test_prestate(a_busy_rank_is_believed, k),
        cmocka_unit_test_prestate(a_rank_that_gives_steps_is_believed, k),
        cmocka_unit_test_prestate(a_long_evaluation_is_believed, k),
    };
    if (net->rank && !freopen("/dev/null", "w", stdout)) /* one rank's list of cases is enough */
        die(1, "/dev/null cannot be opened");
    k->bench.failed = cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    struct lost k = {.bench = {.seed = 1, .argc = argc, .argv = argv},
                     .name = argc > 2 && !strcmp(argv[1], "--case") ? argv[2] : NULL};
    int ranks = mpi_join();
    if (k.name && !strcmp(k.name, "start") && ranks > 1 && launched_rank() == 1)
        kill(getpid(), SIGSTOP);
    mpi_run(&(struct world_options){.threads = 1, .deadline_s = short_s}, body, &k);
    return k.bench.failed ? 1 : 0;
}
