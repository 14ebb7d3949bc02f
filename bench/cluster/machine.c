/* The file that describes this cluster to the simulator (slowness/machine.h): links and memory as
 * nbsgd's own messages meet them.
 *
 * Latency: half of a head there and back between two ranks that sleep meanwhile, as ranks do in
 * training; jitter is chosen so that the simulator's mean is the median here. Between hosts: a
 * borrowed vector from rank to rank, then from all ranks of a host at once. Within one: a vector
 * that all ranks of the host copy at once, as after a synchronous update. Memory: a sum, a step and
 * a copy by one rank while the others sleep, as at a server; a sum by all of the host but rank 0,
 * as by workers. All are medians; clocks of two ranks are never compared.
 *
 * Jitter: those ranks do the same work at the same times. The logarithms of its times vary by what
 * all have in common in a period and by what each has alone: an analysis of variance tells the
 * shares. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/simd.h"
#include "base/vector.h"
#include "bench/cluster/harness.h"
#include "messaging/messaging.h"

enum { SIGNALS = 300, REPEATS = 9, PERIODS = 120, PATIENCE_S = 300 };
enum { TAG_WORD = 1, TAG_VECTOR, TAG_TIMES };
enum { WITHIN, BETWEEN, PLACES };
enum { PASS_SUM, PASS_STEP, PASS_COPY, VECTOR_PASSES }; /* as in slowness/machine.h */

static const double pause_s = 2e-3; /* longer than anybody spins */

struct cluster {
    const char *path;
    int local, remote, local_ranks,
        pairs; /* lowest other rank on rank 0's host, on another; ranks on
                                          rank 0's host; of them with a partner on remote's */
    /* 0: there is nobody to measure with */
    double latency_s[PLACES], jitter_s[PLACES], bandwidth[PLACES];
    double host_bandwidth, vector_bandwidth[VECTOR_PASSES], crowded_bandwidth;
    double host_jitter_share; /* NAN: nobody to measure with */
    bool failed;
};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *list, int count, double part)
{
    qsort(list, (size_t)count, sizeof *list, by_size);
    return list[(int)(part * count)];
}

static void tell(struct net *net, int to, double value)
{
    struct header header = {.tag = TAG_WORD};
    header_pack(&header, value);
    net_send(net, to, &header, NULL, 0);
}

static double hear(struct net *net, int from)
{
    struct request *come = net_recv(net, from, TAG_WORD, NULL, 0);
    net_wait(net, &come, 1, INFINITY);
    double value;
    header_unpack(net_header(come), value);
    net_release(net, come);
    return value;
}

static void give(struct net *net, int to, const void *vector)
{
    struct request *sent =
        net_send(net, to, &(struct header){.tag = TAG_VECTOR}, vector, VECTOR_BYTES);
    net_wait(net, &sent, 1, INFINITY);
    net_release(net, sent);
}

static void get(struct net *net, int from, void *into)
{
    struct request *come = net_recv(net, from, TAG_VECTOR, into, VECTOR_BYTES);
    net_wait(net, &come, 1, INFINITY);
    net_release(net, come);
}

static bool same_host(struct net *net, int a, int b)
{
    return !strcmp(net_host(net, a), net_host(net, b));
}

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

/* The rank with this number among those on the host of `host_of`. */
static int member(struct net *net, int host_of, int number)
{
    for (int r = 0; r < net->ranks; r++)
        if (same_host(net, r, host_of) && number-- == 0)
            return r;
    return NET_ANY;
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

SIMD_LOOP momentum_loop(float *restrict w, float *restrict m, const float *restrict g,
                        int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        m[i] = 0.9f * m[i] + g[i];
        w[i] -= 1e-6f * m[i];
    }
}

SIMD(momentum, (float *w, float *m, const float *g, int64_t count), (w, m, g, count))

struct memory {
    float *to, *state;
    const float *from;
    int threads;
};

static void do_work(const struct memory *v, int pass)
{
    if (pass == PASS_SUM)
        vector_add(v->to, v->from, VECTOR, v->threads);
    else if (pass == PASS_COPY)
        vector_copy(v->to, v->from, VECTOR, v->threads);
    else
        EACH_RANGE(
            VECTOR, v->threads,
            momentum(v->to + at.from, v->state + at.from, v->from + at.from, at.to - at.from));
}

/* Is this rank one of those that work at once? All of rank 0's host but itself. */
static bool in_crowd(struct net *net)
{
    return net->rank > 0 && same_host(net, net->rank, 0);
}

/* What workers do between two updates: their vectors are new, and the caches full of other
 * things. */
static void refresh(struct net *net, float *own, float *vector)
{
    if (!in_crowd(net))
        return;
    vector_copy(own, vector, VECTOR, net->cores);
    vector_copy(vector, own, VECTOR, net->cores);
}

/* Seconds of the pass on rank 0, as at a server: the gradient is another rank's, who has just
 * written it and now sleeps. */
static double time_pass(struct net *net, const struct cluster *c, int pass, struct memory v,
                        float *vector)
{
    struct request *push = NULL;
    refresh(net, v.to, vector);
    net_barrier(net);
    if (net->rank == c->local)
        give(net, 0, vector);
    if (net->rank != 0)
        return 0;
    if (c->local != NET_ANY) {
        push = net_recv(net, c->local, TAG_VECTOR, NULL, 0);
        net_wait(net, &push, 1, INFINITY);
        v.from = net_data(push);
    }
    double began_s = net_now(net);
    do_work(&v, pass);
    double took_s = net_now(net) - began_s;
    net_release(net, push);
    return took_s;
}

