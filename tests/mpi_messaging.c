/* The whole contract of messaging/messaging.h on real processes: mpirun -n 5
 * build/.../tests/mpi_messaging [--thread] [--rounds N] [--seed N].
 *
 * Every rank runs every case; a case counts what is wrong on any rank, then all learn the sum, so
 * that all pass or fail together. NBSGD_HOSTS=n forces the path between hosts. --speed prints what
 * messages cost beside the machine's own copying and adding; --end CODE, --kill and --long end rank
 * 1 badly, and the others see it (tests/messaging.sh judges what the launcher makes of that). */
#include "tests/messaging_bench.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"

enum { BIG = 24 << 20 };

static struct bench *bench_of(void **state)
{
    return *state;
}

/* ---- big payloads and what passes them */

enum { TAG_PUSH = 10, TAG_SIGNAL, TAG_PULL, TAG_READY, TAG_REFER, TAG_FLOOD, TAG_TIME, TAG_PING };

static struct header big_header(const struct bench *b, int tag, int64_t version)
{
    return (struct header){.tag = tag, .version = version, .count = b->net->rank};
}

/* A payload that was borrowed within a host lies in a block that stays; nobody guarantees one from
 * another host. */
static void check_block(struct bench *b, const struct request *r, bool between_hosts)
{
    size_t bytes = 0;
    const char *data = net_data(r), *block = net_block(b->net, r, &bytes);
    if (between_hosts)
        EXPECT(b, !block, "a block of rank %d is known, which is on another host",
               net_header(r)->from);
    else
        EXPECT(b, block && data >= block && data + BIG <= block + bytes,
               "24 MB of rank %d do not lie in their block", net_header(r)->from);
}

/* Every worker pushes 24 MB and then signals: rank 0 has all the signals, and borrows, checks and
 * returns all the vectors. */
static void test_big_push_and_signal(void **state)
{
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    char *block = net->rank ? net_alloc(net, BIG) : NULL;
    if (net->rank) {
        bench_fill(block, BIG, bench_key(net->rank, 0, TAG_PUSH, 1));
        struct header header = big_header(b, TAG_PUSH, 1);
        struct request *push = net_send(net, 0, &header, block, BIG);
        bench_tell(b, 0, TAG_SIGNAL, 5);
        bench_await(b, &push, 1, "a big push");
        net_release(net, push);
        net_free(net, block);
    } else {
        for (int from = 1; from < net->ranks; from++) {
            struct request *both[2] = {net_recv(net, from, TAG_PUSH, NULL, 0),
                                       net_recv(net, from, TAG_SIGNAL, NULL, 0)};
            int first = bench_await(b, both, 2, "a push or its signal");
            bool between_hosts = strcmp(net_host(net, from), net_host(net, 0)) != 0;
            EXPECT(b, !between_hosts || first == 1, "rank %d's signal had to wait for 24 MB", from);
            for (int i = 0; i < 2; i++) {
                bench_await(b, &both[i], 1, "a big push and its signal");
                bench_check(b, net_header(both[i]), net_data(both[i]));
                if (i == 0)
                    check_block(b, both[i], between_hosts);
                net_release(net, both[i]);
            }
        }
    }
    bench_verdict(b);
}

/* Rank 0 sends 24 MB to each, at once, of one block; some copy, some borrow; some take the receive
 * back while it is under way. */
