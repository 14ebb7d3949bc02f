/* Every scheme of the list on the simulated network, judged by what its flags promise, and ssgd
 * against serial.
 *
 * SYNC: the same bits whatever the delays. EXACT: serial SGD on the joint batch to rounding.
 * BOUNDED: no gradient staler than its bound. All: it ends, with the samples it was asked for and
 * no message unread. A new scheme is tested by being in the list. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "scheme/scheme.h"
#include "tests/scheme_harness.h"
#include "tests/quadratic.h"
#include "tests/option_list.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 4, MANY = 128, STEPS = 5 };
#else
enum { SEEDS = 40, MANY = 1024, STEPS = 5 };
#endif

static const char *const delays[] = {"constant:0.02",      "exponential:0.05",
                                     "gaussian:0.06,0.03", "pareto:0.01,1.5",
                                     "stall:0.02,5",       "uniform:0,0.2@0;uniform:0,0.5"};
static const int world_sizes[] = {2, 3, 5, 9};

static struct option_list describe(const char *scheme, int ranks, uint64_t seed)
{
    struct option_list w = {0};
    add_plain_sgd(&w, scheme, 0.05);
    add_option(&w, "network=quadratic");
    add_option(&w, "workers=%d", ranks - 1);
    add_option(&w, "seed=%llu", (unsigned long long)seed);
    add_option(&w, "minibatches=%d", 1 + (int)(seed % 4));
    add_option(&w, "batch=%d", 8 * (1 + (int)(seed % 4)));
    add_option(&w, "samples=%d", 8 * (1 + (int)(seed % 4)) * (ranks - 1) * 6);
    add_option(&w, "backup-workers=%d", ranks > 2 ? 1 : 0);
    return w;
}

static void judge(const struct scheme *s, int ranks, const char *delay, uint64_t seed)
{
    struct experiment plain, delayed, serial;
    struct option_list w = describe(s->name, ranks, seed), with = w,
                       alone = describe("serial", ranks, seed);
    add_option(&with, "delay=%s", delay);
    quadratic_run(&delayed, &with);
    if (s->flags & SYNC)
        quadratic_run(&plain, &w);
    if (s->flags & EXACT)
        quadratic_run(&serial, &alone);
    bool right = delayed.out.samples >= delayed.options.samples && delayed.out.status == 0;
    if (s->flags & SYNC)
        right &= !memcmp(plain.out.w, delayed.out.w, (size_t)plain.out.count * sizeof(float));
    if (s->flags & EXACT)
        right &= quadratic_difference(&plain.out, &serial.out) < 1e-5;
    for (int64_t staleness = s->bound + 1; (s->flags & BOUNDED) && staleness < HISTOGRAM;
         staleness++)
        right &= !delayed.out.server.staleness.bin[staleness];
    if (!right)
        fail_msg("%s, %d ranks, delay %s, seed %llu", s->name, ranks, delay,
                 (unsigned long long)seed);
    if (s->flags & SYNC)
        experiment_close(&plain);
    if (s->flags & EXACT)
        experiment_close(&serial);
    experiment_close(&delayed);
}

static void every_scheme_keeps_what_its_flags_promise(void **state)
{
    (void)state;
    for (const struct scheme *const *each = schemes, *s; (s = *each); each++)
        for (size_t p = 0; p < sizeof world_sizes / sizeof *world_sizes; p++)
            for (size_t d = 0; d < sizeof delays / sizeof *delays; d++)
                for (uint64_t seed = 1; seed <= SEEDS; seed++)
                    judge(s, world_sizes[p], delays[d], seed);
}

/* A worker that leaves, or is a hundred times slower, holds nobody up for good. */
static void no_scheme_hangs(void **state)
{
    (void)state;
    for (const struct scheme *const *each = schemes, *s; (s = *each); each++)
        for (int trouble = 0; trouble < 4; trouble++)
            for (uint64_t seed = 1; seed <= 12; seed++) {
                struct experiment e;
                struct option_list w = describe(s->name, 5, seed);
                if (!strcmp(s->name, "serial") || (trouble && s->flags & DECENTRAL) ||
                    (trouble == 3 && !strcmp(s->name, "hogwild")))
                    continue;
                add_option(&w, "delay=exponential:0.05");
                if (trouble == 0)
                    add_option(&w, "slow=%d=100", 1 + (int)(seed % 4));
                else if (trouble == 3)
                    /* all of them, one by one, from two servers */
                    add_option(&w, "depart=2=1,3=%d,4=3,5=2", (int)(seed / 3));
                else
                    add_option(&w, "depart=%d=%d", 1 + (int)(seed % 4), (int)(seed / 4));
                if (trouble == 2)
                    add_option(&w, "softsync=1"); /* asgd: an update of all */
                if (trouble == 3)
                    add_option(&w, "servers=2");
                quadratic_run(&e, &w);
                if (trouble < 3 && e.out.samples < e.options.samples)
                    fail_msg("%s: %lld samples with %s", s->name, (long long)e.out.samples,
                             w.text[w.count - 1]);
                if (trouble == 1 || trouble == 2)
                    assert_in_range(e.out.worker[seed % 4].minibatches, seed / 4, seed / 4 + 20);
                experiment_close(&e);
            }
}