/* On rank 0: bytes per second of each kind of pass. A sum reads two vectors and writes one. A step
 * reads a gradient as a sum does, and reads and writes the weights and a state. */
static void vector_work(struct net *net, struct cluster *c, float *to, float *vector)
{
    const double bytes = VECTOR_BYTES;
    struct memory v = {to, NULL, vector, net->cores};
    double took[VECTOR_PASSES][REPEATS], s[VECTOR_PASSES];
    if (net->rank == 0)
        v.state = xcalloc(VECTOR, sizeof *v.state);
    for (int turn = -1; turn < REPEATS; turn++)
        for (int pass = 0; pass < VECTOR_PASSES; pass++)
            took[pass][turn < 0 ? 0 : turn] = time_pass(net, c, pass, v, vector);
    for (int pass = 0; pass < VECTOR_PASSES; pass++)
        s[pass] = quantile(took[pass], REPEATS, 0.5);
    double gradient_s = s[PASS_SUM] / 3, state_s = s[PASS_STEP] - gradient_s;
    c->vector_bandwidth[PASS_SUM] = 3 * bytes / s[PASS_SUM];
    c->vector_bandwidth[PASS_STEP] = 4 * bytes / state_s;
    if (state_s < s[PASS_STEP] / 2) /* noise */
        c->vector_bandwidth[PASS_STEP] = 5 * bytes / s[PASS_STEP];
    c->vector_bandwidth[PASS_COPY] = 2 * bytes / s[PASS_COPY];
    xfree(v.state);
    net_barrier(net);
}

/* All of the crowd sum at once: rank 0 learns the mean of their times. */
static double crowded_sum(struct net *net, const struct cluster *c, float *to, const float *from)
{
    double took[REPEATS] = {0};
    for (int turn = -1; turn < REPEATS; turn++) {
        double sum_s = 0;
        net_barrier(net);
        if (in_crowd(net)) {
            double began_s = net_now(net);
            vector_add(to, from, VECTOR, net->cores);
            tell(net, 0, net_now(net) - began_s);
        }
        for (int i = 1; i < c->local_ranks && net->rank == 0; i++)
            sum_s += hear(net, member(net, 0, i));
        took[turn < 0 ? 0 : turn] = sum_s / (c->local_ranks - 1);
    }
    net_barrier(net);
    return quantile(took, REPEATS, 0.5);
}

/* Some 15 ms, most of it out of the caches. */
static void fixed_work(float *to, const float *from)
{
    enum { NEAR = 1 << 17, FAR = 1 << 22, ROUNDS = 400 };
    for (int round = 0; round < ROUNDS; round++)
        vector_add(to, from, NEAR, 1);
    vector_add(to + NEAR, from + NEAR, FAR, 1);
}

/* x: [ranks][PERIODS] logarithms of times, each rank's with mean 0. */
static double common_share(const double *x, int ranks)
{
    double between = 0, within = 0;
    for (int t = 0; t < PERIODS; t++) {
        double mean = 0;
        for (int r = 0; r < ranks; r++)
            mean += x[r * PERIODS + t] / ranks;
        for (int r = 0; r < ranks; r++)
            within += pow(x[r * PERIODS + t] - mean, 2);
        between += ranks * mean * mean;
    }
    between /= PERIODS - 1;
    within /= (PERIODS - 1.0) * (ranks - 1);
    double common = fmax((between - within) / ranks, 0);
    return common + within > 0 ? common / (common + within) : 0;
}

static void take_times(struct net *net, int from, double *x)
{
    struct request *come = net_recv(net, from, TAG_TIMES, x, PERIODS * sizeof *x);
    double mean = 0;
    net_wait(net, &come, 1, INFINITY);
    net_release(net, come);
    for (int t = 0; t < PERIODS; t++)
        mean += log(x[t]) / PERIODS;
    for (int t = 0; t < PERIODS; t++)
        x[t] = log(x[t]) - mean;
}

/* Rank 0 learns which share of the variance of the crowd's times they have in common. */
static double jitter_share(struct net *net, const struct cluster *c, float *to, const float *from)
{
    double *times = net_alloc(net, PERIODS * sizeof *times), share = NAN;
    int ranks = c->local_ranks - 1;
    for (int period = 0; period < PERIODS; period++) {
        net_barrier(net);
        double began_s = net_now(net);
        if (in_crowd(net))
            fixed_work(to, from);
        times[period] = net_now(net) - began_s;
    }
    if (in_crowd(net)) {
        struct request *sent =
            net_send(net, 0, &(struct header){.tag = TAG_TIMES}, times, PERIODS * sizeof *times);
        net_wait(net, &sent, 1, INFINITY);
        net_release(net, sent);
    } else if (net->rank == 0) {
        double *all = xcalloc((size_t)ranks * PERIODS, sizeof *all);
        for (int i = 0; i < ranks; i++)
            take_times(net, member(net, 0, i + 1), all + (size_t)i * PERIODS);
        share = common_share(all, ranks);
        xfree(all);
    }
    net_barrier(net);
    net_free(net, times);
    return share;
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
        fprintf(to, "ranks_per_host = %d\n", c->local_ranks);
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
    vector_work(net, c, own, vector);
    if (c->local_ranks > 2) {
        c->crowded_bandwidth = 3.0 * VECTOR_BYTES / crowded_sum(net, c, own, vector);
        c->host_jitter_share = jitter_share(net, c, own, vector);
    }
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
    struct cluster cluster = {.path = path, .host_jitter_share = NAN};
    alarm(PATIENCE_S); /* a network on which this takes longer is not one */
    mpi_run(&(struct world_options){.pin = true, .threads = 1}, measure, &cluster);
    return cluster.failed;
}
