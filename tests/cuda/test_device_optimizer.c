/* A server's weights on a device, or on its emulation (test_device_optimizer_emulated): the CPU's
 * bits, whatever is brought when.
 *
 * First one optimizer here and one moved there, side by side through all that a server asks of
 * them; sources are overwritten as soon as they may be, and the weights are looked at as soon as
 * they must be whole. Then whole schemes with their servers there. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/alloc.h"
#include "base/random.h"
#include "optimizer/optimizer.h"
#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"
#include "tests/quadratic.h"

enum { MOST = 20, ROUNDS = 11, FROM = 1003, LARGE = (1 << 20) + 1029 };

int64_t emulate_allocations(void) __attribute__((weak)); /* NULL on a device */

static const struct device_optimizer_kind *need_device(void)
{
    for (int i = 0; backends[i]; i++)
        if (backends[i]->device && backends[i]->has(DTYPE_F32))
            return backends[i]->device->optimizer;
    print_message("SKIPPED: no CUDA device\n");
    skip();
    return NULL;
}

struct pair {
    struct optimizer *here, *there;
    float *w[2], *v[MOST]; /* w: of each */
    const float *source[2][MOST + 1];
    double scale[MOST + 1];
    int64_t count;
    int sources, round;
    char name[100];
};

/* Any floats of ordinary size, quickly. */
static void fill(float *v, int64_t count, uint64_t key)
{
    struct random r = random_at(RANDOM_TEST, 7, key, 0, 0);
    uint32_t state = random_below(&r, 1u << 31);
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        v[i] = (float)(int32_t)state * 0x1p-31f;
    }
}

static void pair_open(struct pair *p, const struct device_optimizer_kind *kind, const char *rule,
                      double momentum, int64_t count, int sources)
{
    const struct range no_decay[] = {{0, FROM + 1},
                                     {FROM + 6, FROM + 7},
                                     {FROM + 7, FROM + 11},
                                     {FROM + 13, FROM + 14},
                                     {FROM + 101, FROM + 300},
                                     {FROM + (1 << 19) - 3, FROM + (1 << 19) + 2},
                                     {FROM + LARGE, INT64_MAX}};
    struct optimizer_options o = {.rule = rule,
                                  .momentum = momentum,
                                  .decay = 0.05,
                                  .beta1 = 0.9,
                                  .beta2 = 0.99,
                                  .epsilon = 1e-8,
                                  .threads = 1};
    struct range slice = {FROM, FROM + count};
    *p = (struct pair){.count = count, .sources = sources};
    snprintf(p->name, sizeof p->name, "%s, momentum %g, %lld floats, %d sources", rule, momentum,
             (long long)count, sources);
    for (int i = 0; i < 2; i++) {
        p->w[i] = xcalloc((size_t)count, sizeof **p->w);
        fill(p->w[i], count, 1);
    }
    for (int i = 0; i < sources; i++)
        p->v[i] = xcalloc((size_t)count, sizeof **p->v);
    p->here = optimizer_open(&o, slice, no_decay, sizeof no_decay / sizeof *no_decay);
    p->there = optimizer_open(&o, slice, no_decay, sizeof no_decay / sizeof *no_decay);
    optimizer_offload(p->there, kind, p->w[1], sources, 0);
    assert_true(optimizer_is_offloaded(p->there) && !optimizer_is_offloaded(p->here));
    optimizer_register_memory(p->there, p->w[1], (size_t)count * sizeof **p->w);
    optimizer_register_memory(p->there, p->w[1], (size_t)count * sizeof **p->w);
}

static void pair_close(struct pair *p)
{
    optimizer_close(p->here);
    optimizer_close(p->there);
    xfree(p->w[0]);
    xfree(p->w[1]);
    for (int i = 0; i < p->sources; i++)
        xfree(p->v[i]);
}

static void spoil(struct pair *p, int source)
{
    memset(p->v[source], 0xff, (size_t)p->count * sizeof **p->v);
}

