/* The rules by which samples are dealt: a file beside this header, and a line in this list. */
#ifndef DATA_LOADER_PARTITION_KINDS_H
#define DATA_LOADER_PARTITION_KINDS_H

#include "base/options.h"
#include "data_loader/partition.h"

#define PARTITIONS(X)                                                                              \
    X(split)                                                                                       \
    X(shared)                                                                                      \
    X(label)                                                                                       \
    X(label_unscaled)                                                                              \
    X(hetero)                                                                                      \
    X(dirichlet)                                                                                   \
    X(speed)

enum { KEY_SAMPLES, KEY_CLASSES, KEY_GAMMA }; /* what is drawn under RANDOM_SHARD */

/* What a rule works on: all samples, shuffled; owner[i] is to be the worker that gets list[i]. A
 * rule may reorder the list. */
struct deal {
    const struct partition_options *o;
    const int32_t *labels;
    int classes; /* labels are less */
    int64_t count;
    int32_t *list, *owner;
};

struct partition_kind {
    const char *name;
    const char *summary;              /* one line */
    const char *paper;                /* NULL: there is none */
    const struct option_set *options; /* its own; NULL: none */
    void (*deal)(struct deal *d);     /* NULL: everybody gets everything */
    bool cut;                         /* to the smallest shard */
    const char *remedy; /* for a worker without a sample: why, and what to do; NULL: never so */
};

#define DECLARE_PARTITION(name) extern const struct partition_kind partition_##name;
PARTITIONS(DECLARE_PARTITION)
#undef DECLARE_PARTITION

/* Gives list positions 0 .. count - 1 in n equal pieces to the workers first, first + step, ... */
void deal_equally(int32_t *owner, int64_t count, int n, int first, int step);

/* Gives them to all workers in proportion to weight[workers]. */
void deal_in_proportion(int32_t *owner, int64_t count, const double *weight, int workers);

/* Brings the list into the order of its labels; those of class c begin at first[c], first[classes]
 * is the end. */
void deal_group(struct deal *d, int64_t *first);

#endif
