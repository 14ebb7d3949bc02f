/* The options that every run has, whatever its scheme: struct options, and the rows that fill it.
 *
 * Fields are reached as o->lr: the groups are anonymous members (-fms-extensions), one for each
 * heading of --help. What belongs to one scheme, codec, .. is in that member's file. */
#ifndef BASE_COMMON_OPTIONS_H
#define BASE_COMMON_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct option_set;
struct option_store;

struct training_options {
    const char *scheme, *network;
    double label_smoothing;
    int64_t seed;
    int64_t batch, minibatches; /* samples a batch; mini-batches a batch */
    double epochs;
    int64_t samples;
    double seconds;
    int64_t updates;
    double target; /* percent */
};

struct data_options {
    const char *data, *dataset;
    int64_t train_samples;
    double val_split;
    int64_t val_fold; /* which of the 1 / val_split parts */
    const char *evaluate;
    bool augment;
    const char *partition;
    int64_t prefetch;
};

struct rate_options {
    const char *optimizer;
    double lr, weight_decay;
    bool decay_norms;
    double clip; /* greatest norm of a step's gradient */
    const char *schedule;
    double warmup;
};

struct rank_options {
    const char *world;
    int64_t workers, servers;
    const char *server_device;
    const char *compress;
    const char *allreduce;
    const char *backend, *dtype;
    int64_t threads;
    bool early_push;
    double deadline, stop_within;
    const char *kernel_cache;
};

struct slow_options {
    const char *slow, *delay, *delay_key, *depart;
    double delay_block;
};

struct result_options {
    const char *results;
    bool overwrite;
    int64_t eval_every;
    double eval_seconds;
    int64_t eval_samples, norm_samples, eval_batches;
    const char *thresholds, *record, *replay;
    bool per_class, trace;
    const char *tensorboard;
    int64_t trace_events;
    int64_t chance_samples;
    const char *init, *save;
    double ema;
    double report_every;
};

struct checkpoint_options {
    const char *checkpoint_every, *checkpoint_dir;
    int64_t checkpoint_keep;
    const char *resume;
};

struct action_options {
    bool check_options, print_network, print_options, print_schemes, print_machine_key;
};

struct options {
    struct training_options;
    struct data_options;
    struct rate_options;
    struct rank_options;
    struct slow_options;
    struct result_options;
    struct checkpoint_options;
    struct action_options;
    struct option_store *store; /* base/options.c's */
};

extern const struct option_set training_option_set, data_option_set, rate_option_set,
    rank_option_set, slow_option_set, result_option_set, checkpoint_option_set, action_option_set;

extern const struct option_set *const common_option_sets[]; /* all of these; NULL at the end */

#endif
