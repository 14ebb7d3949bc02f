/* 94 MB between hosts: what a push and a pull cost beside MPI's own ping-pong of as much. Medians,
 * all in turn.
 *
 *   bench/lan --hosts 2 hosts [--turns N] [--thread]     a rank on each host; rank 0 is the server
 *                                                        and keeps the time
 *
 * A line for each: name to column 40, milliseconds (least .. greatest), MB/s through the server's
 * link. A push is timed from the word that asks for it until all of it is there, a pull until the
 * server's memory is its own again. --thread: with a progress thread. */
#include <getopt.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "messaging/mpi/process.h"

enum {
    COUNT = 23520842,
    BYTES = COUNT * (int)sizeof(float),
    KINDS = 4,
    MOST_TURNS = 101,
    MOST_WORKERS = 64
};
enum { TAG_GO = 1, TAG_VECTOR };

struct hosts {
    int turns;
    struct net *net;
    float *vector, *plain; /* net_alloc()'s, and anybody's */
};

/* There and back between ranks 0 and 1; the progress thread stands by. */
static void do_ping_pong(struct hosts *h)
{
    struct process *p = h->net->self;
    MPI_Status status;
    if (h->net->rank > 1)
        return;
    process_lock(p);
    if (h->net->rank == 0)
        MPI_Send(h->plain, COUNT, MPI_FLOAT, 1, 0, MPI_COMM_WORLD);
    MPI_Recv(h->plain, COUNT, MPI_FLOAT, 1 - h->net->rank, 0, MPI_COMM_WORLD, &status);
    if (h->net->rank == 1)
        MPI_Send(h->plain, COUNT, MPI_FLOAT, 0, 0, MPI_COMM_WORLD);
    process_unlock(p);
}

static void end(struct net *net, struct request *r)
{
    net_wait(net, &r, 1, INFINITY);
    net_release(net, r);
}

static void do_push(struct hosts *h)
{
    struct net *net = h->net;
    struct request *come[MOST_WORKERS];
    if (net->rank > 0) {
        end(net, net_recv(net, 0, TAG_GO, NULL, 0));
        end(net, net_send(net, 0, &(struct header){.tag = TAG_VECTOR}, h->vector, BYTES));
        return;
    }
    for (int i = 1; i < net->ranks; i++) {
        come[i - 1] = net_recv(net, i, TAG_VECTOR, NULL, 0);
        net_send(net, i, &(struct header){.tag = TAG_GO}, NULL, 0);
    }
    for (int i = 1; i < net->ranks; i++)
        end(net, come[i - 1]);
}

static void do_pull(struct hosts *h)
{
    struct net *net = h->net;
    struct request *gone[MOST_WORKERS];
    if (net->rank > 0) {
        end(net, net_recv(net, 0, TAG_VECTOR, NULL, 0));
        return;
    }
    for (int i = 1; i < net->ranks; i++)
        gone[i - 1] = net_send(net, i, &(struct header){.tag = TAG_VECTOR}, h->vector, BYTES);
    for (int i = 1; i < net->ranks; i++)
        end(net, gone[i - 1]);
}

static void do_head(struct hosts *h)
{
    struct net *net = h->net;
    if (net->rank > 1)
        return;
    if (net->rank == 0)
        net_send(net, 1, &(struct header){.tag = TAG_GO}, NULL, 0);
    end(net, net_recv(net, 1 - net->rank, TAG_GO, NULL, 0));
    if (net->rank == 1)
        net_send(net, 0, &(struct header){.tag = TAG_GO}, NULL, 0);
}

static const struct {
    const char *name;
    void (*work)(struct hosts *);
    double vectors; /* that each worker's round moves */
} kinds[KINDS] = {{"MPI ping-pong", do_ping_pong, -2},
                  {"push", do_push, 1},
                  {"pull", do_pull, 1},
                  {"a head there and back", do_head, 0}};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_row(const struct hosts *h, int k, double *took)
{
    double vectors =
        kinds[k].vectors < 0 ? -kinds[k].vectors : kinds[k].vectors * (h->net->ranks - 1);
    qsort(took, (size_t)h->turns, sizeof *took, by_size);
    double middle = took[h->turns / 2];
    printf("%-40s %9.2f ms (%9.2f .. %9.2f) %7.1f MB/s\n", kinds[k].name, 1e3 * middle,
           1e3 * took[0], 1e3 * took[h->turns - 1], 1e-6 * BYTES * vectors / middle);
}

static void body(struct net *net, void *argument)
{
    struct hosts *h = argument;
    double(*took)[MOST_TURNS] = xcalloc(KINDS, sizeof *took);
    h->net = net;
    h->vector = net_alloc(net, BYTES);
    h->plain = xcalloc(COUNT, sizeof(float));
    for (int i = 0; i < COUNT; i++)
        h->vector[i] = h->plain[i] = 1;
    for (int i = 1; i < net->ranks; i++)
        if (!strcmp(net_host(net, 0), net_host(net, i)))
            fatal("ranks 0 and %d are both on %s; bench/lan --hosts %d makes hosts", i,
                  net_host(net, i), net->ranks);
    for (int turn = -1; turn < h->turns; turn++) /* the first connects and warms */
        for (int k = 0; k < KINDS; k++) {
            net_barrier(net);
            double begin = net_now(net);
            kinds[k].work(h);
            took[k][turn < 0 ? 0 : turn] = net_now(net) - begin;
        }
    for (int k = 0; k < KINDS && net->rank == 0; k++)
        print_row(h, k, took[k]);
    net_free(net, h->vector);
    xfree(h->plain);
    xfree(took);
}

int main(int argc, char **argv)
{
    static const struct option words[] = {{"turns", 1, NULL, 'n'}, {"thread", 0, NULL, 't'}, {0}};
    struct hosts h = {.turns = 7};
    bool thread = false;
    for (int word; (word = getopt_long(argc, argv, "", words, NULL)) != -1;) {
        if (word == '?')
            return EXIT_USER;
        if (word == 'n')
            h.turns = atoi(optarg);
        thread = thread || word == 't';
    }
    if (h.turns < 1 || h.turns > MOST_TURNS)
        fatal("--turns: take 1 to %d", MOST_TURNS);
    int ranks = mpi_join();
    if (ranks < 2 || ranks > MOST_WORKERS)
        fatal("this takes 2 to %d ranks, each on a host of its own: bench/lan", MOST_WORKERS);
    mpi_run(&(struct world_options){.progress_thread = thread}, body, &h);
    return 0;
}
