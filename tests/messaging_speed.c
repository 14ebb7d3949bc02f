/* 94 MB there and back, a signal, and what waiting ranks take from computing ones; medians,
 * everything measured in turn. */
#include "tests/messaging_bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

enum { BIG = 94 << 20, REPEATS = 15, SIGNALS = 500, TURNS = 12, TAG_GO = 1, TAG_VECTOR, TAG_TIME };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *list, int count)
{
    qsort(list, (size_t)count, sizeof *list, by_size);
    return list[count / 2];
}

static void tell(struct net *net, int to, int tag, double value)
{
    struct header header = {.tag = tag};
    header_pack(&header, value);
    net_send(net, to, &header, NULL, 0);
}

static struct header hear(struct net *net, int from, int tag)
{
    struct request *r = net_recv(net, from, tag, NULL, 0);
    net_wait(net, &r, 1, INFINITY);
    struct header header = *net_header(r);
    net_release(net, r);
    return header;
}

static void add(float *to, const float *from)
{
    for (size_t i = 0; i < BIG / sizeof *to; i++)
        to[i] += from[i];
}

/* All the `workers` first ranks push at once; rank 0 adds what it borrows. Returns seconds for all
 * of it. */
static double push(struct net *net, int workers, float *sum, const float *vector)
{
    double begin = net_now(net);
    if (net->rank > workers)
        return 0;
    if (net->rank) {
        hear(net, 0, TAG_GO);
        struct request *r = net_send(net, 0, &(struct header){.tag = TAG_VECTOR}, vector, BIG);
        net_wait(net, &r, 1, INFINITY);
        net_release(net, r);
        return 0;
    }
    struct request **r = xcalloc((size_t)workers, sizeof *r);
    for (int i = 0; i < workers; i++)
        r[i] = net_recv(net, i + 1, TAG_VECTOR, NULL, 0);
    for (int i = 0; i < workers; i++)
        tell(net, i + 1, TAG_GO, 0);
    for (int i = 0; i < workers; i++) {
        net_wait(net, &r[i], 1, INFINITY);
        add(sum, net_data(r[i]));
        net_release(net, r[i]);
    }
    xfree(r);
    return net_now(net) - begin;
}

/* Rank 0 sends, the workers copy into memory of their own. */
static double pull(struct net *net, int workers, float *into, const float *weights)
{
    double begin = net_now(net);
    if (net->rank > workers)
        return 0;
    if (net->rank) {
        struct request *r = net_recv(net, 0, TAG_VECTOR, into, BIG);
        net_wait(net, &r, 1, INFINITY);
        net_release(net, r);
        return 0;
    }
    struct request **r = xcalloc((size_t)workers, sizeof *r);
    for (int i = 0; i < workers; i++)
        r[i] = net_send(net, i + 1, &(struct header){.tag = TAG_VECTOR}, weights, BIG);
    for (int i = 0; i < workers; i++) {
        net_wait(net, &r[i], 1, INFINITY);
        net_release(net, r[i]);
    }
    xfree(r);
    return net_now(net) - begin;
}

/* `own`: seconds of one piece of the machine's own work of the same kind. */
static void print(struct net *net, const char *what, double *took, int times, double own)
{
    double middle = median(took, REPEATS);
    if (net->rank == 0)
        printf("%-40s %8.2f ms (best %7.2f)  %6.2f GB/s  %5.2f x local\n", what, 1e3 * middle,
               1e3 * took[0], 1e-9 * times * BIG / middle, middle / times / own);
}

