/* What the ranks of one process share: made from options before the ranks open. Part of the front
 * door, node/node.h. */
#ifndef NODE_RUN_CONTEXT_H
#define NODE_RUN_CONTEXT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/options.h"
#include "checkpoint/checkpoint.h"
#include "metrics/metrics.h"
#include "node/course.h"
#include "optimizer/optimizer.h"
#include "problem/problem.h"
#include "slowness/slowness.h"

struct node;
struct topology;

struct simulated {                 /* of a simulated run; zeros else */
    const struct machine *machine; /* what --machine describes; NULL: nothing */
    /* seconds of a mini-batch on a rank of speed 1; standard deviation / mean */
    double minibatch_s, jitter;
    /* [hosts] ranks that compute now, less where they sleep; NULL: cores are no limit */
    double *computing;
    /* [hosts] where that is not NULL: by which messages of waiting ranks delayed all */
    double *taken_s;
    /* [ranks], each from its node_open() to its node_close(): rank 0 evaluates in an instant,
     * reading the others' weights where they lie. NULL: ranks evaluate together, by messages */
    struct node **nodes;
    const struct course *course; /* NULL: it is not kept */
    /* the graph of a scheme on a graph, for all ranks; NULL: each opens its own */
    struct topology *topology;
};

struct checkpoint_plan {
    const char *folder; /* of checkpoints; NULL: none is written */
    struct checkpoint_every every;
    int64_t keep;
    uint64_t run;                    /* the same at all ranks, and in no other run */
    const char *facts;               /* rank 0: what the manifest says of the run, as JSON fields */
    const struct checkpoint *resume; /* what this run goes on from; NULL: it begins */
};

/* Read only but for the problem's buffers, and what simulated ranks share. */
struct run_context {
    const struct options *options;
    struct problem *problem;
    struct delay delay;
    struct link_slowness link; /* simulated */
    double delay_block_s;      /* of delays that are keyed by the clock; 0: by attempts */
    struct slowness slowness;
    struct departures departures;
    struct faults *faults; /* simulated; NULL: none */
    struct disk *disk;     /* simulated: that they befall; NULL: the real one */
    struct schedule schedule;
    struct results *results; /* rank 0's, NULL elsewhere */
    double *data_share; /* [workers] rank 0: of all samples, in their shards; NULL: all equal */
    int workers, servers;
    int minibatches, minibatch; /* mini-batches per batch; samples per mini-batch */
    int64_t samples_wanted, evaluate_every;
    int threads; /* for vector work */
    /* of a server's weights: --server-device; NULL: the host's memory */
    const struct device_optimizer_kind *device_optimizer;
    struct simulated;
    struct checkpoint_plan checkpoints; /* in the real world */
    volatile sig_atomic_t *stop_requested;
};

struct run_context_request {
    const struct options *options;
    int ranks, local_rank; /* of the world; this one's number among those of its host */
    int cores;             /* that a rank may use */
    bool serves, trains;   /* what ranks of this process do */
    bool simulated;
    const struct machine *machine;    /* NULL: --machine is not given */
    struct network_listener listener; /* of the problem: while it opens, and evaluates; of ranks
                                         that are not simulated */
    volatile sig_atomic_t *stop_requested;
};

/* Fatal, before a world is opened, on what schedule and optimizer refuse. */
void run_context_check(const struct options *o);

/* Simulated, and no gradient is computed: no data are read. */
bool run_context_times_alone(const struct options *o);

/* Simulated, with --machine: fatal where the file cannot be read, or has not what a run of so many
 * ranks needs: a link, the time of its mini-batch. */
void run_context_check_machine(const struct options *o, int ranks);

/* A line: by which words a machine file names the time of a mini-batch of these options. */
void run_context_print_machine_key(const struct options *o, FILE *to);

/* What these options say of when a run ends. Fatal on what is out of range. */
struct limits run_context_limits(const struct options *o, int64_t training_samples);

/* Simulated: where the machine says how many cores a host has, its ranks will share them. */
void run_context_share_cores(struct run_context *c, int ranks);

/* Fatal on options that do not fit the ranks or the data. Rank 0 adds the results. */
void run_context_open(struct run_context *c, const struct run_context_request *r);
void run_context_close(struct run_context *c);

#endif