/* New vectors at the places of the old; some are brought, by the round. One is brought twice, one
 * is forgotten and brought anew. */
static void refill(struct pair *p)
{
    for (int i = 0; i < p->sources; i++) {
        bool early = p->round % 3 == 1 || (p->round % 3 == 2 && (i + p->round) % 2);
        if (early && i == p->round % p->sources) {
            fill(p->v[i], p->count, 3);
            optimizer_prefetch(p->there, p->v[i]);
            optimizer_discard(p->there, p->v[i]);
        }
        fill(p->v[i], p->count, 10 + (uint64_t)(p->round * MOST + i));
        if (early)
            optimizer_prefetch(p->there, p->v[i]);
        if (early && i == 0)
            optimizer_prefetch(p->there, p->v[i]);
        p->source[0][i] = p->source[1][i] = p->v[i];
        p->scale[i] = i ? 0.1 + 0.07 * i : 1;
    }
}

static void expect_same(const struct pair *p, const char *what)
{
    for (int64_t i = 0; i < p->count; i++)
        if (memcmp(&p->w[0][i], &p->w[1][i], sizeof **p->w))
            fail_msg("%s, round %d, %s: w[%lld] is %a, should be %a", p->name, p->round, what,
                     (long long)i, p->w[1][i], p->w[0][i]);
}

static void check_step(struct pair *p, int sources)
{
    double lr = 0.1 / (1 + p->round);
    optimizer_step_sum(p->here, p->w[0], NULL, p->source[0], p->scale, sources, lr);
    optimizer_step_sum(p->there, p->w[1], NULL, p->source[1], p->scale, sources, lr);
    expect_same(p, "a step");
    for (int i = 0; i < p->sources; i++) {
        if (i >= sources)
            optimizer_discard(p->there, p->v[i]);
        spoil(p, i);
    }
}

static void check_one(struct pair *p)
{
    optimizer_step(p->here, p->w[0], p->v[0], 0.01);
    optimizer_step(p->there, p->w[1], p->v[0], 0.01);
    expect_same(p, "a step with one");
    for (int i = 0; i < p->sources; i++) {
        optimizer_discard(p->there, p->v[i]);
        spoil(p, i);
    }
}

/* The weights last among the sources, as a server's averages have them, or in the middle. */
static void check_sum(struct pair *p)
{
    int at = p->round % 2 ? p->sources : p->sources / 2;
    for (int i = 0; i < 2; i++) {
        p->source[i][p->sources] = p->source[i][at];
        p->source[i][at] = p->w[i];
    }
    p->scale[p->sources] = p->scale[at];
    p->scale[at] = 0.4;
    optimizer_sum(p->here, p->w[0], p->source[0], p->scale, p->sources + 1);
    optimizer_sum(p->there, p->w[1], p->source[1], p->scale, p->sources + 1);
    expect_same(p, "a sum");
    for (int i = 0; i < p->sources; i++)
        spoil(p, i);
}

static void check_kept(struct pair *p)
{
    for (int i = 0; i < p->sources; i++) {
        optimizer_accumulate(p->here, p->v[i]);
        optimizer_accumulate(p->there, p->v[i]);
        spoil(p, i);
    }
    optimizer_step_accumulated(p->here, p->w[0], 0.3, 0.05);
    optimizer_step_accumulated(p->there, p->w[1], 0.3, 0.05);
    expect_same(p, "a step with what was kept");
}

static void check_pair(const struct device_optimizer_kind *kind, const char *rule, double momentum,
                       int64_t count, int sources, int rounds)
{
    struct pair p;
    int64_t allocations = 0;
    pair_open(&p, kind, rule, momentum, count, sources);
    optimizer_step_accumulated(p.here, p.w[0], 0.3, 0.05); /* nothing is */
    optimizer_step_accumulated(p.there, p.w[1], 0.3, 0.05);
    expect_same(&p, "a step with nothing");
    for (p.round = 0; p.round < rounds; p.round++) {
        refill(&p);
        switch (p.round % 5) {
        case 0:
            check_kept(&p);
            break;
        case 1:
            check_step(&p, sources);
            break;
        case 2:
            check_sum(&p);
            break;
        case 3:
            check_step(&p, sources / 2);
            break;
        default:
            check_one(&p);
        }
        if (p.round == 0 && emulate_allocations)
            allocations = emulate_allocations();
    }
    if (emulate_allocations && emulate_allocations() != allocations)
        fail_msg("%s: memory was taken while stepping", p.name);
    pair_close(&p);
}

