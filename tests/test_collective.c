/* Sums among workers and rma windows on the simulated network: numbers, bits, evaluations in
 * between, time, and what ends the run. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/death_test.h"
#include "tests/sum_case.h"

static const int workers[] = {1, 2, 3, 5, 8};
static const int64_t counts[] = {1, 7, 1000, 4099};

struct run {
    struct sum_case sum;
    int wrong;
};

static void sum_body(struct net *net, void *argument)
{
    struct run *r = argument;
    int wrong = sum_case_run(net, &r->sum);
    r->wrong += net->rank == 0 ? wrong : 0;
}

static void judge(int ranks, const struct sum_case *sum, uint64_t seed, double jitter_s)
{
    struct run r = {.sum = *sum};
    sim_run(&(struct world_options){.ranks = ranks,
                                    .seed = seed,
                                    .latency_s = 20e-6,
                                    .jitter_s = jitter_s,
                                    .bandwidth = 1e9},
            sum_body, &r);
    if (r.wrong)
        fail_msg("%s, %d ranks of which %d serve, %lld floats, seed %llu: %d things wrong",
                 sum->method, ranks, sum->servers, (long long)sum->count, (unsigned long long)seed,
                 r.wrong);
}

static void all_worlds(struct sum_case sum)
{
    for (size_t w = 0; w < sizeof workers / sizeof *workers; w++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            for (int delayed = 0; delayed < 2; delayed++) {
                sum.count = counts[i];
                sum.delay_s = delayed ? 0.01 : 0;
                judge(workers[w] + 1, &sum, w * 100 + i * 10, delayed ? 1e-3 : 0);
            }
    sum.servers = 3;
    judge(8, &sum, 1, 1e-3);
}

/* Several pieces of the ring in flight, and slices of different lengths. */
static void test_many_pieces(void **state)
{
    (void)state;
    judge(4, &(struct sum_case){"ring", .servers = 1, .count = 2500003, .rounds = 2, .stops = -1},
          1, 1e-3);
    judge(4,
          &(struct sum_case){"direct", .servers = 1, .count = 2500003, .rounds = 2, .exact = true,
                             .stops = -1},
          1, 1e-3);
}

static void test_direct(void **state)
{
    (void)state;
    all_worlds((struct sum_case){"direct", .servers = 1, .rounds = 7, .exact = true, .stops = -1});
}

static void test_ring(void **state)
{
    (void)state;
    all_worlds((struct sum_case){"ring", .servers = 1, .rounds = 7, .stops = -1});
}

/* One host: direct. No library in here: ring, and it is said. */
static void test_choice(void **state)
{
    (void)state;
    judge(4,
          &(struct sum_case){"auto", "direct", .servers = 1, .count = 100, .rounds = 2,
                             .exact = true, .stops = -1},
          1, 0);
    judge(
        4,
        &(struct sum_case){"vendor", "ring", .servers = 1, .count = 100, .rounds = 2, .stops = -1},
        1, 0);
}

/* The codec that packs nothing changes no bit. */
static void test_plain_codec(void **state)
{
    (void)state;
    all_worlds((struct sum_case){"direct", .servers = 1, .rounds = 3, .exact = true, .codec = "f32",
                                 .stops = -1});
    all_worlds((struct sum_case){"ring", .servers = 1, .rounds = 3, .codec = "f32", .stops = -1});
}

/* Sums are within the codec's bound, and all workers have the same bits. */
static void test_codecs(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double precision;
    } cases[] = {{"bf16", 0x1p-8}, {"f16", 0x1p-11}, {"int8", 1.0 / 127}, {"sign", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int ring = 0; ring < 2; ring++)
            all_worlds((struct sum_case){ring ? "ring" : "direct", .servers = 1, .rounds = 4,
                                         .codec = cases[i].name, .precision = cases[i].precision,
                                         .stops = -1});
    judge(4,
          &(struct sum_case){"ring", .servers = 1, .count = 2500003, .rounds = 2, .codec = "bf16",
                             .precision = 0x1p-8, .stops = -1},
          1, 1e-3);
}

/* What is left out of a sum comes with the next ones: after enough sums of zeros all has come. */
static void test_error_feedback(void **state)
{
    (void)state;
    for (int ring = 0; ring < 2; ring++)
        for (int random = 0; random < 2; random++)
            for (size_t w = 1; w < sizeof workers / sizeof *workers; w++)
                judge(workers[w] + 1,
                      &(struct sum_case){ring ? "ring" : "direct", .servers = 1, .count = 999,
                                         .rounds = random ? 90 : 40, .zeros = random ? 85 : 36,
                                         .codec = random ? "randk" : "topk", .part = 0.5,
                                         .stops = -1},
                      w, 1e-3);
}

