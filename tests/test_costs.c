/* What vector work costs on the virtual clock: an update by rule, a local step in every scheme, all
 * of it in update_s. Closed forms for a machine of three rates. */
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

#include "base/check.h"
#include "optimizer/optimizer.h"
#include "slowness/slowness.h"
#include "tests/option_list.h"
#include "tests/scheme_harness.h"

/* Seconds a pass over the toy's 1,000 floats. Workers, of whom all work at once, take twice as
 * long. */
static const double sum_s = 1e-3, step_s = 5e-4, copy_s = 2e-3, crowd = 2;
static const char machine_text[] = "ranks_per_host = 100\n"
                                   "vector_bandwidth_bytes_per_s = 4e6\n"
                                   "step_bandwidth_bytes_per_s = 8e6\n"
                                   "copy_bandwidth_bytes_per_s = 2e6\n"
                                   "crowded_bandwidth_bytes_per_s = 2e6\n";
enum { WORKERS = 3, UPDATES = 5 };
static double jitter; /* of the runs to come */

static const struct machine *load(const char *text)
{
    char path[] = "/tmp/nbsgd_machine_XXXXXX";
    int file = mkstemp(path);
    CHECK(file >= 0 && write(file, text, strlen(text)) > 0 && !close(file), "cannot write %s",
          path);
    const struct machine *m = machine_load(path);
    unlink(path);
    return m;
}

/* The options are "name=value name=value". */
static void run(struct experiment *e, const struct machine *m, const char *scheme,
                const char *options)
{
    struct option_list w = {0};
    char copy[400], *save = NULL;
    add_option(&w, "scheme=%s", scheme);
    add_option(&w, "network=quadratic");
    add_option(&w, "workers=%d", WORKERS);
    add_option(&w, "batch=8");
    add_option(&w, "minibatches=1");
    add_option(&w, "lr=0.01");
    add_option(&w, "samples=%d", 8 * WORKERS * UPDATES);
    snprintf(copy, sizeof copy, "%s", options);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        add_option(&w, "%s", word);
    experiment_defaults(e, option_list_words(&w));
    e->machine = m;
    e->jitter = jitter;
    e->problem = problem_open(
        &(struct problem_options){.options = &e->options,
                                  .minibatch = (int)(e->options.batch / e->options.minibatches),
                                  .threads = 1,
                                  .trains = true});
    experiment_run(e);
    problem_close(e->problem);
}

static const struct rule_cost { /* passes over w and the state, there and back */
    const char *options;
    int passes;
} rule_costs[] = {{"optimizer=sgd momentum=0", 2}, {"optimizer=sgd momentum=0.9", 4},
                  {"optimizer=nesterov", 4},       {"optimizer=adagrad", 4},
                  {"optimizer=adam", 6},           {"optimizer=adamw", 6},
                  {"optimizer=lars", 7},           {"optimizer=lamb", 10},
                  {"optimizer=accumadam", 8},      {"optimizer=accumadamw", 8}};
enum { RULE_COSTS = sizeof rule_costs / sizeof *rule_costs };

/* Seconds of update_s a step. */
static double per_step(double seconds, int64_t steps)
{
    assert_true(steps > 0);
    return seconds / (double)steps;
}

static void an_update_costs_by_its_rule(void **state)
{
    const struct machine *m = *state;
    for (int i = 0; i < RULE_COSTS; i++) {
        struct experiment e;
        run(&e, m, "ssgd", rule_costs[i].options);
        double took = per_step(e.out.server.update_s, e.out.updates),
               wanted = WORKERS * sum_s + rule_costs[i].passes * step_s;
        if (fabs(took - wanted) > 1e-9)
            fail_msg("%s: %g s an update, %g expected", rule_costs[i].options, took, wanted);
        assert_int_equal(e.out.updates, UPDATES);
        experiment_close(&e);
    }
}

