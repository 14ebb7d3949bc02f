/* Sums among workers and rma windows on real processes: mpirun -n 5 build/.../tests/mpi_collective
 * [--thread].
 *
 * NBSGD_HOSTS=n forces the paths between hosts. --stop METHOD stops the last worker (SIGSTOP)
 * before its last sum, --lose ends the owner of an rma window that others read; all must end by
 * themselves (tests/messaging.sh). As in mpi_messaging, all pass or fail together. */
#include "tests/messaging_bench.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "tests/fake_device_buffer.h"
#include "tests/sum_case.h"

enum { FLOATS = 500003 }; /* two pieces of the transport; test_additions: 3 more than fives */

static const int64_t counts[] = {1, 7, 4099, FLOATS};

static struct bench *bench_of(void **state)
{
    return *state;
}

static void sums(struct bench *b, struct sum_case k)
{
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        k.count = counts[i];
        k.stops = -1;
        b->wrong += sum_case_run(b->net, &k);
    }
    k.servers = 2;
    if (b->net->ranks > 3)
        b->wrong += sum_case_run(b->net, &k);
    bench_verdict(b);
}

static void test_direct(void **state)
{
    sums(bench_of(state),
         (struct sum_case){"direct", .servers = 1, .rounds = 5, .exact = true, .delay_s = 0.003});
}

static void test_ring(void **state)
{
    sums(bench_of(state), (struct sum_case){"ring", .servers = 1, .rounds = 5, .delay_s = 0.003});
}

/* Packed slices, with the same bits for all: within the codec's bound; what is left out comes. */
static void test_codecs(void **state)
{
    struct bench *b = bench_of(state);
    for (int ring = 0; ring < 2; ring++) {
        const char *method = ring ? "ring" : "direct";
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            b->wrong += sum_case_run(
                b->net, &(struct sum_case){method, .servers = 1, .count = counts[i], .rounds = 3,
                                           .codec = "bf16", .precision = 0x1p-8, .delay_s = 0.003,
                                           .stops = -1});
        b->wrong += sum_case_run(
            b->net, &(struct sum_case){method, .servers = 1, .count = 4099, .rounds = 40,
                                       .zeros = 36, .codec = "topk", .part = 0.5, .stops = -1});
    }
    bench_verdict(b);
}

static void test_vendor(void **state)
{
    sums(bench_of(state), (struct sum_case){"vendor", .servers = 1, .rounds = 5, .delay_s = 0.003});
}

/* The vector goes to a GPU, where the library is said to take its memory, is summed there and comes
 * back. Where it is said to take none no device buffer is opened. */
static void test_vendor_there(void **state)
{
    struct bench *b = bench_of(state);
    const bool as_it_is = b->net->gpu_aware;
    for (int there = 1; there >= 0; there--)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            int opened = fake_device_buffers_opened() + (there && b->net->rank > 0);
            b->net->gpu_aware = there;
            b->wrong +=
                sum_case_run(b->net, &(struct sum_case){"vendor", .servers = 1, .count = counts[i],
                                                        .rounds = 4, .delay_s = 0.003, .stops = -1,
                                                        .device_buffer = &fake_device_buffer});
            EXPECT(b, fake_device_buffers_opened() == opened, "%d buffers were opened, not %d",
                   fake_device_buffers_opened(), opened);
        }
    EXPECT(b, fake_device_buffers_open() == 0 && fake_device_buffers_early() == 0,
           "%d buffers are open, %d copies came too early", fake_device_buffers_open(),
           fake_device_buffers_early());
    b->net->gpu_aware = as_it_is;
    bench_verdict(b);
}

/* Of the workers' hosts, not of rank 0's. */
static void test_choice(void **state)
{
    struct bench *b = bench_of(state);
    bool near = true;
    for (int i = 2; i < b->net->ranks; i++)
        near = near && !strcmp(net_host(b->net, i), net_host(b->net, 1));
    struct sum_case k = {"auto",       near ? "direct" : "ring",
                         .servers = 1, .count = 1000,
                         .rounds = 2,  .exact = near,
                         .stops = -1};
    b->wrong += sum_case_run(b->net, &k);
    bench_verdict(b);
}

static bool is_near(const struct bench *b, int rank)
{
    return !strcmp(net_host(b->net, rank), net_host(b->net, b->net->rank));
}

/* Plain stores by the ranks of the owner's host, each to its own floats, are there after a barrier;
 * gets in pieces see them too. */
