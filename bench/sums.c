/* The all-reduce of ResNet-50's gradient among workers, by every method, beside MPI's own; and what
 * rma windows cost. Medians, all in turn.
 *
 *   mpirun -n 5 sums [--turns N] [--threads N]      rank 0 keeps the time; NBSGD_HOSTS=n for
 *                                                   pretended hosts
 *
 * A line for each: name to column 40, milliseconds, GB/s, of which MPI_Allreduce counts 2 (W - 1)/W
 * vectors per worker and an rma window one. */
#include <getopt.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "collective/collective.h"
#include "node/private.h"

enum { COUNT = 23520842, KINDS = 8, MOST_TURNS = 101 };

struct sums {
    int turns, threads;
    struct net *net;
    struct node node;
    struct options options;
    float *vector, *plain;
    struct collective *direct, *ring, *vendor;
    struct rma_window *window;
    MPI_Comm workers;
};

static void do_nothing(struct sums *s)
{
    (void)s;
}

static void do_direct(struct sums *s)
{
    collective_sum(s->direct, s->vector, 0.25);
}

static void do_ring(struct sums *s)
{
    collective_sum(s->ring, s->vector, 0.25);
}

static void do_vendor(struct sums *s)
{
    collective_sum(s->vendor, s->vector, 1);
}

static void do_mpi(struct sums *s)
{
    MPI_Allreduce(MPI_IN_PLACE, s->plain, COUNT, MPI_FLOAT, MPI_SUM, s->workers);
}

static void do_get(struct sums *s)
{
    net_window_get(s->window, s->plain, 0, COUNT * sizeof(float));
}

static void do_add(struct sums *s)
{
    net_window_add(s->window, s->vector, 0, COUNT);
}

static void do_step(struct sums *s)
{
    float *shared = net_window_data(s->window);
    if (shared)
        vector_add(shared, s->vector, COUNT, s->threads);
}

static const struct {
    const char *name;
    void (*work)(struct sums *);
    bool all; /* workers, or one alone */
} kinds[KINDS] = {{"two barriers", do_nothing, true},
                  {"all-reduce: direct", do_direct, true},
                  {"all-reduce: ring", do_ring, true},
                  {"all-reduce: vendor", do_vendor, true},
                  {"all-reduce: MPI_Allreduce, in place", do_mpi, true},
                  {"rma window: got by one worker", do_get, false},
                  {"rma window: added to by one worker", do_add, false},
                  {"rma window: plain stores by one worker", do_step, false}};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_row(const struct sums *s, int k, double *took)
{
    int workers = s->net->ranks - 1;
    double bytes =
        sizeof(float) * (double)COUNT * (kinds[k].all ? 2.0 * (workers - 1) / workers : 1);
    qsort(took, (size_t)s->turns, sizeof *took, by_size);
    double middle = took[s->turns / 2];
    printf("%-40s %8.2f ms (best %7.2f)  %6.2f GB/s\n", kinds[k].name, 1e3 * middle, 1e3 * took[0],
           k ? 1e-9 * bytes / middle : 0);
}

static void measure(struct sums *s)
{
    double(*took)[MOST_TURNS] = xcalloc(KINDS, sizeof *took);
    for (int turn = -1; turn < s->turns; turn++) /* the first maps and warms */
        for (int k = 0; k < KINDS; k++) {
            bool works = s->net->rank > 0 && (kinds[k].all || s->net->rank == 1);
            for (int64_t i = 0; i < COUNT && s->net->rank > 0; i++)
                s->vector[i] = s->plain[i] = 1;
            net_barrier(s->net);
            double begin = net_now(s->net);
            if (works)
                kinds[k].work(s);
            net_barrier(s->net);
            took[k][turn < 0 ? 0 : turn] = net_now(s->net) - begin;
        }
    for (int k = 0; k < KINDS && s->net->rank == 0; k++)
        print_row(s, k, took[k]);
    xfree(took);
}

static struct collective *open_sum(struct sums *s, const char *method)
{
    s->options.allreduce = method;
    return s->net->rank ? collective_open(&s->node, COUNT, NULL) : NULL;
}

static void body(struct net *net, void *argument)
{
    struct sums *s = argument;
    struct node_private own = {.control.departed =
                                   xcalloc((size_t)net->ranks, sizeof *own.control.departed)};
    struct run_context context = {
        .options = &s->options, .workers = net->ranks - 1, .servers = 1, .threads = s->threads};
    s->net = net;
    s->node = (struct node){
        .net = net, .context = &context, .rank = net->rank, .worker = net->rank - 1, .own = &own};
    s->vector = net_alloc(net, COUNT * sizeof(float));
    s->plain = xcalloc(COUNT, sizeof(float));
    MPI_Comm_split(MPI_COMM_WORLD, net->rank > 0, 0, &s->workers);
    s->direct = open_sum(s, "direct");
    s->ring = open_sum(s, "ring");
    s->vendor = open_sum(s, "vendor");
    s->window = net_window_open(net, 0, net->rank ? NULL : s->vector, COUNT * sizeof(float));
    if (net->rank == 0)
        printf("%d workers, %d thread%s each, rank 1 on %s as rank 0\n", context.workers,
               s->threads, s->threads > 1 ? "s" : "",
               strcmp(net_host(net, 0), net_host(net, 1)) ? "another host" : "the same host");
    measure(s);
    net_window_close(s->window);
    if (net->rank > 0) {
        collective_close(s->direct);
        collective_close(s->ring);
        collective_close(s->vendor);
    }
    MPI_Comm_free(&s->workers);
    net_free(net, s->vector);
    xfree(s->plain);
    xfree(own.control.departed);
}

int main(int argc, char **argv)
{
    static const struct option words[] = {{"turns", 1, NULL, 'n'}, {"threads", 1, NULL, 't'}, {0}};
    struct sums s = {.turns = 15, .threads = 1, .options.deadline = 60};
    for (int word; (word = getopt_long(argc, argv, "", words, NULL)) != -1;) {
        if (word == '?')
            return EXIT_USER;
        *(word == 'n' ? &s.turns : &s.threads) = atoi(optarg);
    }
    if (s.turns < 1 || s.turns > MOST_TURNS || s.threads < 1)
        fatal("--turns: take 1 to %d; --threads: 1 or more", MOST_TURNS);
    if (mpi_join() < 3)
        fatal("this takes 3 ranks or more: mpirun -n 5 ...");
    mpi_run(&(struct world_options){.pin = true, .threads = s.threads}, body, &s);
    return 0;
}
