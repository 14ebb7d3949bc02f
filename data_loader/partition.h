/* Whose samples are whose.
 *
 * Invariant: a pure function of (name, seed, workers, labels) and of the named options. N samples
 * are shuffled once by seed, those of a class stay in that order. Workers and positions count
 * from 0; "equal" is to one sample; C classes have samples.
 *   split           worker w has the positions N w / W .. N (w + 1) / W - 1: disjoint, complete,
 *                   equal.
 *   shared          each worker has all samples.
 *   label-unscaled  the classes are shuffled by seed. W <= C: the j-th belongs to worker j mod W,
 *                   whole. W > C: worker w has the
 *                   class w mod C; those of one class cut it equally. Disjoint, complete; only
 *                     then is a class divided.
 *   label           the same, cut to the smallest shard, each class of a worker in proportion:
 *                   disjoint, all of one size.
 *   hetero          W <= C: worker w has the classes C w / W .. C (w + 1) / W - 1, whole. W > C:
 *                   worker w has the class C w / W; those of one class cut it equally. Disjoint,
 *                   complete.
 *   dirichlet       each class is cut in proportions drawn from Dirichlet(alpha, .. alpha) over the
 *                   workers: disjoint, complete
 *                   (Yurochkin et al. 2019, arXiv:1905.12022; Hsu et al. 2019, arXiv:1909.06335,
 *                     draw a worker's classes instead).
 *   speed           shards in proportion to the workers' speeds: disjoint, complete.
 * Proportions become whole numbers by largest remainders: each is met to less than one sample, and
 * the sum exactly. */
#ifndef DATA_LOADER_PARTITION_H
#define DATA_LOADER_PARTITION_H

#include <stdbool.h>
#include <stdint.h>

struct dirichlet_options {
    double dirichlet; /* alpha: small is uneven, large is even */
};

struct partition_options {
    const char *name; /* NULL: split */
    uint64_t seed;
    int workers;
    const void *own; /* the rule's own options (struct dirichlet_options); NULL where it has none;
                        borrowed for the call */
    const double *speeds; /* [workers], of speed; samples per second to any scale, each more than 0;
                             NULL: all equal */
};

struct partition;

/* Deals samples 0 .. count - 1 of these labels, of any number of classes; borrows nothing beyond
 * the call. A name or an alpha that cannot be is fatal. */
struct partition *partition_open(const struct partition_options *options, const int32_t *labels,
                                 int64_t count);
void partition_close(struct partition *p);

/* was it made from these? */
bool partition_is(const struct partition *p, const struct partition_options *options);

/* The worker's samples, borrowed until the partition is closed; possibly none. */
const int32_t *partition_shard(const struct partition *p, int worker, int64_t *count);

/* Fatal when a worker has no sample: says which, why, and what to change. */
void partition_check(const struct partition *p);

#endif
