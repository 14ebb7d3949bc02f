/* The file that describes this cluster to the simulator (slowness/machine.h): links and memory as
 * nbsgd's own messages meet them.
 *
 * Latency: half of a head there and back between two ranks that sleep meanwhile, as ranks do in
 * training; jitter is chosen so that the simulator's mean is the median here. Between hosts: a
 * borrowed vector from rank to rank, then from all ranks of a host at once, then what that takes
 * from the cores (message_core.c). Within one: a vector that all ranks of the host copy at once, as
 * after a synchronous update. Memory: memory.c. All are medians; clocks of two ranks are never
 * compared. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "bench/cluster/ranks.h"

enum { SIGNALS = 300, PATIENCE_S = 300 };

static const double pause_s = 2e-3; /* longer than anybody spins */

static void look_around(struct net *net, struct cluster *c)
{
    int theirs = 0;
    c->local = c->remote = NET_ANY;
    for (int r = 0; r < net->ranks; r++) {
        bool here = same_host(net, r, 0);
        c->local_ranks += here;
        if (r > 0 && here && c->local == NET_ANY)
            c->local = r;
        if (!here && c->remote == NET_ANY)
            c->remote = r;
        theirs += !here && same_host(net, r, c->remote);
    }
    c->pairs = c->local_ranks < theirs ? c->local_ranks : theirs;
}

static void signals_to(struct net *net, int peer, double *latency_s, double *jitter_s)
{
    double took[SIGNALS];
    for (int i = 0; i < SIGNALS && net->rank == peer; i++)
        tell(net, 0, hear(net, 0));
    for (int i = 0; i < SIGNALS && net->rank == 0; i++) {
        net_advance(net, pause_s);
        double began_s = net_now(net);
        tell(net, peer, i);
        hear(net, peer);
        took[i] = (net_now(net) - began_s) / 2;
    }
    if (net->rank == 0) {
        *latency_s = quantile(took, SIGNALS, 0.05);
        *jitter_s = 2 * (quantile(took, SIGNALS, 0.5) - *latency_s);
    }
    net_barrier(net);
}

/* The first `pairs` ranks of rank 0's host each send to one of remote's at once. Rank 0 learns the
 * longest time, without the answer's. */
static double stream(struct net *net, const struct cluster *c, int pairs, const void *vector)
{
    double took[REPEATS] = {0};
    for (int turn = -1; turn < REPEATS; turn++) { /* the first turn maps and warms */
        double longest_s = 0;
        net_barrier(net);
        for (int i = 0; i < pairs; i++) {
            int from = member(net, 0, i), to = member(net, c->remote, i);
            if (net->rank == to) {
                get(net, from, NULL);
                tell(net, from, 0);
            }
            if (net->rank != from)
                continue;
            double began_s = net_now(net);
            give(net, to, vector);
            hear(net, to);
            longest_s = net_now(net) - began_s;
            if (from > 0)
                tell(net, 0, longest_s);
        }
        for (int i = 1; i < pairs && net->rank == 0; i++)
            longest_s = fmax(longest_s, hear(net, member(net, 0, i)));
        took[turn < 0 ? 0 : turn] = longest_s - c->latency_s[BETWEEN];
    }
    net_barrier(net);
    return quantile(took, REPEATS, 0.5);
}

/* All local_ranks copy rank 0's vector at once: seconds until the last is done. */
static double copies(struct net *net, const struct cluster *c, void *into, const void *vector)
{
    double took[REPEATS] = {0};
    struct request **sent = xcalloc((size_t)c->local_ranks, sizeof *sent);
    for (int turn = -1; turn < REPEATS; turn++) {
        net_barrier(net);
        double began_s = net_now(net);
        for (int i = 1; i < c->local_ranks; i++) {
            int local_rank = member(net, 0, i);
            if (net->rank == 0)
                sent[i] = net_send(net, local_rank, &(struct header){.tag = TAG_VECTOR}, vector,
                                   VECTOR_BYTES);
            else if (net->rank == local_rank)
                get(net, 0, into);
        }
        for (int i = 1; i < c->local_ranks && net->rank == 0; i++) {
            net_wait(net, &sent[i], 1, INFINITY);
            net_release(net, sent[i]);
        }
        took[turn < 0 ? 0 : turn] = net_now(net) - began_s;
    }
    xfree(sent);
    net_barrier(net);
    return quantile(took, REPEATS, 0.5);
}

/* The cores that ranks of rank 0's host were given: the launcher may have held each on its own. */
static void count_cores(struct net *net, struct cluster *c)
{
    struct core_set *mine = net_alloc(net, sizeof *mine), all = c->cores, theirs;
    *mine = c->cores;
    if (net->rank > 0 && same_host(net, net->rank, 0)) {
        struct request *sent =
            net_send(net, 0, &(struct header){.tag = TAG_CORES}, mine, sizeof *mine);
        net_wait(net, &sent, 1, INFINITY);
        net_release(net, sent);
    }
    for (int i = 1; i < c->local_ranks && net->rank == 0; i++) {
        struct request *come = net_recv(net, member(net, 0, i), TAG_CORES, &theirs, sizeof theirs);
        net_wait(net, &come, 1, INFINITY);
        net_release(net, come);
        all = core_set_union(&all, &theirs);
    }
    if (!core_set_equal(&all, &c->cores))
        c->host_cores = core_set_count(&all); /* else as many as the quota allows */
    net_barrier(net);
    net_free(net, mine);
}