static void test_big_pull_and_take_back(void **state)
{
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    struct request *request[256];
    if (net->rank == 0) {
        char *block = net_alloc(net, BIG);
        bench_fill(block, BIG, bench_key(0, 0, TAG_PULL, 7));
        for (int to = 1; to < net->ranks; to++) {
            struct header header = big_header(b, TAG_PULL, 7);
            request[to] = net_send(net, to, &header, block, BIG);
        }
        for (int to = 1; to < net->ranks; to++) {
            bench_await(b, &request[to], 1, "a big pull");
            net_release(net, request[to]);
        }
        net_free(net, block);
    } else {
        /* All four posted before, or each after the one before was dropped: nothing is lost, the
         * next one gets it from the start. */
        char *into = xcalloc(BIG, 1);
        struct request *r[4] = {NULL};
        for (int k = 0; k < 4; k++) {
            for (int i = k; i < 4 && (i == k || net->rank % 3 == 0) && !r[i]; i++)
                r[i] = net_recv(net, 0, TAG_PULL, (net->rank + i) % 2 ? NULL : into,
                                (net->rank + i) % 2 ? 0 : BIG);
            if (k < 3 && net_wait(net, &r[k], 1, net_now(net) + 0.004 * k) < 0) {
                net_release(net, r[k]);
                continue;
            }
            bench_await(b, &r[k], 1, "a big pull");
            int64_t at = bench_differs(net_data(r[k]), BIG, bench_key(0, 0, TAG_PULL, 7));
            EXPECT(b, at < 0 && net_header(r[k])->bytes == BIG, "pulled weights differ at %" PRId64,
                   at);
            EXPECT(b, (net->rank + k) % 2 || net_data(r[k]) == into,
                   "the data are not in the receive's buffer");
            for (; k < 4; k++)
                net_release(net, r[k]);
        }
        xfree(into);
    }
    bench_verdict(b);
}

/* The sender's request is done when the payload is released, and not before; with a buffer it is
 * done without any drop. */
static void test_references(void **state)
{
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    int next = (net->rank + 1) % net->ranks, last = (net->rank + net->ranks - 1) % net->ranks;
    char *block = net_alloc(net, 3 << 20), *into = xcalloc(3 << 20, 1);
    for (int way = 0; way < 2; way++) {
        size_t bytes = way ? 3 << 20 : 1000;
        bench_fill(block, bytes, bench_key(net->rank, next, TAG_REFER, way));
        struct header header = big_header(b, TAG_REFER, way);
        struct request *sent = net_send(net, next, &header, block, bytes),
                       *got = net_recv(net, last, TAG_REFER, NULL, 0);
        bench_await(b, &got, 1, "a reference");
        EXPECT(b, net_wait(net, &sent, 1, net_now(net) + 0.2) < 0,
               "a send of %zu bytes was done before it was released", bytes);
        net_barrier(net);
        bench_check(b, net_header(got), net_data(got));
        net_release(net, got);
        bench_await(b, &sent, 1, "the release");
        net_release(net, sent);

        header = big_header(b, TAG_REFER, way);
        sent = net_send(net, next, &header, block, bytes);
        got = net_recv(net, last, TAG_REFER, into, bytes);
        struct request *both[2] = {got, sent};
        bench_await(b, both, 1, "a copy");
        bench_await(b, both + 1, 1, "the end of a send that was copied");
        bench_check(b, net_header(got), into);
        net_release(net, got);
        net_release(net, sent);
    }
    net_free(net, block);
    xfree(into);
    bench_verdict(b);
}

/* Heads come faster than anybody looks, in all directions: nothing is lost or out of order, nobody
 * waits for room. */
static void test_flood(void **state)
{
    enum { HEADS = 1500 };
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    for (int i = 0; i < HEADS; i++)
        for (int k = 1; k < net->ranks; k++)
            bench_tell(b, (net->rank + k) % net->ranks, TAG_FLOOD, i);
    for (int from = 0; from < net->ranks; from++)
        for (int i = 0; i < HEADS && from != net->rank; i++) {
            int64_t count = bench_hear(b, from, TAG_FLOOD).count;
            EXPECT(b, count == i, "rank %d's head %d came as number %" PRId64, from, i, count);
        }
    bench_verdict(b);
}

/* Thousands of receives posted in advance, of all ranks and tags, met in an order that has nothing
 * to do with theirs. */