static void test_stores(void **state)
{
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    int owner = net->ranks - 1;
    float *block = net->rank == owner ? net_alloc(net, (FLOATS + 100) * sizeof *block) : NULL,
          *got = xcalloc(FLOATS, sizeof *got);
    /* from the middle of a block */
    struct rma_window *r =
        net_window_open(net, owner, block ? block + 100 : NULL, FLOATS * sizeof *got);
    float *data = net_window_data(r);
    EXPECT(b, !data == !is_near(b, owner), "the rma window of rank %d is at %p", owner,
           (void *)data);
    EXPECT(b, net->rank != owner || data == block + 100, "the owner's own memory lies elsewhere");
    for (int round = 1; round < 4; round++) {
        for (int64_t i = net->rank; data && i < FLOATS; i += net->ranks)
            data[i] = (float)(round * 1000 + i % 1000);
        net_barrier(net);
        int64_t wrong = 0, seen = 0;
        memset(got, 0, FLOATS * sizeof *got);
        for (int64_t from = 0, count = 1; from < FLOATS; from += count, count = 3 * count + 1) {
            count = count < FLOATS - from ? count : FLOATS - from;
            net_window_get(r, got + from, (size_t)from * sizeof *got, (size_t)count * sizeof *got);
        }
        for (int64_t i = 0; i < FLOATS; i++) {
            bool stored = is_near(b, owner) ? is_near(b, (int)(i % net->ranks)) : got[i] != 0;
            seen += stored;
            wrong += got[i] != (stored ? (float)(round * 1000 + i % 1000) : 0);
        }
        EXPECT(b, !wrong && seen >= FLOATS / net->ranks,
               "%" PRId64 " of %d floats are wrong, %" PRId64 " were stored", wrong, FLOATS, seen);
        net_barrier(net);
    }
    net_window_close(r);
    net_free(net, block);
    xfree(got);
    bench_verdict(b);
}

/* All ranks add integers to all floats at once, from other ends: not one is lost. What is read
 * meanwhile is a sum of some. */
static void test_additions(void **state)
{
    enum { TIMES = 5 };
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    float *block = net->rank ? NULL : net_alloc(net, FLOATS * sizeof *block),
          *mine = xcalloc(FLOATS, sizeof *mine), most = 0;
    struct rma_window *r = net_window_open(net, 0, block, FLOATS * sizeof *mine);
    int half = net->rank % 2 ? FLOATS / 3 : FLOATS / 2, sum = net->ranks * (net->ranks + 1) / 2;
    for (int64_t i = 0; i < FLOATS; i++)
        mine[i] = (float)(net->rank + 1) * (float)(i % 5);
    for (int k = 0; k < TIMES; k++) {
        net_window_add(r, mine + half, half, FLOATS - half);
        net_window_get(r, &most, (FLOATS - 1) * sizeof most, sizeof most);
        EXPECT(b,
               most >= (float)((net->rank + 1) * (k + 1)) * 2 && most <= (float)(TIMES * sum * 2) &&
                   fmodf(most, 2) == 0,
               "the last float is %g after addition %d", most, k);
        net_window_add(r, mine, 0, half);
    }
    net_barrier(net);
    float *all = xcalloc(FLOATS, sizeof *all);
    net_window_get(r, all, 0, FLOATS * sizeof *all);
    int64_t wrong = 0;
    for (int64_t i = 0; i < FLOATS; i++)
        wrong += all[i] != (float)(TIMES * sum) * (float)(i % 5) || (block && block[i] != all[i]);
    EXPECT(b, !wrong, "%" PRId64 " of %d sums are wrong; the last is %g, not %d", wrong, FLOATS,
           all[FLOATS - 1], TIMES * sum * ((FLOATS - 1) % 5));
    net_window_close(r);
    net_free(net, block);
    xfree(mine);
    xfree(all);
    bench_verdict(b);
}

/* All add to the same few floats as often as they can: each addition counts, from whichever host it
 * comes. */
static void test_hot_floats(void **state)
{
    enum { HOT = 2000, TAG_COUNT = 40 };
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    float *block = net->rank ? NULL : net_alloc(net, HOT * sizeof *block), one[HOT];
    struct rma_window *r = net_window_open(net, 0, block, sizeof one);
    int64_t count = 0;
    for (int i = 0; i < HOT; i++)
        one[i] = 1;
    net_barrier(net);
    for (double end = net_now(net) + 0.25; net_now(net) < end && count < 3000000;
         count++) { /* a float counts up to 16 million */
        net_window_add(r, one, 0, HOT);
        net_poll(net);
    }
    if (net->rank)
        bench_tell(b, 0, TAG_COUNT, count);
    for (int i = 1; i < net->ranks && net->rank == 0; i++)
        count += bench_hear(b, i, TAG_COUNT).count;
    for (int i = 0; i < HOT && net->rank == 0; i++)
        EXPECT(b, block[i] == (float)count, "float %d is %.0f after %" PRId64 " additions of 1", i,
               block[i], count);
    net_window_close(r);
    net_free(net, block);
    bench_verdict(b);
}

/* Two at once, of two owners, closed in the order in which they were opened; no byte beyond a
 * rma window is touched. */