static void packs_body(const void *argument)
{
    struct sum_case k = {.method = argument,
                         .servers = 1,
                         .count = 10,
                         .rounds = 1,
                         .codec = "bf16",
                         .precision = 1,
                         .stops = -1};
    judge(3, &k, 1, 0);
}

/* A library's sum moves floats. */
static void test_who_cannot_pack(void **state)
{
    (void)state;
    assert_dies(EXIT_USER, packs_body, "vendor",
                (const char *const[]){"--compress bf16", "--allreduce vendor", "direct", NULL});
    assert_dies(EXIT_USER, packs_body, "nccl",
                (const char *const[]){"--compress bf16", "--allreduce nccl", "ring", NULL});
}

/* Bytes are those of the packed slices; where weights don't survive the codec, sums are floats. */
static void test_packed_cost(void **state)
{
    enum { WORKERS = 4, SLICE = 1600, PART = 160 /* floats of a slice that topk sends */ };
    (void)state;
    for (int ring = 0; ring < 2; ring++)
        for (int sparse = 0; sparse < 2; sparse++) {
            struct sum_cost cost[WORKERS] = {{0}};
            struct sum_case k = {ring ? "ring" : "direct",
                                 .servers = 1,
                                 .count = WORKERS * SLICE,
                                 .rounds = 1,
                                 .codec = sparse ? "topk" : "bf16",
                                 .part = 0.1,
                                 .precision = 2,
                                 .delay_s = 0.05,
                                 .stops = -1};
            int64_t part = sparse ? PART * 8 : SLICE * 2, sum = sparse ? SLICE * 4 : SLICE * 2;
            k.cost = cost;
            judge(WORKERS + 1, &k, 1, 0);
            for (int i = 0; i < WORKERS; i++) {
                assert_int_equal(cost[i].messages, 2 * (WORKERS - 1));
                assert_int_equal(cost[i].compressed, (WORKERS - 1) * (part + sum));
                assert_int_equal(cost[i].uncompressed, (WORKERS - 1) * 2 * SLICE * 4);
                assert_int_equal(cost[i].bytes,
                                 cost[i].compressed +
                                     2 * (WORKERS - 1) * (int64_t)sizeof(struct header));
            }
        }
}

static void vendor_body(const void *argument)
{
    (void)argument;
    judge(3,
          &(struct sum_case){"vendor", "ring", .servers = 1, .count = 10, .rounds = 1, .stops = -1},
          1, 0);
}

static void test_choice_is_said(void **state)
{
    (void)state;
    assert_dies(0, vendor_body, NULL,
                (const char *const[]){"vendor", "sim has no all-reduce", "ring", NULL});
}

/* What the heads of the methods promise: 2 (W - 1) messages and 2 (W - 1)/W n floats per worker. */
static void test_cost(void **state)
{
    enum { WORKERS = 4, SLICE = 1600 };
    (void)state;
    for (int ring = 0; ring < 2; ring++) {
        struct sum_cost cost[WORKERS] = {{0}};
        struct sum_case k = {ring ? "ring" : "direct", .servers = 1,
                             .count = WORKERS * SLICE, .rounds = 1,
                             .delay_s = 0.05,          .stops = -1};
        k.cost = cost;
        judge(WORKERS + 1, &k, 1, 0);
        for (int i = 0; i < WORKERS; i++) {
            assert_int_equal(cost[i].messages, 2 * (WORKERS - 1));
            assert_int_equal(cost[i].bytes,
                             2 * (WORKERS - 1) * (sizeof(struct header) + SLICE * sizeof(float)));
        }
    }
}

/* ---- rma windows */

static const struct world_options slow_world = {
    .ranks = 5, .seed = 1, .latency_s = 1e-3, .bandwidth = 1e6};

enum { FLOATS = 1000 };

static void window_body(struct net *net, void *argument)
{
    int *right = argument;
    float *block = net->rank == 2 ? net_alloc(net, FLOATS * sizeof(float)) : NULL,
          *other = net->rank ? NULL : net_alloc(net, 64);
    float mine[FLOATS], got[FLOATS];
    struct rma_window *r = net_window_open(net, 2, block, FLOATS * sizeof(float)),
                      *s = net_window_open(net, 0, other, 64);
    float *data = net_window_data(r);
    ((float *)net_window_data(s))[net->rank] = (float)(10 + net->rank);
    data[net->rank] = (float)(100 + net->rank);
    net_barrier(net);
    for (int i = 0; i < net->ranks; i++)
        *right += data[i] == (float)(100 + i) && (net->rank || other[i] == (float)(10 + i));
    net_barrier(net);
    for (int i = 0; i < FLOATS; i++)
        mine[i] = (float)((net->rank + 1) * i);
    net_window_add(r, mine + 10, 10, FLOATS - 10);
    net_barrier(net);
    net_window_get(r, got, 0, 500 * sizeof(float));
    net_window_get(r, got + 500, 500 * sizeof(float), 500 * sizeof(float));
    for (int i = 10; i < FLOATS; i++)
        *right += got[i] == (float)(15 * i);
    net_window_close(s);
    net_window_close(r);
    net_free(net, block);
    net_free(net, other);
}

