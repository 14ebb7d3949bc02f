/* Memory and slow moments of rank 0's host.
 *
 * Memory: a sum, a step and a copy by one rank while the others sleep, as at a server; a sum by all
 * of the host but rank 0 at once, as by workers. All are medians.
 *
 * Jitter: those ranks do the same work at the same times. The logarithms of its times vary by what
 * all have in common in a period, and by what each has alone: an analysis of variance tells the
 * shares. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/simd.h"
#include "base/vector.h"
#include "bench/cluster/ranks.h"

enum { PERIODS = 120 };

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

/* On rank 0: seconds of the pass as at a server. The gradient is another rank's, who has just
 * written it and now sleeps. */
static double pass_of_server(struct net *net, const struct cluster *c, int pass, struct memory v)
{
    struct request *push = NULL;
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

/* That, while all others sleep. */
static double time_pass(struct net *net, const struct cluster *c, int pass, struct memory v,
                        float *vector)
{
    refresh(net, v.to, vector);
    net_barrier(net);
    if (net->rank == c->local)
        give(net, 0, vector);
    double took_s = net->rank == 0 ? pass_of_server(net, c, pass, v) : 0;
    net_barrier(net);
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

void measure_memory(struct net *net, struct cluster *c, float *own, float *vector)
{
    vector_work(net, c, own, vector);
    if (c->local_ranks < 3)
        return;
    c->crowded_bandwidth = 3.0 * VECTOR_BYTES / crowded_sum(net, c, own, vector);
    c->host_jitter_share = jitter_share(net, c, own, vector);
}
