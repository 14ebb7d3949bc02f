/* Messages: point to point, all together, one-sided. The figures are medians (ping-pong) or the
 * second of two runs (all-reduce). */
#include "bench/cluster/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIZES = 4,
    ROUNDS = 2000, /* at most, of one ping-pong */
};

static const size_t size_bytes[SIZES] = {4, 64 << 10, 1 << 20, VECTOR_BYTES};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double swing(struct harness *harness, int peer, int count, bool first)
{
    MPI_Status status;
    double start = MPI_Wtime();
    if (first)
        MPI_Send(harness->block, count, MPI_BYTE, peer, 1, MPI_COMM_WORLD);
    MPI_Recv(harness->block, count, MPI_BYTE, peer, 1, MPI_COMM_WORLD, &status);
    if (!first)
        MPI_Send(harness->block, count, MPI_BYTE, peer, 1, MPI_COMM_WORLD);
    return MPI_Wtime() - start;
}

/* There and back, as often as fits into budget_s; the first time with two patterns that both sides
 * check. */
static double ping(struct harness *harness, int peer, size_t bytes, double budget_s)
{
    MPI_Status status;
    double times[ROUNDS] = {0};
    fill(harness, 1, bytes);
    swing(harness, peer, (int)bytes, true);
    check(harness, 2, bytes);
    double once = swing(harness, peer, (int)bytes, true);
    int rounds = (int)fmin(ROUNDS, fmax(3, budget_s / once));
    MPI_Send(&rounds, 1, MPI_INT, peer, 2, MPI_COMM_WORLD);
    for (int i = 0; i < rounds; i++)
        times[i] = swing(harness, peer, (int)bytes, true);
    MPI_Recv(&rounds, 1, MPI_INT, peer, 2, MPI_COMM_WORLD, &status);
    qsort(times, (size_t)rounds, sizeof *times, compare);
    return times[rounds / 2] / 2;
}

static void pong(struct harness *harness, int peer, size_t bytes)
{
    MPI_Status status;
    int rounds;
    MPI_Recv(harness->block, (int)bytes, MPI_BYTE, peer, 1, MPI_COMM_WORLD, &status);
    check(harness, 1, bytes);
    fill(harness, 2, bytes);
    MPI_Send(harness->block, (int)bytes, MPI_BYTE, peer, 1, MPI_COMM_WORLD);
    swing(harness, peer, (int)bytes, false);
    MPI_Recv(&rounds, 1, MPI_INT, peer, 2, MPI_COMM_WORLD, &status);
    for (int i = 0; i < rounds; i++)
        swing(harness, peer, (int)bytes, false);
    MPI_Send(&rounds, 1, MPI_INT, peer, 2, MPI_COMM_WORLD);
}

/* Seconds one way, the median. */
static double ping_pong(struct harness *harness, int a, int b, size_t bytes, double budget_s)
{
    double one_way = 0;
    if (harness->rank == a)
        one_way = ping(harness, b, bytes, budget_s);
    else if (harness->rank == b)
        pong(harness, a, bytes);
    share(a, &one_way, 1);
    return one_way;
}

void point_to_point(struct harness *harness, const struct pair *p)
{
    double t[SIZES];
    print(harness, "  %s (%d - %d):", p->where, p->a, p->b);
    for (int i = 0; i < SIZES; i++)
        t[i] = ping_pong(harness, p->a, p->b, size_bytes[i], 0.3);
    double rate = (double)size_bytes[3] / t[3] / 1e9;
    print(harness,
          " 4 B %.2f us, 64 KiB %.1f us, 1 MiB %.0f us (%.1f GB/s), 94 MB %.1f ms (%.1f GB/s)\n",
          t[0] * 1e6, t[1] * 1e6, t[2] * 1e6, (double)size_bytes[2] / t[2] / 1e9, t[3] * 1e3, rate);
    judge_data(harness, p->where);
    double most_s = p->within ? 20e-6 : 50e-6, least_rate = p->within ? 2 : 1;
    bool quick = t[0] < most_s;
    bool wide = rate > least_rate;
    const char *slow = t[0] > 5e-4 ? " The cores are taken: look for other jobs on the host."
                       : p->within ? " Shared memory is not used: unset UCX_TLS."
                                   : " This looks like TCP: take the fast network "
                                     "(UCX_NET_DEVICES, the site's MPI). The signal lives on it.";
    const char *narrow = p->within ? " Leave UCX_TLS unset, so that cma is found; containers have "
                                     "to permit process_vm_readv."
                                   : " Every push has to pass here: take the fast network, "
                                     "--compress bf16, or more --minibatches a push.";
    find(harness, quick ? GOOD : BAD, "Latency %s: %.1f us.%s", p->where, t[0] * 1e6,
         quick ? "" : slow);
    find(harness, wide ? GOOD : BAD,
         "Bandwidth %s: %.1f GB/s; ResNet-50's gradient takes %.0f ms.%s", p->where, rate,
         t[3] * 1e3, wide ? "" : narrow);
}

