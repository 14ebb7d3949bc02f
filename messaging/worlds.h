/* The worlds that ranks can live in, and what they are opened with. Part of messaging/messaging.h.
 *
 * A world describes itself in its own folder: mpi/ (a rank is a process) and sim/ (a rank is a
 * coroutine, time is a number). One line each in messaging/worlds.c. */
#ifndef MESSAGING_WORLDS_H
#define MESSAGING_WORLDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "messaging/links.h"

struct journal; /* base/journal.h */
struct net;

/* Each world reads its own part and what is common. */
struct world_options {
    int ranks;   /* sim: how many coroutines; mpi: the launcher says */
    int threads; /* mpi: cores to pin a rank to; 0: its share of the host's */
    bool pin;    /* mpi: give each rank of a host cores of its own, where there are enough */
    bool progress_thread; /* mpi: a thread moves messages between hosts (else net_poll()) */
    double deadline_s;    /* mpi: struct net's; sim: of a disk; 0: none */
    const char *gpu; /* mpi: does the library take memory of a GPU? yes, no, auto (NULL): it says */

    uint64_t seed;             /* sim: of the jitter */
    double latency_s;          /* sim: of every link */
    double jitter_s;           /* sim: a message is late by a random part of this; order is kept */
    double bandwidth;          /* sim: bytes per second of each rank's two ports; 0: no limit */
    const struct links *links; /* sim: instead of these three, if not NULL; borrowed */
    size_t piece;              /* sim: bytes in which a payload leaves as it gets ready; 0: 1 MiB */
    bool lax;                  /* sim: payloads under way are not hashed */
    const struct journal *journal; /* sim: while it forwards they are not, either; NULL: none */
    size_t stack_bytes;            /* sim: of each coroutine; 0: 256 KiB, mapped as it is touched */
};

/* --world mpi's own options. */
struct mpi_options {
    const char *gpu_mpi, *progress;
    bool pin;
};

/* --world sim's own options. */
struct sim_options {
    const char *machine;                              /* a file of slowness/machine.h's */
    double sim_latency, sim_bandwidth, sim_minibatch; /* seconds, bytes per second, seconds */
    const char *link_delay, *link_burst;              /* slowness/link.h */
    const char *faults;                               /* slowness/faults.h */
    bool sim_gradients;     /* no: they are zero, times alone are simulated */
    int64_t sim_model_sums; /* sums among more workers are modelled; 0: none */
};

struct world {
    const char *name;                 /* --world NAME */
    const char *line;                 /* what it is, for --help */
    const struct option_set *options; /* its own */
    bool virtual_time;
    /* Fills in its part of *w by its own options; ranks and threads are the caller's. */
    void (*configure)(struct world_options *w, const struct options *o);
    /* Runs body(net, argument) on every rank and returns when all that run here have returned. */
    void (*run)(const struct world_options *options, void (*body)(struct net *, void *),
                void *argument);
};

extern const struct world world_mpi, world_sim;
extern const struct world *const worlds[]; /* NULL ends them */

const struct world *world_find(const char *name); /* fatal when there is none of that name */
const char *world_names(char *text, size_t size); /* "mpi|sim" */

/* The two run functions by name. */
void mpi_run(const struct world_options *options, void (*body)(struct net *, void *),
             void *argument);
void sim_run(const struct world_options *options, void (*body)(struct net *, void *),
             void *argument);

/* Did a launcher of MPI's start this process? Slurm's variables alone do not say so. */
bool mpi_launched(void);

/* Joins the launcher's world and returns how many ranks it has; mpi_run() does it if nobody did.
 * Fatal when another MPI's launcher started this program: each process would be a world of its
 * own. From here on an exit() with an error ends all ranks, so that a mistake that every rank makes
 * is said once, and one that a single rank makes leaves nobody waiting. */
int mpi_join(void);

/* --- the start of a job: do all of its ranks mean the same run?
 *
 * mpi_started(), then mpi_hand_out(), then mpi_agree() any number of times, by all ranks in that
 * order. Whoever ends in between is heard by rank 0: a rank that fails has its line said by rank 0
 * (fatal(), base/check.h), one that only prints something must not be alone in it. Without a
 * launcher, and for one rank, there is nobody to agree with. */

/* Ranks of this job: joins the launcher's world; 1 without a launcher. */
/* A start that takes longer than patience_s ends the program (EXIT_SILENT). */
int mpi_started(double patience_s);
int mpi_rank(void); /* in the joined world; 0 without one */

/* Rank 0's text reaches all, so that it alone reads files. Elsewhere sets both; to be released. */
void mpi_hand_out(char **text, size_t *bytes);

/* Returns when all ranks hold the same: lines "name TAB value", or "name TAB value TAB remark".
 * Values are compared, of names that both have. Else rank 0 names the first rank that differs, its
 * host, the name and both values, and all end with EXIT_USER. Rank 0 waits `patience_s` for the
 * others: who has not come by then is named, and all end with EXIT_SILENT. */
void mpi_agree(const char *held, double patience_s);

/* The MPI library in words. At any time. */
void mpi_version(char *text, size_t size);

/* Does the library say that it takes memory of a GPU? No before mpi_join(). */
bool mpi_takes_gpu(void);

#endif