static void a_list_of_sources_costs_by_its_length(void **state)
{
    const struct machine *m = *state;
    struct experiment e;
    const double plain = 2 * step_s;
    run(&e, m, "asgd", "momentum=0");
    assert_true(fabs(per_step(e.out.server.update_s, e.out.updates) - sum_s - plain) < 1e-9);
    experiment_close(&e);
    /* accumulated push by push, which clears the sum at its end */
    run(&e, m, "rennala", "momentum=0 rennala-batch=3");
    double each = 3 * 3 * sum_s + 2 * sum_s + plain;
    assert_true(fabs(per_step(e.out.server.update_s, e.out.updates) - each) < 1e-9);
    experiment_close(&e);
    /* a mean of weights: three pushes and w */
    run(&e, m, "localsgd", "momentum=0 local-steps=1");
    assert_true(fabs(per_step(e.out.server.update_s, e.out.updates) - 5 * sum_s) < 1e-9);
    experiment_close(&e);
}

static void adding_minibatches_costs(void **state)
{
    const struct machine *m = *state;
    struct experiment e;
    run(&e, m, "ssgd", "minibatches=4 batch=32");
    const struct counters *c = &e.out.worker[1];
    double took = per_step(c->update_s, c->minibatches / 4);
    assert_true(fabs(took - 3 * 3 * sum_s * crowd) < 1e-9);
    experiment_close(&e);
}

/* A worker's local step by plain SGD, what else it does with vectors in between, and how often. */
static const struct local {
    const char *scheme, *options;
    bool by_updates; /* a step is an update; else a mini-batch */
    double more_s;   /* beside the step, alone on its host */
} locals[] = {
    {"localsgd", "local-steps=1", false, 2 * copy_s + 3 * sum_s},
    {"nbssgd", "nb-payload=weights nb-inflight=finish", false, 0},
    {"allreduce", "", true, 0},
    {"hogwild", "", false, 0},
};

static void a_local_step_costs_the_same_in_every_scheme(void **state)
{
    const struct machine *m = *state;
    for (size_t i = 0; i < sizeof locals / sizeof *locals; i++)
        for (int rule = 0; rule < RULE_COSTS; rule++) {
            const struct local *l = &locals[i];
            struct experiment e;
            char options[200];
            if (!strcmp(l->scheme, "hogwild") && strstr(rule_costs[rule].options, "=la"))
                continue; /* layer-wise rules are refused there */
            snprintf(options, sizeof options, "%s %s", rule_costs[rule].options, l->options);
            run(&e, m, l->scheme, options);
            const struct counters *c = &e.out.worker[1];
            double took = per_step(c->update_s, l->by_updates ? e.out.updates : c->minibatches),
                   wanted = (sum_s + rule_costs[rule].passes * step_s + l->more_s) * crowd;
            if (fabs(took - wanted) > 1e-9)
                fail_msg("%s %s: %g s a step, %g expected", l->scheme, options, took, wanted);
            experiment_close(&e);
        }
}

/* An exchange costs two sums, eamsgd's look ahead two more a step, and a copy once. The first step
 * exchanges nothing; under the last mini-batch a worker hears that training is over. */
static void an_elastic_step_costs_its_sums(void **state)
{
    const struct machine *m = *state;
    for (int momentum = 0; momentum < 2; momentum++) {
        struct experiment e;
        run(&e, m, momentum ? "eamsgd" : "easgd", "local-steps=1 momentum=0.5");
        const struct counters *c = &e.out.worker[1];
        double steps = (double)c->minibatches - 1, step = sum_s + 2 * step_s + momentum * 6 * sum_s,
               wanted = steps * step + (steps - 1) * 6 * sum_s + momentum * 2 * copy_s;
        assert_true(steps > 2 && fabs(c->update_s - wanted * crowd) < 1e-9);
        experiment_close(&e);
    }
}

/* Alone on a host nobody is in its way. */
static void one_process_pays_too(void **state)
{
    const struct machine *m = *state;
    struct experiment e;
    run(&e, m, "serial", "momentum=0");
    double sums = (2 + 3 * (WORKERS - 1)) * sum_s;
    assert_true(fabs(per_step(e.out.server.update_s, e.out.updates) - sums - sum_s - 2 * step_s) <
                1e-9);
    experiment_close(&e);
}

/* An eager worker copies the weights where a mini-batch still reads them. */
static void eager_pays_for_each_copy(void **state)
{
    const struct machine *m = *state;
    double took[2];
    for (int i = 0; i < 2; i++) {
        struct experiment e;
        run(&e, m, "eager", i ? "optimizer=adam slow=2=3" : "momentum=0 slow=2=3");
        took[i] = per_step(e.out.worker[1].update_s, e.out.updates);
        experiment_close(&e);
    }
    assert_true(took[0] > (sum_s + 2 * step_s + copy_s) * crowd);
    assert_true(took[1] > took[0]);
}