static const struct {
    const char *name;
    double momentum;
} rules[] = {{"sgd", 0},    {"sgd", 0.9},   {"nesterov", 0.9},
             {"adam", 0.9}, {"adamw", 0.9}, {"adagrad", 0.9}};

static void test_rules(void **state)
{
    (void)state;
    static const int64_t counts[] = {0, 1, 3, 1021, 4096};
    const struct device_optimizer_kind *kind = need_device();
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
            check_pair(kind, rules[r].name, rules[r].momentum, counts[c], c % 2 ? 4 : MOST, ROUNDS);
}

static void test_pieces(void **state)
{
    (void)state;
    const struct device_optimizer_kind *kind = need_device();
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        check_pair(kind, rules[r].name, rules[r].momentum, LARGE, 2, r == 1 ? 5 : 3);
    check_pair(kind, "sgd", 0.9, 1 << 19, 3, 5);
}

/* The same run with its servers here and there. */
static void check_scheme(const char *scheme, const char *more, int servers)
{
    struct experiment e[2];
    for (int i = 0; i < 2; i++) {
        struct option_list w = {0};
        char copy[200], *save = NULL;
        add_option(&w, "scheme=%s", scheme);
        add_option(&w, "network=quadratic");
        add_option(&w, "workers=4");
        add_option(&w, "servers=%d", servers);
        add_option(&w, "minibatches=2");
        add_option(&w, "batch=16");
        add_option(&w, "samples=1600");
        add_option(&w, "lr=0.02");
        add_option(&w, "slow=4=2.5");
        snprintf(copy, sizeof copy, "%s", more);
        for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
            add_option(&w, "%s", word);
        add_option(&w, "server-device=%s", i ? "gpu" : "cpu");
        quadratic_run(&e[i], &w);
    }
    const struct outcome *a = &e[0].out, *b = &e[1].out;
    if (a->updates != b->updates || a->samples != b->samples ||
        memcmp(a->w, b->w, (size_t)a->count * sizeof *a->w))
        fail_msg("%s %s, %d servers: %lld updates here, %lld there; the weights differ by %g",
                 scheme, more, servers, (long long)a->updates, (long long)b->updates,
                 quadratic_difference(a, b));
    for (int i = 0; i < 2; i++)
        experiment_close(&e[i]);
}

static void test_schemes(void **state)
{
    (void)state;
    static const struct {
        const char *scheme, *more;
    } cases[] = {{"ssgd", ""},
                 {"ssgd", "compress=bf16 optimizer=adamw"},
                 {"ssgd", "depart=3=7 optimizer=adam"},
                 {"nbssgd", "optimizer=nesterov"},
                 {"nbssgd", "nb-server=racing"},
                 {"nbssgd", "nb-payload=weights"},
                 {"asgd", "optimizer=adagrad"},
                 {"asgd", "softsync=2"},
                 {"asgd", "softsync=2 stale-lr=inverse"},
                 {"ringmaster", "ringmaster-r=2"},
                 {"ringleader", ""},
                 {"malenia", "malenia-batch=6"},
                 {"asynclocal", "local-steps=2"},
                 {"dnesterov", "local-steps=2 outer-momentum=0.5 outer-delay=2"},
                 {"dcasgd", "dc=adaptive compress=f16"},
                 {"dcasgd", "dc-lambda=0.5"},
                 {"downpour", "n-fetch=2 warm-start=0.1"},
                 {"ssp", "ssp-staleness=1"},
                 {"backup", ""},
                 {"rennala", "optimizer=adam"},
                 {"rennala", "compress=topk compress-ratio=0.2"},
                 {"anytime", "anytime-seconds=0.3"},
                 {"localsgd", "local-steps=3"},
                 {"easgd", ""},
                 {"eamsgd", "compress=bf16"}};
    need_device();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int servers = 1; servers <= 3; servers += 2)
            check_scheme(cases[i].scheme, cases[i].more, servers);
}