/* Rank 0 with every other host: one sick host slows all synchronous schemes. */
void each_host(struct harness *harness)
{
    double best = INFINITY, worst = 0;
    int sick = 0;
    for (int h = 1; h < harness->hosts; h++) {
        double t = ping_pong(harness, 0, harness->first[h], size_bytes[2], 0.05);
        best = fmin(best, t);
        if (t > worst)
            worst = t, sick = h;
    }
    judge_data(harness, "from host to host");
    if (harness->hosts < 3)
        return;
    print(harness, "  1 MiB between rank 0's host and each other: %.0f to %.0f us, slowest %s\n",
          best * 1e6, worst * 1e6, harness->place[harness->first[sick]].host);
    if (worst > 2 * best)
        find(harness, BAD,
             "%s answers %.1f times as slowly as the quickest host. Leave it out (--exclude) or "
             "have it looked at.",
             harness->place[harness->first[sick]].host, worst / best);
    else
        find(harness, GOOD, "All hosts answer alike.");
}

void all_reduce(struct harness *harness)
{
    float *v = harness->block;
    double took = 0, longest = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < VECTOR; i++)
            v[i] = (float)((i & 255) + harness->rank);
        MPI_Barrier(MPI_COMM_WORLD);
        double start = MPI_Wtime();
        MPI_Allreduce(MPI_IN_PLACE, v, VECTOR, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        took = MPI_Wtime() - start;
    }
    check_floats(harness, v, (float)harness->ranks,
                 (float)harness->ranks * (float)(harness->ranks - 1) / 2);
    MPI_Allreduce(&took, &longest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    print(harness, "All-reduce of 94 MB over %d ranks: %.0f ms\n", harness->ranks, longest * 1e3);
    judge_data(harness, "all-reduce");
    find(harness, longest < 1 ? GOOD : BAD, "All-reduce of ResNet-50's gradient: %.0f ms.%s",
         longest * 1e3,
         longest < 1 ? ""
                     : " Synchronous schemes pay that at every step: fewer ranks per host, or a "
                       "faster network.");
}

static void touch_window(struct harness *harness, MPI_Comm two, double took[3])
{
    float *memory, *v = harness->block;
    int me;
    MPI_Win window;
    MPI_Comm_rank(two, &me);
    MPI_Win_allocate(me ? (MPI_Aint)(VECTOR * sizeof(float)) : 0, sizeof(float), MPI_INFO_NULL, two,
                     &memory, &window);
    for (int i = 0; i < VECTOR; i++)
        v[i] = (float)(i & 255);
    if (me) {
        MPI_Win_lock(MPI_LOCK_EXCLUSIVE, me, 0, window);
        memset(memory, 0, VECTOR * sizeof(float));
        MPI_Win_unlock(me, window);
    }
    quiet_barrier(two);
    for (int op = 0; op < 3 && !me; op++) {
        double start = MPI_Wtime();
        MPI_Win_lock(MPI_LOCK_EXCLUSIVE, 1, 0, window);
        if (op == 0)
            MPI_Put(v, VECTOR, MPI_FLOAT, 1, 0, VECTOR, MPI_FLOAT, window);
        else if (op == 1)
            MPI_Accumulate(v, VECTOR, MPI_FLOAT, 1, 0, VECTOR, MPI_FLOAT, MPI_SUM, window);
        else
            MPI_Get(v, VECTOR, MPI_FLOAT, 1, 0, VECTOR, MPI_FLOAT, window);
        MPI_Win_unlock(1, window);
        took[op] = MPI_Wtime() - start;
    }
    quiet_barrier(two);
    MPI_Win_lock(MPI_LOCK_SHARED, me, 0, window);
    check_floats(harness, me ? memory : v, 2, 0);
    MPI_Win_unlock(me, window);
    MPI_Win_free(&window);
}

void one_sided(struct harness *harness, const struct pair *p)
{
    double took[3] = {0};
    if (harness->rank == p->a || harness->rank == p->b) {
        MPI_Group world, pair;
        MPI_Comm two;
        MPI_Comm_group(MPI_COMM_WORLD, &world);
        MPI_Group_incl(world, 2, (int[]){p->a, p->b}, &pair);
        MPI_Comm_create_group(MPI_COMM_WORLD, pair, 3, &two);
        touch_window(harness, two, took);
        MPI_Comm_free(&two);
        MPI_Group_free(&pair);
        MPI_Group_free(&world);
    }
    share(p->a, took, 3);
    print(harness, "  %s (%d - %d): 94 MB Put %.0f ms, Accumulate %.0f ms, Get %.0f ms\n", p->where,
          p->a, p->b, took[0] * 1e3, took[1] * 1e3, took[2] * 1e3);
    judge_data(harness, "one-sided access");
    double slowest = fmax(took[0], took[2]);
    find(harness, slowest < 0.5 ? GOOD : BAD,
         "One-sided Put and Get %s: %.0f and %.0f ms for 94 MB.%s", p->where, took[0] * 1e3,
         took[2] * 1e3,
         slowest < 0.5 ? ""
                       : " Schemes that read or write another rank's memory will crawl; the others "
                         "do not mind.");
}