static void vectors(struct net *net)
{
    double axpy[REPEATS] = {0}, copy[REPEATS] = {0}, one_push[REPEATS], all_push[REPEATS],
           one_pull[REPEATS], all_pull[REPEATS];
    float *sum = xcalloc(BIG, 1), *other = xcalloc(BIG, 1), *vector = net_alloc(net, BIG);
    int workers = net->ranks - 1;
    for (int i = -1; i < REPEATS; i++) { /* the first turn maps and warms */
        int k = i < 0 ? 0 : i;
        if (net->rank == 0) {
            double begin = net_now(net);
            add(sum, other);
            axpy[k] = net_now(net) - begin;
            memcpy(other, sum, BIG);
            copy[k] = net_now(net) - begin - axpy[k];
        }
        net_barrier(net);
        one_push[k] = push(net, 1, sum, vector);
        net_barrier(net);
        all_push[k] = push(net, workers, sum, vector);
        net_barrier(net);
        one_pull[k] = pull(net, 1, other, vector);
        net_barrier(net);
        all_pull[k] = pull(net, workers, other, vector);
        net_barrier(net);
    }
    double own_axpy = median(axpy, REPEATS), own_copy = median(copy, REPEATS);
    print(net, "local add, 94 MB", axpy, 1, own_axpy);
    print(net, "push: borrowed and added, one worker", one_push, 1, own_axpy);
    print(net, "push: all workers at once", all_push, workers, own_axpy);
    print(net, "local copy, 94 MB", copy, 1, own_copy);
    print(net, "pull: copied, one worker", one_pull, 1, own_copy);
    print(net, "pull: all workers at once", all_pull, workers, own_copy);
    net_free(net, vector);
    xfree(sum);
    xfree(other);
}

/* A head to a rank that sleeps in net_wait(), and back; half of it is one signal. */
static void signals(struct net *net)
{
    static const double pauses_s[] = {0, 2e-3};
    for (int way = 0; way < 2; way++) {
        double took[SIGNALS] = {0};
        for (int i = 0; i < SIGNALS && net->rank < 2; i++) {
            if (net->rank) {
                hear(net, 0, TAG_GO);
                tell(net, 0, TAG_GO, 0);
                continue;
            }
            net_advance(net, pauses_s[way]);
            double begin = net_now(net);
            tell(net, 1, TAG_GO, 0);
            hear(net, 1, TAG_GO);
            took[i] = (net_now(net) - begin) / 2;
        }
        if (net->rank == 0) {
            double middle = median(took, SIGNALS);
            printf("signal to a waiting rank, %-18s %8.1f us median, %.1f us at 99 %%\n",
                   way ? "now and then" : "one after another", 1e6 * middle,
                   1e6 * took[SIGNALS * 99 / 100]);
        }
        net_barrier(net);
    }
    double begin = net_now(net);
    for (int i = 0; i < 100000; i++)
        net_poll(net);
    if (net->rank == 0)
        printf("net_poll with nothing to do                  %8.0f ns\n",
               1e9 * (net_now(net) - begin) / 100000);
    net_barrier(net);
}

static double compute(struct net *net, int64_t steps)
{
    double begin = net_now(net);
    volatile double out;
    double x[8] = {0};
    for (int64_t i = 0; i < steps; i++)
        for (int k = 0; k < 8; k++)
            x[k] = x[k] * 0.999 + 1;
    out = x[0] + x[3] + x[7];
    (void)out;
    return net_now(net) - begin;
}

/* Ranks 1 .. cores compute; the others sleep, now in net_wait(), now in the system, where they
 * certainly take nothing. */
static void waiting(struct net *net)
{
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN),
        busy = cores < net->ranks - 1 ? cores : net->ranks - 1;
    double took[2][TURNS] = {{0}};
    int64_t steps = 1000000;
    bool computes = net->rank >= 1 && net->rank <= busy;
    if (computes)
        steps = (int64_t)(0.2 * (double)steps / compute(net, steps));
    for (int turn = 0; turn < 2 * TURNS; turn++) {
        net_barrier(net);
        if (computes)
            took[turn % 2][turn / 2] = compute(net, steps);
        else if (turn % 2)
            net_advance(net, 0.25);
        else
            nanosleep(&(struct timespec){.tv_nsec = 250000000}, NULL);
    }
    net_barrier(net);
    if (computes)
        tell(net, 0, TAG_TIME, median(took[1], TURNS) / median(took[0], TURNS));
    double sum = 0;
    for (int i = 1; i <= busy && net->rank == 0; i++) {
        double factor;
        struct header header = hear(net, i, TAG_TIME);
        header_unpack(&header, factor);
        sum += factor;
    }
    if (net->rank == 0)
        printf("%d computing ranks while %d wait take         %8.3f times as long\n", busy,
               net->ranks - busy, sum / busy);
}

void messaging_speed(struct net *net)
{
    if (net->rank == 0)
        printf("%d ranks, rank 1 on %s\n", net->ranks,
               strcmp(net_host(net, 0), net_host(net, 1)) ? "another host" : "the same host");
    vectors(net);
    signals(net);
    waiting(net);
}
