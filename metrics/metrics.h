/* Counters of every second and every gradient, and the files that a run leaves.
 *
 * Each rank has a struct counters; at the end rank 0 has all of them. Rank 0 alone writes. A full
 * disk is said once and training goes on to its end; the files that miss something are named then.
 * Rows are flushed as they come: what was learned before a crash is on the disk. */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json_writer.h"
#include "metrics/claim.h"
#include "metrics/run_folder.h"
#include "metrics/trace.h"
#include "slowness/slowness.h"

enum { HISTOGRAM = 64 };

/* Counts of 0, 1, .. HISTOGRAM - 2, and of all from HISTOGRAM - 1 up. */
struct histogram {
    int64_t bin[HISTOGRAM];
    int64_t count;
    double sum;
    int64_t positive; /* values above 0 */
    double inverses;  /* the sum of 1 / value over them */
};

void histogram_add(struct histogram *h, int64_t value);
double histogram_mean(const struct histogram *h); /* 0 when empty */
/* of the values above 0; 0 when there are none */
double histogram_harmonic_mean(const struct histogram *h);

/* Mean and deviation of a series; its first value warms up, and is left out. */
struct moments {
    int64_t count; /* the first included */
    double sum, squares;
};

void moments_add(struct moments *m, double value);
double moments_deviation(const struct moments *m); /* standard deviation; 0 before there are two */
double moments_mean(const struct moments *m);      /* NAN before there are two */

/* messages of this rank, as its world counts them */
struct traffic {
    int64_t sent_bytes, received_bytes, sent_messages, received_messages;
};

struct signal_counters {
    int64_t heard, late, sent; /* late: of a version gone by; sent: one to everybody is one */
    double latency_s, worst_s; /* from sent to heard, of the training clock: sum, greatest */
};

/* What one rank did. Seconds are of the training clock, but for eval_s.
 *
 * compute_s, delay_s, update_s, transfer_s, wait_s and other_s add to clock_s: each second is in
 * one of them. Evaluations stop the clock. A worker's ends when it departs: what it computes
 * between the last update and then is dropped, and it may wait. A share of the workers' time is the
 * sum of one over the workers / the sum of their clock_s.
 *
 * A rank that is blocked waits, until what it waits for was sent; then it is on its way, and that
 * is transfer. While a vector that it has sent itself is on its way, blocked time is transfer, too.
 * Both worlds mean the same: the sender's time of sending comes with each message. A header that it
 * has sent says nothing, so its way there is waiting. So is all of a sum by a library (--allreduce
 * vendor, nccl), which does not say when the others began. */
struct counters {
    double compute_s;  /* gradients; that of a slow rank is all its computing */
    double delay_s;    /* injected, whatever becomes of the mini-batch */
    double wait_s;     /* blocked, and nothing is on its way */
    double transfer_s; /* blocked else; copying what came, packing, summing among workers */
    double update_s;   /* summing and stepping; workers: all vector work of their own */
    double other_s;    /* what remains; on the virtual clock 0 */
    double clock_s;    /* of the training clock when this rank's training ended: all of them */
    double eval_s;
    double loader_s;            /* part of compute: waiting for the loader */
    double aborted_s;           /* part of compute: on mini-batches that were dropped under way */
    double dropped_s;           /* part of compute: on finished ones that no update has used */
    struct moments minibatch_s; /* computing of finished mini-batches */
    struct traffic traffic;
    int64_t uncompressed_bytes;   /* that the vectors it sent have as float32 */
    int64_t compressed_bytes;     /* that they had as messages */
    int64_t samples, minibatches; /* used */
    int64_t aborted_minibatches;  /* dropped under way, and begun again */
    /* came too late, or when training was over: as servers saw it, or the worker */
    int64_t dropped_samples, dropped_minibatches;
    int64_t updates;
    struct signal_counters signals;
    struct histogram staleness; /* of each push's stalest gradient, in updates */
    struct histogram minibatches_per_update;
    struct histogram contributions; /* pushes with a gradient, per update */
};

struct evaluation { /* one evaluation */
    double seconds; /* of the training clock */
    int64_t samples, updates;
    double loss, top1, top5; /* nats; percent */
    double training_loss;    /* mean over the mini-batches since the last evaluation */
    double epoch;
    double weight_norm; /* Euclidean, of the weights that were judged */
};

/* Seconds of the training clock, linear between the evaluation before and the one that is at or
 * above the threshold; NAN: never. */
struct time_to_accuracy {
    double first_s;     /* the first crossing */
    double confirmed_s; /* the first that the next evaluation of other weights confirms */
};

struct time_to_accuracy time_to_accuracy(const struct evaluation *list, int count,
                                         double threshold);

enum rows_file {
    ROWS_EVALUATIONS,
    ROWS_EVENTS,
    ROWS_CANDIDATES,
    ROWS_WORKERS,
    ROWS_LOSSES,
    ROWS_FILES
};

/* How far the files of rows were when a checkpoint was made, and where they were. */
struct results_place {
    const char *folder;
    int64_t bytes[ROWS_FILES];
};

struct results_options {
    const char *folder; /* it is there, and claimed */
    bool has_earlier;   /* what it holds is an earlier run's: its closing files are removed */
    const char *saved;  /* claim_saved()'s */
    const struct results_place *resume; /* rows go on from there; NULL: they begin */
    /* The run is gone through again up to there. Until results_arrived() evaluations are listed,
     * and nothing is printed, written or removed. What `resume` points at must stay until then. */
    bool forwards;
    const char *head;        /* "# name: value" lines that every CSV begins with */
    const char *config;      /* text of config.ini */
    const char *thresholds;  /* "30,40": top-1 in percent */
    const char *tensorboard; /* of event files: a folder, "yes": the folder's tensorboard/; NULL */
    double report_s;         /* between two lines of progress where they are lines */
    bool live;               /* one line, written over */
    bool quiet;              /* no progress */
    struct disk *disk;       /* NULL: the real one */
};