/* Servers hold slices: several of them give the same bits as one. */
static void several_servers_are_as_good_as_one(void **state)
{
    (void)state;
    struct experiment one, three;
    struct option_list w = describe("ssgd", 5, 3), more = w;
    add_option(&more, "servers=3");
    quadratic_run(&one, &w);
    quadratic_run(&three, &more);
    assert_memory_equal(one.out.w, three.out.w, (size_t)one.out.count * sizeof(float));
    experiment_close(&one);
    experiment_close(&three);
}

/* A push's way to each server is longer by a random part of jitter_s: servers meet pushes in orders
 * of their own. */
static void run_scattered(struct experiment *e, const char *scheme, int servers, double jitter_s,
                          double clip)
{
    enum { WORKERS = 5 };
    struct option_list w = describe(scheme, WORKERS + 1, 3);
    struct link_pair pair[3 * WORKERS];
    int pairs = 0;
    for (int s = 0; s < servers; s++)
        for (int i = 0; i < WORKERS; i++)
            pair[pairs++] =
                (struct link_pair){servers + i, s, {.latency_s = 1e-4, .jitter_s = jitter_s}};
    const struct links links = {
        .between = {.latency_s = 1e-4}, .ranks_per_host = 1, .pair = pair, .pair_count = pairs};
    add_option(&w, "servers=%d", servers);
    add_option(&w, "samples=%d", 400 * 32);
    add_option(&w, "lr=1");
    add_option(&w, "backup-workers=2");
    add_option(&w, "clip=%g", clip);
    add_option(&w, "delay=exponential:0.05");
    experiment_defaults(e, option_list_words(&w));
    e->links = &links; // cppcheck-suppress autoVariables ; until the end of the run
    experiment_run(e);
    e->links = NULL;
}

/* Servers in lockstep decide once, for all slices, which gradients make an update: at each server
 * each worker's part in the weights is the same. */
static void one_set_of_gradients_for_all_slices(void **state)
{
    (void)state;
    int dropping = 0;
    for (const struct scheme *const *each = schemes, *s; (s = *each); each++)
        for (int i = 0; i < 6 && s->flags & LOCKSTEP; i++) {
            struct experiment e;
            int servers = 1 + i % 3;
            run_scattered(&e, s->name, servers, 0.1, i / 3 * 0.3);
            const float *w = e.out.w;
            dropping += e.out.server.dropped_minibatches > 0;
            for (int64_t k = 0; k < 8; k++)
                if (w[k] != w[e.out.count - 1 - k])
                    fail_msg("%s, %d servers: [%lld] is %.9g at the first, %.9g at the last",
                             s->name, servers, (long long)k, w[k], w[e.out.count - 1 - k]);
            for (int k = 1; k < servers; k++)
                assert_int_equal(e.out.versions[k], e.out.versions[0]);
            experiment_close(&e);
        }
    assert_true(dropping >= 12); /* of backup and rennala, and whoever else drops late ones */
}