/* A run of ten updates with a scheme and a device optimizer of the test's own, where they are
 * given. */
static void run_ten(struct experiment *e, const char *name, const struct scheme *scheme,
                    const struct device_optimizer_kind *device_optimizer)
{
    struct problem_options o = {
        .options = &e->options, .minibatch = 8, .threads = 1, .trains = true};
    experiment_defaults(e, (const char *const[]){name, "network=quadratic", "batch=16",
                                                 "minibatches=2", "updates=10", "samples=100000",
                                                 "slow=1=3", NULL});
    e->scheme = scheme;
    e->device_optimizer = device_optimizer;
    e->problem = problem_open(&o);
    experiment_run(e);
    problem_close(e->problem);
    assert_int_equal(e->out.updates, 10);
}

/* ssgd in which another worker is left out of each update. */
static void serve_some(struct node *n)
{
    struct ps_server *ps = ps_server_open(n);
    int workers = n->context->workers;
    double *scale = xcalloc((size_t)workers, sizeof *scale);
    ps_reply_all(ps);
    while (ps_collect(ps)) {
        for (int i = 0; i < workers; i++)
            scale[i] = i == n->version % workers ? 0 : 1.0 / workers;
        ps_step(ps, scale);
        ps_reply_all(ps);
    }
    xfree(scale);
    ps_server_close(ps);
}

/* A push that was brought and is not used is not taken for the worker's next one, which lies where
 * it lay. */
static void test_left_out(void **state)
{
    (void)state;
    const struct scheme some = {.name = "some", .work = ps_work, .serve = serve_some};
    struct experiment e[2];
    const struct device_optimizer_kind *kind = need_device();
    for (int i = 0; i < 2; i++)
        run_ten(&e[i], "scheme=ssgd", &some, i ? kind : NULL);
    assert_memory_equal(e[0].out.w, e[1].out.w, (size_t)e[0].out.count * sizeof(float));
    for (int i = 0; i < 2; i++)
        experiment_close(&e[i]);
}

/* The device optimizer itself, seen from outside: how many sources were brought before the call
 * that uses them. */
static const struct device_optimizer_kind *watched;
static const float *ahead[MOST];
static int aheads, brought;

static bool is_ahead(const float *vector)
{
    for (int i = 0; i < aheads; i++)
        if (ahead[i] == vector)
            return true;
    return false;
}

static void watch_prefetch(struct device_optimizer *h, const float *vector)
{
    if (!is_ahead(vector))
        ahead[aheads++] = vector;
    watched->prefetch(h, vector);
}

/* The first worker is the slowest. */
static void watch_step(struct device_optimizer *h,
                       const struct step_coefficients step_coefficients[2],
                       const float *const *source, const double *scale, int sources)
{
    assert_false(is_ahead(source[0]));
    brought += aheads;
    aheads = 0;
    watched->step(h, step_coefficients, source, scale, sources);
}

static int count_brought(const char *scheme)
{
    struct experiment e;
    struct device_optimizer_kind kind = *watched;
    kind.prefetch = watch_prefetch;
    kind.step = watch_step;
    brought = aheads = 0;
    run_ten(&e, scheme, NULL, &kind);
    experiment_close(&e);
    return brought;
}

/* Early pushes go up while the last is waited for; where a push makes an update at once, it comes
 * up with that. */
static void test_early(void **state)
{
    (void)state;
    watched = need_device();
    assert_int_equal(count_brought("scheme=ssgd"), 3 * 10);
    assert_int_equal(count_brought("scheme=asgd"), 0);
    assert_int_equal(count_brought("scheme=dcasgd"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),   cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_schemes), cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