/* Seconds that the first worker waits, of all that it trains, where mini-batches vary by a third,
 * and of that variance the host's ranks have this share in common. */
static double waiting(const char *ranks_per_host, const char *share)
{
    char text[200];
    struct experiment e;
    snprintf(text, sizeof text, "ranks_per_host = %s\nhost_jitter_share = %s\n", ranks_per_host,
             share);
    const struct machine *m = load(text);
    jitter = 0.33;
    run(&e, m, "ssgd", "sim-latency=0 sim-bandwidth=1e15 samples=9600");
    jitter = 0;
    assert_true(fabs(moments_deviation(&e.out.worker[0].minibatch_s) - 0.033) < 0.004);
    double part = e.out.worker[0].wait_s / e.out.seconds;
    experiment_close(&e);
    machine_close(m);
    return part;
}

/* A slow moment of the machine meets all its ranks: nobody waits for anybody. */
static void slow_moments_of_a_host_meet_all_its_ranks(void **state)
{
    (void)state;
    double own = waiting("100", "0"), half = waiting("100", "0.5"), all = waiting("100", "1"),
           hosts = waiting("1", "1");
    printf("waiting: %.3f, half in common %.3f, all %.3f, on hosts of their own %.3f\n", own, half,
           all, hosts);
    assert_true(own > 0.15 && fabs(hosts / own - 1) < 0.2);
    assert_true(half > 0.6 * own && half < 0.85 * own); /* the root of a half */
    assert_true(all < 1e-6);
}

/* Seconds of a synchronous update of one mini-batch, which takes 0.1 s on a core of its own. */
static double update_on_two_cores(int workers, const char *more)
{
    char options[200];
    struct experiment e;
    const struct machine *m = load("ranks_per_host = 100\ncores_per_host = 2\n");
    snprintf(options, sizeof options, "workers=%d samples=%d sim-latency=0 %s", workers,
             8 * workers * UPDATES, more);
    run(&e, m, "ssgd", options);
    double took = per_step(e.out.seconds, e.out.updates);
    experiment_close(&e);
    machine_close(m);
    return took;
}

/* Four workers on two cores take twice as long. One that sleeps half of its time leaves its core to
 * the others meanwhile; alone it takes its 0.2 s. */
static void ranks_share_the_cores_of_their_host(void **state)
{
    (void)state;
    assert_true(fabs(update_on_two_cores(2, "") - 0.1) < 1e-3);
    assert_true(fabs(update_on_two_cores(4, "") - 0.2) < 0.01);
    assert_true(fabs(update_on_two_cores(4, "threads=2") - 0.4) < 0.02);
    assert_true(fabs(update_on_two_cores(1, "slow=1=2") - 0.2) < 1e-3);
    /* three take 3.5 / 2 times their 0.1 s; then the fourth does the other half alone */
    assert_true(fabs(update_on_two_cores(4, "slow=4=2") - (0.175 + 0.1)) < 0.015);
}

/* The toy's 1,000 floats and their header, from one host to another. */
static const double message_bytes = 4000 + sizeof(struct header);
static const double core_s = 1e-6; /* a byte, at each end */

/* Runs it where messages take so much core time; each rank has a host, and all have these cores. */
static void run_with_messages(struct experiment *e, double message_core_s, const char *cores,
                              const char *scheme, const char *options)
{
    char text[200];
    snprintf(text, sizeof text, "ranks_per_host = 1\nhosts_per_machine = 100\n%s%s = %g\n", cores,
             "message_core_s_per_byte", message_core_s);
    const struct machine *m = load(text);
    run(e, m, scheme, options);
    machine_close(m);
}

/* Downpour's workers compute while their pushes are under way: each is later by what that takes.
 * One that waits loses nothing. */