static void bf16_messages_are_near(void **state)
{
    (void)state;
    struct experiment exact, coarse;
    struct option_list w = describe("ssgd", 4, 2), with = w;
    add_option(&with, "compress=bf16");
    quadratic_run(&exact, &w);
    quadratic_run(&coarse, &with);
    assert_true(quadratic_difference(&exact.out, &coarse.out) < 0.02);
    assert_true(quadratic_difference(&exact.out, &coarse.out) > 0);
    experiment_close(&exact);
    experiment_close(&coarse);
}

/* A real network: two workers' joint batches by the server, and by one process. */
static void ssgd_trains_resnet20_as_serial_does(void **state)
{
    (void)state;
    struct experiment server, serial;
    struct option_list w = {0};
    add_plain_sgd(&w, "ssgd", 0.02);
    add_option(&w, "network=resnet20");
    add_option(&w, "dataset=synthetic");
    add_option(&w, "train-samples=64");
    add_option(&w, "eval-samples=4");
    add_option(&w, "eval-batches=1");
    add_option(&w, "backend=ref");
    add_option(&w, "workers=2");
    add_option(&w, "minibatches=2");
    add_option(&w, "batch=8");
    add_option(&w, "samples=32");
    struct option_list alone = w;
    quadratic_run(&server, &w);
    add_option(&alone, "scheme=serial");
    quadratic_run(&serial, &alone);
    assert_int_equal(server.out.updates, 2);
    assert_true(quadratic_difference(&server.out, &serial.out) < 1e-5);
    experiment_close(&server);
    experiment_close(&serial);
}

/* Every server scheme, five batches of each of 1,024 workers (fewer under a sanitizer). Seconds
 * are told, not judged: the machine may be busy. */
static void a_thousand_ranks(void **state)
{
    (void)state;
    for (const struct scheme *const *each = schemes, *s; (s = *each); each++) {
        struct experiment e;
        struct option_list w = {0};
        struct timespec from, to;
        if (s->flags & DECENTRAL || !strcmp(s->name, "serial"))
            continue;
        add_plain_sgd(&w, s->name, 0.05);
        add_option(&w, "network=quadratic");
        add_option(&w, "workers=%d", MANY);
        add_option(&w, "minibatches=1");
        add_option(&w, "batch=8");
        add_option(&w, "samples=%d", 8 * MANY * STEPS);
        add_option(&w, "anytime-seconds=0.15");
        add_option(&w, "local-steps=1");
        if (!strcmp(s->name, "nbssgd")) { /* whose batches are the first finisher's */
            add_option(&w, "updates=%d", STEPS);
            add_option(&w, "delay=uniform:0,0.5"); /* else all finish first and signal to all */
        }
        clock_gettime(CLOCK_MONOTONIC, &from);
        quadratic_run(&e, &w);
        clock_gettime(CLOCK_MONOTONIC, &to);
        assert_true(e.out.samples >= e.options.samples || e.out.updates == e.options.updates);
        printf("%d ranks x %d steps of %s: %.2f s\n", MANY + 1, STEPS, s->name,
               (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec));
        experiment_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scheme_keeps_what_its_flags_promise),
        cmocka_unit_test(no_scheme_hangs),
        cmocka_unit_test(several_servers_are_as_good_as_one),
        cmocka_unit_test(one_set_of_gradients_for_all_slices),
        cmocka_unit_test(bf16_messages_are_near),
        cmocka_unit_test(ssgd_trains_resnet20_as_serial_does),
        cmocka_unit_test(a_thousand_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