static void write_place(FILE *to, const struct cluster *c, int place, const char *prefix)
{
    if (c->bandwidth[place] > 0)
        fprintf(to, "%slatency_s = %.3g\n%sjitter_s = %.3g\n%sbandwidth_bytes_per_s = %.4g\n",
                prefix, c->latency_s[place], prefix, c->jitter_s[place], prefix,
                c->bandwidth[place]);
}

static void write_memory(FILE *to, const struct cluster *c)
{
    static const char *const prefix[VECTOR_PASSES] = {"vector", "step", "copy"};
    for (int pass = 0; pass < VECTOR_PASSES; pass++)
        fprintf(to, "%s_bandwidth_bytes_per_s = %.4g\n", prefix[pass], c->vector_bandwidth[pass]);
    if (c->crowded_bandwidth > 0)
        fprintf(to, "crowded_bandwidth_bytes_per_s = %.4g\n", c->crowded_bandwidth);
    if (!isnan(c->host_jitter_share))
        fprintf(to, "host_jitter_share = %.2f\n", c->host_jitter_share);
}

static void write_machine(struct net *net, struct cluster *c)
{
    FILE *to = fopen(c->path, "w");
    if (to) {
        fprintf(to,
                "# Measured by test.s with %d ranks, %d of them on %s, %d core%s per rank there. "
                "slowness/machine.h says what the keys mean.\n",
                net->ranks, c->local_ranks, net_host(net, 0), net->cores,
                net->cores > 1 ? "s" : "");
        if (c->remote == NET_ANY)
            fprintf(to, "# Between hosts nothing was measured: there was one.\n");
        if (c->message_core_s > 0)
            fprintf(to, "message_core_s_per_byte = %.3g\n", c->message_core_s);
        fprintf(to, "ranks_per_host = %d\ncores_per_host = %d\n", c->local_ranks, c->host_cores);
        write_place(to, c, BETWEEN, "");
        if (c->host_bandwidth > 0)
            fprintf(to, "host_bandwidth_bytes_per_s = %.4g\n", c->host_bandwidth);
        write_place(to, c, WITHIN, "local_");
        write_memory(to, c);
        c->failed = ferror(to);
        c->failed |= fclose(to) != 0;
    }
    if (!to || c->failed) {
        fprintf(stderr, "cluster: cannot write %s\n", c->path);
        c->failed = true;
    }
}

static void report(const struct cluster *c, int place, const char *where)
{
    if (c->bandwidth[place] > 0)
        printf("Messages %s: latency %.1f us, jitter %.1f us, %.2f GB/s\n", where,
               1e6 * c->latency_s[place], 1e6 * c->jitter_s[place], 1e-9 * c->bandwidth[place]);
}

static void measure(struct net *net, void *argument)
{
    struct cluster *c = argument;
    float *vector = net_alloc(net, VECTOR_BYTES), *own = xcalloc(VECTOR, sizeof *own);
    for (int i = 0; i < VECTOR; i++)
        vector[i] = 1e-3f * (float)(i % 1000);
    look_around(net, c);
    if (c->local != NET_ANY) {
        signals_to(net, c->local, &c->latency_s[WITHIN], &c->jitter_s[WITHIN]);
        c->bandwidth[WITHIN] = VECTOR_BYTES / copies(net, c, own, vector);
    }
    if (c->remote != NET_ANY) {
        signals_to(net, c->remote, &c->latency_s[BETWEEN], &c->jitter_s[BETWEEN]);
        c->bandwidth[BETWEEN] = VECTOR_BYTES / stream(net, c, 1, vector);
        if (c->pairs > 1)
            c->host_bandwidth = (double)c->pairs * VECTOR_BYTES / stream(net, c, c->pairs, vector);
    }
    measure_memory(net, c, own, vector);
    count_cores(net, c);
    if (c->remote != NET_ANY)
        measure_message_core(net, c, own, vector);
    if (net->rank == 0) {
        report(c, WITHIN, "within a host");
        report(c, BETWEEN, "between hosts");
        if (c->host_bandwidth > 0)
            printf("%d ranks of a host at once: %.2f GB/s\n", c->pairs, 1e-9 * c->host_bandwidth);
        printf("Sums of vectors: %.2f GB/s; weights and state in a step: %.2f; copies: %.2f\n",
               1e-9 * c->vector_bandwidth[PASS_SUM], 1e-9 * c->vector_bandwidth[PASS_STEP],
               1e-9 * c->vector_bandwidth[PASS_COPY]);
        if (c->local_ranks > 2)
            printf("%d ranks of a host at once: sums of %.2f GB/s each; of the variance of their "
                   "times they have %.0f %% in common\n",
                   c->local_ranks - 1, 1e-9 * c->crowded_bandwidth, 100 * c->host_jitter_share);
        write_machine(net, c);
    }
    net_free(net, vector);
    xfree(own);
}

int measure_machine(const char *path)
{
    struct cluster cluster = {.path = path,
                              .cores = core_set_own(),
                              .host_cores = cores_available(),
                              .host_jitter_share = NAN};
    alarm(PATIENCE_S); /* a network on which this takes longer is not one */
    mpi_run(&(struct world_options){.pin = true, .threads = 1}, measure, &cluster);
    return cluster.failed;
}