static void test_window(void **state)
{
    int right = 0;
    (void)state;
    sim_run(&slow_world, window_body, &right);
    assert_int_equal(right, 5 * (5 + FLOATS - 10));
}

static void window_time_body(struct net *net, void *argument)
{
    double *took = argument, begin;
    char *block = net->rank ? NULL : net_alloc(net, 4000), into[4000];
    float *from = (float *)into;
    memset(into, 0, sizeof into);
    struct rma_window *r = net_window_open(net, 0, block, 4000);
    net_barrier(net);
    net_advance(net, 1 - net_now(net));
    begin = net_now(net);
    net_window_get(r, into, 0, 4000);
    took[2 * net->rank] = net_now(net) - begin;
    net_advance(net, 2 - net_now(net));
    begin = net_now(net);
    net_window_add(r, from, 250, 250);
    took[2 * net->rank + 1] = net_now(net) - begin;
    net_advance(net, 2 + net->rank - net_now(net));
    begin = net_now(net);
    net_window_add(r, from, 0, 250);
    took[10 + net->rank] = net_now(net) - begin;
    net_window_close(r);
    net_free(net, block);
}

/* The owner reaches its memory at once, the others after latency and bytes / bandwidth; where four
 * do at a time, each has a quarter of the owner's port. */
static void test_window_time(void **state)
{
    double took[15];
    (void)state;
    sim_run(&slow_world, window_time_body, took);
    for (int i = 0; i < 5; i++) {
        assert_true(fabs(took[2 * i] - (i ? 17e-3 : 0)) < 1e-9);
        assert_true(fabs(took[2 * i + 1] - (i ? 5e-3 : 0)) < 1e-9);
        assert_true(fabs(took[10 + i] - (i ? 2e-3 : 0)) < 1e-9);
    }
}

struct bad {
    void (*body)(struct net *, void *);
    int way;
    struct rma_window *kept[2]; /* by rank: not lost at the end */
};

static void open_bad(struct net *net, struct bad *bad, void *block, size_t bytes)
{
    bad->kept[net->rank] = net_window_open(net, 0, net->rank ? NULL : block, bytes);
}

static void beyond(struct net *net, void *argument)
{
    struct bad *bad = argument;
    float into[100] = {0};
    open_bad(net, bad, net_alloc(net, 400), 400);
    if (net->rank && bad->way)
        net_window_get(bad->kept[1], into, 8, 393);
    else if (net->rank)
        net_window_add(bad->kept[1], into, 1, 100);
}

static void unequal(struct net *net, void *argument)
{
    open_bad(net, argument, net_alloc(net, 400), net->rank ? 404 : 400);
}

static void elsewhere(struct net *net, void *argument)
{
    char block[400];
    open_bad(net, argument, block, sizeof block);
}

static void bad_body(const void *argument)
{
    struct bad bad = *(const struct bad *)argument;
    sim_run(&(struct world_options){.ranks = 2}, bad.body, &bad);
}

static void test_bad_windows(void **state)
{
    (void)state;
    assert_dies(EXIT_WORLD, bad_body, &(struct bad){beyond, .way = 0},
                (const char *const[]){"rank 1 reaches for 400 bytes at 4 of rank 0", NULL});
    assert_dies(EXIT_WORLD, bad_body, &(struct bad){beyond, .way = 1},
                (const char *const[]){"rank 1 reaches for 393 bytes at 8 of rank 0", NULL});
    assert_dies(
        EXIT_WORLD, bad_body, &(struct bad){.body = unequal},
        (const char *const[]){
            "rank 1 opens a window of 404 bytes, which has 400 at its owner, rank 0", NULL});
    assert_dies(EXIT_WORLD, bad_body, &(struct bad){.body = elsewhere},
                (const char *const[]){"does not lie in its net_alloc() memory", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct),         cmocka_unit_test(test_ring),
        cmocka_unit_test(test_many_pieces),    cmocka_unit_test(test_choice),
        cmocka_unit_test(test_choice_is_said), cmocka_unit_test(test_cost),
        cmocka_unit_test(test_plain_codec),    cmocka_unit_test(test_codecs),
        cmocka_unit_test(test_error_feedback), cmocka_unit_test(test_who_cannot_pack),
        cmocka_unit_test(test_packed_cost),    cmocka_unit_test(test_window),
        cmocka_unit_test(test_window_time),    cmocka_unit_test(test_bad_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
