/* Weights in, loss and gradient out: what a scheme minimises.
 *
 * A gradient is a pure function of (w, stream, index): the same for every scheme and every world.
 * Evaluation comes in two rounds, both cut into shards: statistics (batch norm's, re-estimated on
 * training images at these weights, unless --init's are asked for), then loss and hits. So w is all
 * there is to exchange, average and save. The ranks of one process share one problem. */
#ifndef PROBLEM_PROBLEM_H
#define PROBLEM_PROBLEM_H

#include <stdbool.h>
#include <stdint.h>

#include "model/model.h"
#include "base/options.h"
#include "network/network.h"
#include "optimizer/optimizer.h"

struct problem;
struct stream; /* one worker's endless order of mini-batches */

struct problem_kind {
    void (*initialise)(struct problem *p, float *w);
    struct stream *(*stream_open)(struct problem *p, int worker, int workers);
    void (*stream_close)(struct problem *p, struct stream *s);
    double (*stream_wait_s)(const struct stream *s);
    /* Training samples of each class, by_class[p->classes], that the worker draws from. NULL: there
     * are no classes. */
    void (*shard)(const struct problem *p, int worker, int64_t *by_class);
    bool (*gradient)(struct problem *p, struct stream *s, int64_t index, struct weights w, float *g,
                     struct loss *loss, network_hook *hook, void *self);
    double (*step_share)(const struct problem *p, int step);
    /* the hook's `from` after that step */
    int64_t (*final_from)(const struct problem *p, int step);
    /* progress(self) is called after each mini-batch. The sums of all shards, added up, become
     * statistics. */
    void (*statistics)(struct problem *p, struct weights w, int shard, int shards, double *sums,
                       void (*progress)(void *), void *self);
    void (*finish_statistics)(const struct problem *p, const double *sums, float *statistics);
    void (*evaluate)(struct problem *p, struct weights w, const float *statistics, int shard,
                     int shards, struct loss *loss, void (*progress)(void *), void *self);
    /* Test images that are judged once, at the end, where evaluations judge held-out ones: in
     * processes that serve; 0: there are none. NULL: never. */
    int64_t (*last_samples)(const struct problem *p);
    void (*evaluate_last)(struct problem *p, struct weights w, const float *statistics, int shard,
                          int shards, struct loss *loss, void (*progress)(void *), void *self);
    bool (*save)(struct problem *p, const struct weights_target *to, const float *w,
                 const float *statistics);
    /* of memory that a device copies from and to; NULL: no device */
    void (*register_memory)(struct problem *p, void *block, size_t bytes);
    void (*unregister_memory)(struct problem *p, void *block);
    void (*close)(struct problem *p);
};

struct problem {
    const struct problem_kind *kind;
    int64_t count;      /* floats in w */
    int64_t statistics; /* floats beside w that an evaluation needs */
    int64_t statistics_batches;
    int64_t training_samples, test_samples; /* in the training set; judged by an evaluation */
    int classes;                            /* of the samples; 0: they have none */
    int minibatch;                          /* samples */
    int steps;                              /* of a gradient: how often the hook is called */
    struct range *no_decay;                 /* by weight decay */
    int no_decay_count;
    struct range *layers; /* tensors of w, in order; NULL: w is one */
    int layer_count;
    uint64_t data_digest; /* of all images; 0: there are none */
    uint64_t init_digest; /* of --init's weights, where they are served; 0: there are none */
    char source[600];     /* of the data, for the results' header */
    int64_t
        *confusion; /* [classes][classes], [label][said]: evaluations add to it; NULL: they don't */
    const char *const *class_names; /* [classes], borrowed of the data; NULL: they are numbers */
    char judged[60];                /* by which samples an evaluation judges, in words */
    char computes[200];             /* backend, type and threads, in words */
    bool generated;                 /* the data are not real images */
    bool is_device;                 /* a device computes, and goes on while the hook sleeps */
    const struct device_buffer_kind
        *device_buffer; /* of the device; NULL: none computes, or it has none */
    uint64_t last_weights_version;
    void *self;
};

/* What a problem is opened with. `trains`: ranks of this process compute gradients (a server only
 * evaluates); `serves`: ranks of it hold the first weights, so that --init is judged here, before
 * anything begins. */
struct problem_options {
    const struct options *options;
    int minibatch, threads;
    int local_rank; /* number of this rank among those of its host */
    int workers; /* among which the samples are partitioned, which is judged here; 0: when streams
                    are opened */
    /* [workers]; samples per second to any scale, for --partition speed; NULL: all equal; borrowed
     * for the call */
    const double *speeds;
    bool trains, serves;
    bool timing;                      /* simulated, times alone: no gradient is computed */
    struct network_listener listener; /* hears what is opened, then of each unit without a hook */
    int prefetch; /* mini-batches that a thread prepares; 0 where ranks are in one process */
};

extern const char problem_toy[]; /* "quadratic": the --network that is no model */
/* Fatal when --network names neither the toy nor a model. */
void problem_check(const struct options *o);

struct problem *problem_open(const struct problem_options *o); /* fatal on what cannot be */
void problem_close(struct problem *p);
/* a fresh weights_version for weights that have changed */
uint64_t problem_weights_version(struct problem *p);

/* The family of models, ends with NULL; its list is problem/models.c. Fatal when no member has
 * the name. */
extern const struct model_kind *const models[];
const struct model_kind *model_find(const char *name);
void model_names(char *text, size_t size); /* "resnet18|...|lenet5" */
void model_list(FILE *to);                 /* of --help: each member, and the quadratic toy */
/* A member's own options; NULL: it has none, or there is no such member. */
const struct option_set *model_options(const char *name);
/* model_kind.variant's, of --network; "cifar" where there is one only, and for the quadratic */
enum { MODEL_VARIANT = 64 };
void model_variant(const struct options *o, char text[MODEL_VARIANT]);
/* The model of that name, with its own options out of *o. */
void model_build(struct model *m, const struct model_request *request, const struct options *o);

/* Memory (whole pages; the last may be counted in part) that weights and gradients will lie in:
 * copies of it to and from a device then keep nobody waiting. Unregister before it is freed. The
 * signatures are those of struct net. */
void problem_register_memory(void *problem, void *block, size_t bytes);
void problem_unregister_memory(void *problem, void *block);

/* Of all images, training and test, that these options find in files: reads them. */
uint64_t problem_data_digest(const struct options *o);

/* kind->save(), for those who know no problem. */
bool problem_save(void *problem, const char *path, const float *w, const float *statistics);

/* First weights: --init FILE, else a pure function of the seed. */
void problem_initialise(struct problem *p, float *w);

#endif