struct results; /* all that takes one does nothing with NULL */

/* Fatal on a list of thresholds that is none. */
void results_check(const char *thresholds);

struct results *results_open(const struct results_options *o);
void results_arrived(struct results *r);            /* results_options.forwards ends */
const char *results_saved(const struct results *r); /* results_options.saved */
void results_path(const struct results *r, const char *name, char *path, size_t size);
/* a row of eval.csv, and a line of progress */
void results_evaluation(struct results *r, const struct evaluation *s);
/* a row of candidates.csv: `of` names the weights, which were judged beside the primary */
void results_candidate(struct results *r, const char *of, const struct evaluation *e);

/* How far the weights of workers that have their own are from each other, and how good each is. */
struct workers_result {
    double seconds; /* of the training clock */
    int64_t samples, updates;
    double distance, farthest; /* from the workers' mean: root mean square, greatest */
    double pairwise;           /* distance of two workers: root mean square over all pairs */
    double norm;               /* of the mean: what distances are divided by for a relative error */
    double best_top1, worst_top1, mean_top1; /* of each worker's own; NAN: they were not judged */
};

void results_workers(struct results *r, const struct workers_result *w); /* a row of workers.csv */

/* Each worker's part of the updates between the evaluation before and this one. */
struct worker_losses {
    double seconds; /* of the training clock */
    int64_t samples, updates;
    int ranks, workers;  /* the last ranks are the workers; one rank alone is all of them */
    const int64_t *used; /* [workers]; samples */
    const double *loss;  /* [workers]; summed over those */
};

/* Rows of worker_losses.csv: one of each worker of which samples were used. Borrows for the call.
 */
void results_worker_losses(struct results *r, const struct worker_losses *l);

double results_best(const struct results *r); /* greatest top-1 so far, 0 before the first */

/* For checkpoints: how far the files are, on the disk, all evaluations so far; and these again. */
void results_place(const struct results *r, struct results_place *place);
const struct evaluation *results_evaluations(const struct results *r, int *count);
void results_restore(struct results *r, const struct evaluation *list, int count);

/* Something else of this run could not be written, which was said: it is named at the end. */
void results_unwritten(struct results *r, const char *name);
/* "eval.csv, w.safetensors"; NULL: all was written so far. */
const char *results_unwritten_names(const struct results *r);

/* One line of events.jsonl: {"event": name, "seconds": seconds, <fields>}. */
void results_event(struct results *r, const char *name, double seconds,
                   const struct json_field *fields);

struct progress {
    double seconds;
    int64_t version, samples, samples_wanted;
    double done;      /* part of the run, 0 .. 1 */
    double loss;      /* of the last update's mini-batches */
    double staleness; /* mean so far */
    double lr;
};

/* call at every update; prints when it is time */
void results_progress(struct results *r, const struct progress *p);

/* Which classes each worker draws from. The last ranks are the workers; one rank alone is all of
 * them. */
struct partition_result {
    int ranks, workers, classes;
    const int64_t *samples;         /* [workers][classes] of the training set */
    const char *const *class_names; /* [classes]; NULL: they are numbers */
};

/* Writes partition.csv, and says in a line how unlike the shards are. Borrows for the call. */
void results_partition(struct results *r, const struct partition_result *p);

/* What an evaluation said of the images of each class. */
struct confusion {
    int classes;
    double seconds;                 /* of the training clock */
    const int64_t *counts;          /* [classes][classes], [label][said] */
    const char *const *class_names; /* [classes]; NULL: they are numbers */
};

/* Writes confusion.csv, in place of the last evaluation's. Borrows for the call. */
void results_confusion(struct results *r, const struct confusion *c);

struct run_summary {
    const char *scheme, *world, *network, *data, *computes,
        *evaluated,         /* "test" or "val": which images evaluations judged */
        *status;            /* status: "finished", "nan", "silent rank 3", ... */
    struct evaluation test; /* where held-out ones were judged: loss, top1, top5 of test images at
                               the end; NAN: nothing judged them */
    const char *divergence; /* "nan", "diverging", "at_chance"; NULL: nothing went wrong */
    double least_use; /* of a worker: its share of the used samples / of the data; NAN: none */
    bool starved;     /* that was found too small while it trained */
    int workers, servers;
    uint64_t seed;
    double seconds; /* of the training clock */
    int64_t samples, updates;
    int ranks;
    const struct slowness *slowness; /* what --slow says */
    const struct counters *counters; /* [ranks], rank 0 first */
    const char *const *host;         /* [ranks] */
};

/* How many times as long as those of the workers that --slow does not name this rank's mini-batches
 * took, what --slow slept included. It is below the factor that was asked for where ranks share
 * cores: who sleeps leaves them to the others. NAN: a server, or too few mini-batches. */
double summary_slowness_met(const struct run_summary *s, int rank);

/* Brings the rows to the disk, writes ranks.csv, histograms.csv and summary.json, prints the table
 * at the end, and what could not be written: false then. results_close() only closes. */
bool results_finish(struct results *r, const struct run_summary *s);
void results_close(struct results *r);

#endif