static void test_many_receives(void **state)
{
    enum { EACH = 20, OF_TAGS = 40 };
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    int count = 0, total = (net->ranks - 1) * EACH * OF_TAGS;
    struct request **list = xcalloc((size_t)total + 1, sizeof *list);
    for (int tag = 0; tag < OF_TAGS; tag++)
        for (int from = 0; from < net->ranks; from++)
            for (int i = 0; i < EACH && from != net->rank; i++)
                list[count++] = net_recv(net, from, tag, NULL, 0);
    for (int i = 0; i < EACH; i++)
        for (int tag = OF_TAGS - 1; tag >= 0; tag--)
            for (int k = 1; k < net->ranks; k++)
                bench_tell(b, (net->rank + k) % net->ranks, tag, i);
    for (int i = 0; i < total; i++) {
        bench_await(b, &list[i], 1, "one of many receives");
        EXPECT(b, net_header(list[i])->count == i % EACH, "receive %d got head %" PRId64, i,
               net_header(list[i])->count);
    }
    EXPECT(b,
           net_wait(net, list, total, 0) == 0 && net_wait(net, list + 1, total - 1, INFINITY) == 0,
           "not the lowest one that is done");
    for (int i = 0; i < total; i++) {
        net_release(net, list[i]);
        list[i] = NULL;
        EXPECT(b, net_wait(net, list, total, 0) == (i + 1 < total ? i + 1 : -1),
               "NULLs are not passed over");
    }
    xfree(list);
    bench_verdict(b);
}

/* A receive that is dropped before it is done might as well not have been posted. */
static void test_take_back(void **state)
{
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    int next = (net->rank + 1) % net->ranks, last = (net->rank + net->ranks - 1) % net->ranks;
    for (int round = 0; round < 50; round++) {
        struct request *r[3];
        for (int i = 0; i < 3; i++)
            r[i] = net_recv(net, i == 1 ? NET_ANY : last, TAG_READY, NULL, 0);
        for (int i = 0; i < 3; i++)
            EXPECT(b, net_wait(net, &r[i], 1, 0) < 0,
                   "a receive was done before anything was sent");
        net_release(net, r[round % 3]);
        r[round % 3] = net_recv(net, last, TAG_READY, NULL, 0);
        net_barrier(net);
        for (int i = 0; i < 3; i++)
            bench_tell(b, next, TAG_READY, 3 * round + i);
        for (int i = 0; i < 3; i++) {
            int k = i == 2 ? round % 3 : i + (i >= round % 3); /* the new one is the last in line */
            bench_await(b, &r[k], 1, "a receive after another was taken back");
            EXPECT(b, net_header(r[k])->count == 3 * round + i, "head %d went to the wrong receive",
                   i);
            net_release(net, r[k]);
        }
        net_barrier(net);
    }
    bench_verdict(b);
}

/* ---- time */

static void test_time(void **state)
{
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    struct request *never = net_recv(net, NET_ANY, TAG_TIME, NULL, 0),
                   *nothing[3] = {NULL, never, NULL};
    double begin = net_now(net);
    EXPECT(b, net_wait(net, nothing, 3, 0) == -1 && net_now(net) - begin < 0.1, "a look took %g s",
           net_now(net) - begin);
    for (int i = 0; i < 5; i++) {
        double until = net_now(net) + 0.02 * i;
        EXPECT(b, net_wait(net, nothing, 3, until) == -1,
               "a receive that nobody sends to was done");
        double late = net_now(net) - until;
        EXPECT(b, late >= 0 && late < 0.5, "woke %g s after the time that was asked for", late);
    }
    begin = net_now(net);
    net_advance(net, 0.1);
    EXPECT(b, net_now(net) - begin >= 0.1 && net_now(net) - begin < 0.6, "spending 0.1 s took %g s",
           net_now(net) - begin);
    net_release(net, never);

    net_barrier(net);
    if (net->rank == net->ranks - 1)
        net_advance(net, 0.3);
    double came = net_now(net);
    net_barrier(net);
    double left = net_now(net);
    if (net->rank == net->ranks - 1)
        for (int i = 0; i < net->ranks - 1; i++)
            bench_tell(b, i, TAG_TIME, (int64_t)(1e9 * came));
    else /* clocks of pretended hosts start some microseconds apart */
        EXPECT(b, 1e-9 * (double)bench_hear(b, net->ranks - 1, TAG_TIME).count < left + 0.05,
               "left a barrier before the last rank had come");
    bench_verdict(b);
}

