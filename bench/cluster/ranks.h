/* What the parts of the machine file's measuring share: who is where, and short talks. */
#ifndef BENCH_CLUSTER_RANKS_H
#define BENCH_CLUSTER_RANKS_H

#include <stdbool.h>

#include "base/cores.h"
#include "bench/cluster/harness.h"
#include "messaging/messaging.h"

enum { TAG_WORD = 1, TAG_VECTOR, TAG_TIMES, TAG_CORES };
enum { REPEATS = 9 }; /* of which the median counts */
enum { WITHIN, BETWEEN, PLACES };
enum { PASS_SUM, PASS_STEP, PASS_COPY, VECTOR_PASSES }; /* as in slowness/machine.h */

struct cluster {
    const char *path;
    int local, remote;     /* lowest other rank on rank 0's host, and on another; NET_ANY: none */
    int local_ranks;       /* on rank 0's host */
    int pairs;             /* of them with a partner on remote's */
    struct core_set cores; /* that this rank was given, before it was pinned */
    int host_cores;        /* of rank 0's host, that its ranks may use together */
    /* 0: there is nobody to measure with */
    double latency_s[PLACES], jitter_s[PLACES], bandwidth[PLACES];
    double host_bandwidth, vector_bandwidth[VECTOR_PASSES], crowded_bandwidth;
    double message_core_s;    /* a byte between hosts, at each end; 0: nobody to measure with */
    double host_jitter_share; /* NAN: nobody to measure with */
    bool failed;
};

double quantile(double *list, int count, double part); /* sorts the list */
bool same_host(struct net *net, int a, int b);
/* the rank with this number among those on the host of `host_of` */
int member(struct net *net, int host_of, int number);

void tell(struct net *net, int to, double value);
double hear(struct net *net, int from);
/* VECTOR_BYTES; they return when the vector is read, and when it is there */
void give(struct net *net, int to, const void *vector);
void get(struct net *net, int from, void *into);

/* memory.c: rates of passes over memory, and what slow moments have in common. Both vectors have
 * VECTOR floats; `vector` is net_alloc()'s. Rank 0 learns the results. */
void measure_memory(struct net *net, struct cluster *c, float *own, float *vector);

/* message_core.c: the core time of a byte between hosts. After the bandwidth was measured. */
void measure_message_core(struct net *net, struct cluster *c, float *own, float *vector);

#endif
