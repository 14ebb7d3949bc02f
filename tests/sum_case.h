/* Sums among workers as a test case, the same on the simulated network and on real processes: rank
 * 0 watches, evaluates in between and compares what the workers found, who check each sum against
 * one that they make themselves. */
#ifndef TESTS_SUM_CASE_H
#define TESTS_SUM_CASE_H

#include "collective/collective.h"

struct sum_cost {                     /* of a worker's last sum */
    int64_t bytes, messages;          /* sent */
    int64_t uncompressed, compressed; /* counted */
};

struct sum_case {
    const char *method; /* --allreduce */
    const char *chosen; /* the method that this must come to; NULL: the same */
    int servers;
    int64_t count;     /* floats */
    int rounds;        /* sums, each of other vectors and with another scale */
    const char *codec; /* NULL: floats travel as they are */
    double part;       /* --compress-ratio; 0: the preset */
    double precision;  /* of a codec: a float of at most 1 may be off by this when it is unpacked */
    int zeros;  /* the last rounds sum zeros, all with one scale: by then error feedback must have
                  brought all that was given; 0: not asked for */
    bool exact; /* the bits of vector_sum() in worker order, else to rounding */
    double delay_s; /* before each sum a worker sleeps up to that long, keyed by worker and round */
    double deadline_s;
    int stops;             /* this worker stops (SIGSTOP) in the last round; -1: none */
    struct sum_cost *cost; /* filled by each worker; NULL: not asked for */
    const struct device_buffer_kind *
        device_buffer; /* of the GPU on which workers are to be thought to compute; NULL: on none */
};

/* On every rank; returns how many things were wrong (rank 0: on all ranks together), each told on
 * stderr. */
int sum_case_run(struct net *net, const struct sum_case *k);

#endif
