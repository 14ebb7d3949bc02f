/* A table of gradients by worker: what each gave, summed, for schemes in which every worker weighs
 * the same however much it gives: malenia, ringleader. W slices of floats. */
#ifndef SCHEME_GRADIENT_TABLE_H
#define SCHEME_GRADIENT_TABLE_H

#include "parameter_server/parameter_server.h"

struct gradient_table {
    struct node *n;
    int64_t floats; /* of the slice */
    float **sum;    /* [workers][slice] */
    int64_t *count; /* [workers]: b_i, mini-batches in it */
};

struct gradient_table gradient_table_open(struct node *n, struct range slice);
void gradient_table_close(struct gradient_table *t);
/* As state of its rank, under that name. */
void gradient_table_keep(struct gradient_table *t, const char *name);
void gradient_table_clear(struct gradient_table *t);

/* Adds the sum of a worker's mini-batches, [slice], in three passes; in two, if it is the first. */
void gradient_table_add(struct gradient_table *t, int worker, const float *sum,
                        int64_t minibatches);

/* How many workers have given something. */
int gradient_table_entries(const struct gradient_table *t);

/* Lists the sums that there are, in worker order, and 1 / (m b_i) for each of these m workers.
 * Returns m. */
int gradient_table_mean(const struct gradient_table *t, const float **source, double *scale);

#endif
