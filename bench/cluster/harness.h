/* What the parts of the cluster's check share: the ranks, a clock that watches, data that shows
 * whether it came whole, findings. */
#ifndef BENCH_CLUSTER_HARNESS_H
#define BENCH_CLUSTER_HARNESS_H

#include <mpi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cores.h"

enum {
    VECTOR = 23520842, /* floats of ResNet-50 for ten classes: 94 MB */
    VECTOR_BYTES = VECTOR * 4,
    FINDINGS = 32,
};

enum grade { GOOD, NOTE, BAD, FAIL };

struct finding {
    enum grade grade;
    char text[400];
};

struct place { /* where a rank runs */
    char host[64];
    struct core_set cores;
    int threads, online;
};

struct pair { /* two ranks that measure between them */
    int a, b;
    const char *where;
    bool within;
};

struct watch { /* ends the program when a stage takes too long */
    const char *_Atomic stage;
    _Atomic double until;
    _Atomic bool over;
    double deadline_s;
    pthread_t thread;
};

struct harness {
    int rank, ranks, hosts, pairs, level, pretend;
    struct place *place; /* [ranks] */
    int *first;          /* [hosts]: the lowest rank there */
    int *host;           /* [ranks]: index of its host */
    struct pair pair[2];
    void *block; /* VECTOR_BYTES */
    bool wrong;  /* this rank received wrong data in this stage */
    volatile double sink;
    struct finding finding[FINDINGS]; /* on rank 0 */
    int findings;
    struct watch watch;
};

/* Keeps a finding for the verdict (rank 0; elsewhere nothing happens). print() prints on rank 0
 * alone. */
void find(struct harness *harness, enum grade grade, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void print(const struct harness *harness, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* From here on the watch counts for this stage: a rank that is in it longer than the deadline ends
 * the program. */
void stage(struct harness *harness, const char *name);
void watch_start(struct harness *harness, double deadline_s);
void watch_end(struct harness *harness);

void quiet_barrier(MPI_Comm comm); /* a barrier whose waiters sleep */

/* What `root` measured goes to all; who has nothing to do meanwhile sleeps here. */
void share(int root, double *values, int count);

void compute(struct harness *harness, double seconds); /* keeps a core busy */

/* Bytes of harness->block that tell whether they came whole: fill() writes those of the seed,
 * check() compares. */
void fill(struct harness *harness, uint32_t seed, size_t bytes);
void check(struct harness *harness, uint32_t seed, size_t bytes);
/* v[i] = factor (i & 255) + addend */
void check_floats(struct harness *harness, const float *v, float factor, float addend);

/* All ranks: wrong data at any of them since the last judgement is a failure of `what`. */
void judge_data(struct harness *harness, const char *what);

/* The measurements; all ranks call them together. messages.c: */
void point_to_point(struct harness *harness, const struct pair *p);
void each_host(struct harness *harness);
void all_reduce(struct harness *harness);
void one_sided(struct harness *harness, const struct pair *p);
/* computing.c: */
void progress(struct harness *harness, const struct pair *p);
void signals(struct harness *harness);

/* slowness/machine.c: measures with nbsgd's own messages, without the rest, and writes the machine
 * file; returns the exit code. */
int measure_machine(const char *path);

#endif