static void test_two_windows(void **state)
{
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    float *block = net->rank < 2 ? net_alloc(net, 64) : NULL, one[4] = {1, 1, 1, 1}, got[4];
    struct rma_window *r[2];
    for (int i = 0; i < 2; i++)
        r[i] = net_window_open(net, i, net->rank == i ? block + 4 : NULL, sizeof got);
    for (int i = 0; i < 2; i++)
        net_window_add(r[i], one, 0, 4);
    net_barrier(net);
    for (int i = 0; i < 2; i++) {
        net_window_get(r[i], got, 0, sizeof got);
        for (int k = 0; k < 4; k++)
            EXPECT(b, got[k] == (float)net->ranks, "rma window %d: float %d is %g", i, k, got[k]);
        net_window_close(r[i]);
    }
    for (int k = 0; k < 16 && block; k++)
        EXPECT(b, block[k] == (k >= 4 && k < 8 ? (float)net->ranks : 0),
               "float %d of the block is %g", k, block[k]);
    net_free(net, block);
    bench_verdict(b);
}

/* The owner computes, and only polls now and then; a get from another host goes on. */
static void test_busy_owner(void **state)
{
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    float *block = net->rank ? NULL : net_alloc(net, FLOATS * sizeof *block),
          *got = xcalloc(FLOATS, sizeof *got);
    struct rma_window *r = net_window_open(net, 0, block, FLOATS * sizeof *got);
    double begin = net_now(net);
    if (net->rank == 0)
        while (net_now(net) < begin + 0.3) {
            for (double until = net_now(net) + 0.001; net_now(net) < until;)
                block[0]++;
            net_poll(net);
        }
    else
        net_window_get(r, got, 0, FLOATS * sizeof *got);
    EXPECT(b, net_now(net) - begin < 5, "took %g s", net_now(net) - begin);
    net_window_close(r);
    net_free(net, block);
    xfree(got);
    bench_verdict(b);
}

/* ---- the end of one in the middle */

static const char *option(const struct bench *b, const char *name)
{
    for (int i = 1; i < b->argc; i++)
        if (!strcmp(b->argv[i], name))
            return i + 1 < b->argc ? b->argv[i + 1] : "";
    return NULL;
}

static void stop(struct bench *b)
{
    const char *method = option(b, "--stop");
    struct sum_case k = {method,      .servers = 1,    .count = FLOATS,
                         .rounds = 3, .deadline_s = 2, .stops = b->net->ranks - 2};
    sum_case_run(b->net, &k);
    die(1, "a sum ended without one of its workers");
}

static void lose(struct bench *b)
{
    struct net *net = b->net;
    float *block = net->rank == 1 ? net_alloc(net, FLOATS * sizeof *block) : NULL,
          *got = xcalloc(FLOATS, sizeof *got);
    struct rma_window *r = net_window_open(net, 1, block, FLOATS * sizeof *got);
    net_barrier(net);
    if (net->rank == 1)
        die(EXIT_WORLD, "ends");
    for (double end = net_now(net) + 20; net_now(net) < end; net_advance(net, 0.01))
        if (!net_window_data(r))
            net_window_get(r, got, 0, FLOATS * sizeof *got);
        else if (isinf(net_since_heard(net, 1)))
            die(EXIT_SILENT, "rank 1 is gone");
    die(1, "an rma window goes on without its owner");
}

static void body(struct net *net, void *argument)
{
    struct bench *b = argument;
    b->net = net;
    if (option(b, "--stop"))
        stop(b);
    if (option(b, "--lose"))
        lose(b);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_direct, b),
        cmocka_unit_test_prestate(test_ring, b),
        cmocka_unit_test_prestate(test_vendor_there, b),
        cmocka_unit_test_prestate(test_codecs, b),
        cmocka_unit_test_prestate(test_vendor, b),
        cmocka_unit_test_prestate(test_choice, b),
        cmocka_unit_test_prestate(test_stores, b),
        cmocka_unit_test_prestate(test_additions, b),
        cmocka_unit_test_prestate(test_hot_floats, b),
        cmocka_unit_test_prestate(test_two_windows, b),
        cmocka_unit_test_prestate(test_busy_owner, b),
    };
    if (net->rank &&
        !freopen("/dev/null", "w",
                 stdout)) /* one rank's list of cases is enough; what is wrong goes to stderr */
        die(1, "/dev/null cannot be opened");
    b->failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (net->rank == 0)
        printf("%zu passed, %d failed\n", sizeof tests / sizeof *tests - (size_t)b->failed,
               b->failed);
}

int main(int argc, char **argv)
{
    struct bench b = {.seed = 1, .argc = argc, .argv = argv};
    mpi_run(&(struct world_options){.progress_thread = option(&b, "--thread"),
                                    .deadline_s = option(&b, "--stop") ? 2 : 0,
                                    .pin = true,
                                    .threads = 1},
            body, &b);
    return b.failed ? 1 : 0;
}