static void who_computes_moves_its_own_messages(void **state)
{
    (void)state;
    struct experiment e;
    double transfer_s[2];
    int64_t pushes = 0;
    for (int costs = 0; costs < 2; costs++) {
        run_with_messages(&e, costs * core_s, "", "downpour",
                          "n-fetch=1000 n-push=1 samples=1600 sim-latency=0");
        transfer_s[costs] = e.out.worker[1].transfer_s;
        pushes = e.out.worker[1].minibatches;
        experiment_close(&e);
    }
    double each_s = (transfer_s[1] - transfer_s[0]) / (core_s * message_bytes);
    printf("%.2f pushes' core time, %lld pushes\n", each_s, (long long)pushes);
    assert_true(pushes > 50 && each_s > (double)pushes - 2.5 && each_s < (double)pushes + 0.5);
    double took[2];
    for (int costs = 0; costs < 2; costs++) {
        run_with_messages(&e, costs * core_s, "", "ssgd", "sim-latency=0 early-push=no");
        took[costs] = e.out.seconds;
        experiment_close(&e);
    }
    assert_true(fabs(took[1] - took[0]) < 1e-9);
}

/* Of two workers on one core, one computes while the other and the server exchange: two messages,
 * two ends each. Where there are cores enough, nobody is later. */
static void messages_of_who_waits_take_scarce_cores(void **state)
{
    (void)state;
    const char *const cores[] = {"cores_per_host = 1\n", "cores_per_host = 8\n"};
    double later_s[2];
    jitter = 0.33;
    for (int many = 0; many < 2; many++) {
        double took[2];
        int64_t updates = 0;
        for (int costs = 0; costs < 2; costs++) {
            struct experiment e;
            run_with_messages(&e, costs * core_s, cores[many], "asgd",
                              "workers=2 samples=8000 sim-latency=0 early-push=no");
            took[costs] = e.out.seconds;
            updates = e.out.updates;
            experiment_close(&e);
        }
        later_s[many] = (took[1] - took[0]) / ((double)updates / 2 * core_s * message_bytes);
    }
    jitter = 0;
    printf("an exchange makes the other later by %.2f, %.2f messages\n", later_s[0], later_s[1]);
    assert_true(later_s[0] > 3.4 && later_s[0] < 4.6);
    assert_true(fabs(later_s[1]) < 0.1);
}

/* Whoever adds a rule says what a step costs. */
static void every_rule_says_what_it_costs(void **state)
{
    (void)state;
    char names[200], *save = NULL;
    snprintf(names, sizeof names, "%s", optimizer_rules());
    for (char *name = strtok_r(names, "|", &save); name; name = strtok_r(NULL, "|", &save))
        for (int momentum = 0; momentum < 2; momentum++) {
            struct optimizer *o =
                optimizer_open(&(struct optimizer_options){.rule = name,
                                                           .momentum = 0.5 * momentum,
                                                           .beta1 = 0.9,
                                                           .beta2 = 0.9,
                                                           .epsilon = 1e-8,
                                                           .accum_iter = 2,
                                                           .trust = 0.001,
                                                           .threads = 1},
                               (struct range){0, 100}, NULL, 0);
            int states = (int)(optimizer_state_bytes(o) / (int64_t)(100 * sizeof(float)));
            if (optimizer_passes(o, 1) < 3 + 2 * states)
                fail_msg("%s: a step of %d passes with %d states", name, optimizer_passes(o, 1),
                         states);
            assert_int_equal(optimizer_passes(o, 4), optimizer_passes(o, 1) + 3);
            optimizer_close(o);
        }
}

static int open_machine(void **state)
{
    *state = (void *)load(machine_text);
    return 0;
}

static int close_machine(void **state)
{
    machine_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_update_costs_by_its_rule),
        cmocka_unit_test(a_list_of_sources_costs_by_its_length),
        cmocka_unit_test(adding_minibatches_costs),
        cmocka_unit_test(a_local_step_costs_the_same_in_every_scheme),
        cmocka_unit_test(an_elastic_step_costs_its_sums),
        cmocka_unit_test(one_process_pays_too),
        cmocka_unit_test(eager_pays_for_each_copy),
        cmocka_unit_test(slow_moments_of_a_host_meet_all_its_ranks),
        cmocka_unit_test(ranks_share_the_cores_of_their_host),
        cmocka_unit_test(who_computes_moves_its_own_messages),
        cmocka_unit_test(messages_of_who_waits_take_scarce_cores),
        cmocka_unit_test(every_rule_says_what_it_costs),
    };
    return cmocka_run_group_tests(tests, open_machine, close_machine);
}