/* Rank 1 stops (SIGSTOP, not only idle): its silence grows on all others, and ends when it goes
 * on. */
static void test_silence(void **state)
{
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    net_barrier(net);
    if (net->rank == 1) {
        for (int i = 0; i < net->ranks; i++)
            if (i != 1)
                bench_tell(b, i, TAG_READY, getpid());
        net_advance(net, 0.05);
        kill(getpid(), SIGSTOP);
        net_barrier(net);
        net_barrier(net);
    } else {
        pid_t pid = (pid_t)bench_hear(b, 1, TAG_READY).count;
        double least = b->remote ? 5.5 : 2.2, patience = b->remote ? 5.4 : 1.9,
               begin = net_now(net), silence = 0, asleep = 0;
        if (net->rank == net->ranks - 1)
            net_advance(net, least); /* in one piece: the heartbeats must come from within */
        while ((silence = net_since_heard(net, 1)) < least && net_now(net) < begin + 15) {
            net_advance(net, 0.05);
            asleep = fmax(asleep, net->ranks > 2 ? net_since_heard(net, net->ranks - 1) : 0);
        }
        EXPECT(b, asleep < patience, "rank %d only sleeps, and was silent for %g s", net->ranks - 1,
               asleep);
        EXPECT(b, silence >= least && silence < 15,
               "rank 1 is stopped for %g s and its silence is %g s", net_now(net) - begin, silence);
        for (int i = 0; i < net->ranks; i++)
            if (i != 1)
                EXPECT(b, net_since_heard(net, i) < patience,
                       "rank %d waits, and is silent for %g s", i, net_since_heard(net, i));
        if (net->rank > 1)
            bench_tell(b, 0, TAG_TIME, 0);
        for (int i = 2; i < net->ranks && net->rank == 0; i++)
            bench_hear(b, i, TAG_TIME);
        if (net->rank == 0)
            kill(pid, SIGCONT);
        net_barrier(net);
        double end = net_now(net) + 8;
        while ((silence = net_since_heard(net, 1)) > 1.5 && net_now(net) < end)
            net_advance(net, 0.05);
        EXPECT(b, silence <= 1.5, "rank 1 goes on and its silence is still %g s", silence);
        net_barrier(net);
    }
    bench_verdict(b);
}

/* ---- memory and books */

static void test_memory(void **state)
{
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    int next = (net->rank + 1) % net->ranks, last = (net->rank + net->ranks - 1) % net->ranks;
    char *block[20];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++) {
            size_t bytes = (size_t)1 << i, zeros = 0;
            block[i] = net_alloc(net, bytes);
            for (size_t k = 0; k < bytes; k++)
                zeros += !block[i][k];
            EXPECT(b, zeros == bytes && (uintptr_t)block[i] % 64 == 0,
                   "net_alloc(%zu): %zu zeros, at %p", bytes, zeros, (void *)block[i]);
            bench_fill(block[i], bytes, bench_key(net->rank, next, TAG_REFER, i));
        }
        for (int i = 0; i < 20; i++) { /* from the middle of a block */
            size_t skip = i > 6 ? 64 : 0;
            struct header header = big_header(b, TAG_REFER, i);
            struct request *sent =
                net_send(net, next, &header, block[i] + skip, ((size_t)1 << i) - skip);
            struct request *got = net_recv(net, last, TAG_REFER, NULL, 0);
            bench_await(b, &got, 1, "a small reference");
            uint64_t key = bench_key(last, net->rank, TAG_REFER, i) + skip;
            EXPECT(b, bench_differs(net_data(got), net_header(got)->bytes, key) < 0,
                   "block %d arrived changed", i);
            net_release(net, got);
            bench_await(b, &sent, 1, "a small release");
            net_release(net, sent);
        }
        for (int i = 0; i < 20; i++)
            net_free(net, block[(7 * i) % 20]);
    }
    net_free(net, NULL);
    bench_verdict(b);
}

