/* What the files of nbssgd share.
 *
 *   nbssgd.c          the worker
 *   nbssgd_server.c   the server
 *   nbssgd_weigh.c    how far an update goes
 *   nbssgd_options.c  what the paper leaves open, as options; the scheme's table
 */
#ifndef SCHEME_NBSSGD_H
#define SCHEME_NBSSGD_H

#include "scheme/scheme.h"

struct nbssgd_options {
    const char *nb_payload, *nb_inflight, *nb_batch, *nb_server, *nb_signal, *nb_weigh;
};

extern const struct option_set nbssgd_option_set;

void nbssgd_work(struct node *n);
void nbssgd_serve(struct node *n);

struct nbssgd_weigh {
    enum { WEIGH_FINISHED, WEIGH_FULL, WEIGH_SAMPLES, WEIGH_CAPPED } by;
    double minibatches; /* of all updates so far */
    int64_t updates;
};

struct nbssgd_weigh nbssgd_weigh_open(const struct nbssgd_options *o);

/* The next update has so many mini-batches, at least 1; with all workers it would have `full`. What
 * is its sum of gradients divided by? */
double nbssgd_divisor(struct nbssgd_weigh *k, double minibatches, double full);

#endif
