/* What the files of nbssgd share.
 *
 *   nbssgd.c           the worker
 *   nbssgd_exchange.c  what it sends and gets
 *   nbssgd_server.c    the server
 *   nbssgd_weigh.c     how far an update goes
 *   nbssgd_options.c   what the paper leaves open, as options; the scheme's table
 */
#ifndef SCHEME_NBSSGD_H
#define SCHEME_NBSSGD_H

#include "parameter_server/parameter_server.h"
#include "scheme/scheme.h"
#include "signals/signals.h"

struct nbssgd_options {
    const char *nb_payload, *nb_inflight, *nb_batch, *nb_server, *nb_signal, *nb_weigh;
    double nb_drop_late; /* seconds; 0: nobody is late */
};

extern const struct option_set nbssgd_option_set;

void nbssgd_work(struct node *n);
void nbssgd_serve(struct node *n);

/* --- nbssgd_exchange.c --- */

struct nbssgd_worker {
    struct node *n;
    struct ps_client *ps;
    struct signals signals;
    int64_t position;        /* mini-batches of its own batch that are done */
    int64_t steps;           /* weights: local steps of this version */
    struct optimizer *local; /* weights: what takes them */
    float *spare;            /* carry: where the next weights land under a mini-batch */
    float *start;            /* weights, racing: as they came; then the way that they went */
    const float *into;       /* where the next weights land */
    bool under_way, landed;  /* carry: an exchange is; its weights lie in spare */
    bool dropped;            /* the last push was; nbssgd_take_back() is due */
    /* early: nothing can come between its batch's last mini-batch and the push */
    bool racing, reset, finishes, early;
};

struct nbssgd_worker nbssgd_open(struct node *n);
void nbssgd_close(struct nbssgd_worker *k);

void nbssgd_pull(struct nbssgd_worker *k, float *into);
/* Pushes what is finished and asks for the next weights. */
void nbssgd_exchange(struct nbssgd_worker *k, float *into);
/* Waits for them, if they have not come yet: a new version begins. */
void nbssgd_land(struct nbssgd_worker *k);
/* Between two mini-batches: if the last push was dropped, its samples are to be done again, and
 * what was finished since. */
void nbssgd_take_back(struct nbssgd_worker *k);

/* --- nbssgd_weigh.c --- */

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