/* Between two cases nothing is under way: what all have sent is what all have received. */
static void test_books(void **state)
{
    struct bench *b = bench_of(state);
    struct net *net = b->net;
    struct {
        int64_t messages, bytes;
    } sum = {net->sent_messages - net->received_messages, net->sent_bytes - net->received_bytes},
      theirs;
    struct header header = {.tag = TAG_TIME};
    header_pack(&header, sum);
    EXPECT(b,
           net->sent_messages > 100 &&
               net->sent_bytes > (int64_t)sizeof header * net->sent_messages,
           "%" PRId64 " bytes in %" PRId64 " messages", net->sent_bytes, net->sent_messages);
    if (net->rank)
        net_send(net, 0, &header, NULL, 0);
    for (int i = 1; i < net->ranks && net->rank == 0; i++) {
        header = bench_hear(b, i, TAG_TIME);
        header_unpack(&header, theirs);
        sum.messages += theirs.messages;
        sum.bytes += theirs.bytes;
    }
    EXPECT(b, net->rank || (sum.messages == 0 && sum.bytes == 0),
           "%" PRId64 " messages and %" PRId64 " bytes were sent and not received", sum.messages,
           sum.bytes);
    bench_verdict(b);
}

/* ---- bad ends */

static const char *option(const struct bench *b, const char *name)
{
    for (int i = 1; i < b->argc; i++)
        if (!strcmp(b->argv[i], name))
            return i + 1 < b->argc ? b->argv[i + 1] : "";
    return NULL;
}

/* Rank 1 ends before its time; the others must know that it is gone, and leave too. */
static void end_badly(struct bench *b)
{
    struct net *net = b->net;
    char into[1000], *block = net_alloc(net, 2 * sizeof into);
    net_barrier(net);
    double begin = net_now(net);
    if (net->rank == 0)
        net_send(net, 1, &(struct header){.tag = TAG_PULL}, block, 2 * sizeof into);
    if (net->rank == 1 && option(b, "--kill"))
        kill(getpid(), SIGKILL);
    if (net->rank == 1 && option(b, "--end"))
        die(atoi(option(b, "--end")), "ends with %s", option(b, "--end"));
    if (net->rank == 1) {
        struct request *r = net_recv(net, 0, TAG_PULL, into, sizeof into);
        bench_await(b, &r, 1, "a message that is too long");
    }
    while (isfinite(net_since_heard(net, 1)))
        if (net_now(net) > begin + 8)
            die(1, "rank 1 is gone and its silence is %g s", net_since_heard(net, 1));
        else
            net_advance(net, 0.01);
    die(EXIT_SILENT, "rank 1 is gone after %.2f s", net_now(net) - begin);
}

static void body(struct net *net, void *argument)
{
    struct bench *b = argument;
    b->net = net;
    for (int i = 0; i < net->ranks; i++)
        b->remote = b->remote || strcmp(net_host(net, i), net_host(net, net->rank)) != 0;
    if (option(b, "--speed")) {
        messaging_speed(net);
        return;
    }
    if (option(b, "--end") || option(b, "--kill") || option(b, "--long"))
        end_badly(b);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(messaging_traffic, b),
        cmocka_unit_test_prestate(test_big_push_and_signal, b),
        cmocka_unit_test_prestate(test_big_pull_and_take_back, b),
        cmocka_unit_test_prestate(test_references, b),
        cmocka_unit_test_prestate(test_flood, b),
        cmocka_unit_test_prestate(test_many_receives, b),
        cmocka_unit_test_prestate(test_take_back, b),
        cmocka_unit_test_prestate(test_time, b),
        cmocka_unit_test_prestate(test_silence, b),
        cmocka_unit_test_prestate(test_memory, b),
        cmocka_unit_test_prestate(test_books, b),
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
    struct bench b = {.seed = 1, .rounds = 60, .argc = argc, .argv = argv};
    if (option(&b, "--seed"))
        b.seed = strtoull(option(&b, "--seed"), NULL, 10);
    if (option(&b, "--rounds"))
        b.rounds = atoi(option(&b, "--rounds"));
    mpi_run(&(struct world_options){.progress_thread = option(&b, "--thread"),
                                    .pin = true,
                                    .threads = 1},
            body, &b);
    return b.failed ? 1 : 0;
}
