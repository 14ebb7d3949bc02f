/* One rank as a scheme sees it: weights, gradients, a clock, and everything that cuts across
 * schemes.
 *
 * Behind these calls lie batches, stragglers, the schedule, evaluation and the accounts. The
 * training clock stands while ranks evaluate: rank 0 calls a pause, every rank hears it wherever it
 * waits or computes (between two units of the network), all evaluate a share, and go on where they
 * were. A scheme never sees it. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "slowness/slowness.h"
#include "messaging/messaging.h"
#include "metrics/metrics.h"
#include "optimizer/optimizer.h"
#include "problem/problem.h"

/* Tags of messages. */
enum {
    TAG_PUSH = 1,
    TAG_PARAMS,
    TAG_SIGNAL,
    TAG_DEPART,
    TAG_FAREWELL,
    TAG_PAUSE,
    TAG_SLICE,
    TAG_PARTIAL,
    TAG_STATISTICS,
    TAG_EVALUATION,
    TAG_RESUME,
    TAG_COUNTERS,
    TAG_STOP,
    TAG_SHOW,
    TAG_REPLAY,
    TAG_REDUCE, /* collective/collective.h */
    TAG_GATHER
};

/* What the ranks of one process share; read only but for the problem's buffers. */
struct run_context {
    const struct options *options;
    struct problem *problem;
    struct delay delay;
    struct slowness slowness;
    struct departures departures;
    struct schedule schedule;
    struct results *results; /* rank 0's, NULL elsewhere */
    int workers, servers;
    int minibatches, minibatch; /* mini-batches a batch; samples a mini-batch */
    int64_t samples_wanted, evaluate_every;
    int threads; /* for vector work */
    const struct holder_kind
        *holder; /* of a server's weights: --server-device; NULL: the host's memory */
    const struct machine *machine; /* simulated: what --machine describes; NULL: nothing */
    /* simulated: that one takes a rank of speed 1; standard deviation / mean */
    double minibatch_s, scatter;
    volatile sig_atomic_t *stop_requested;
};

enum ending { END_BY_LIMITS, END_LATER, END_WITH_NEXT };

struct node {
    struct net *net;
    const struct run_context *context;
    int rank, worker; /* worker: 0, 1, ..; -1 on a server */
    int64_t count;    /* floats in w, g and sum, each in memory that can be sent */
    float *w, *g, *sum;
    int64_t version;          /* of w */
    uint64_t weights_version; /* names w's contents for the backend: node_weights_changed() */
    double lr;                /* worker: learning rate, as the server gave it with the weights */
    int64_t clock;            /* the scheme's own count, sent with each push and each answer */
    int64_t heard; /* worker: the servers' least clock, as it came with the last answers */
    struct stream *stream;
    int64_t next; /* the mini-batch of the stream that comes next */

    int64_t finished;  /* mini-batches whose gradients are in sum */
    int64_t staleness; /* versions that the stalest of them lags behind (a carried mini-batch) */
    int64_t aborted;   /* and that were dropped, since node_clear() */
    double loss;       /* of the finished ones, summed over samples */
    /* signal_s: how long the signal of this version took from sent to heard */
    double aborted_s, signal_s;

    enum ending ending; /* rank 0: when is training over? As the limits say; a replay's record: not
                           yet, or with the next update */
    bool races; /* a server's scheme: each counts its versions for itself, a pause waits for none of
                   them */
    int64_t samples; /* server: used by all workers so far */
    bool stop;       /* training is over */
    int status;      /* exit code of the run: 0, EXIT_NAN, EXIT_STOPPED */
    struct counters counters;
    struct node_private *own; /* node/node.c's */
};

/* Opens this rank with its weights unset (a server's are the problem's first ones). `servers` ranks
 * serve, the rest work; a world of one rank both serves and works. Collective: ends in a barrier,
 * where the training clock starts. */
struct node *node_open(struct net *net, const struct run_context *context);

/* Collective: accounts go to rank 0, which writes the results and the last weights. */
void node_close(struct node *n);

double node_clock(const struct node *n); /* seconds of the training clock */

/* The worker's next mini-batch: its gradient at w, then its injected delay. True: done, the
 * gradient is added to sum, finished and loss count it. False: hear() dropped it; it will be done
 * again. */
bool node_minibatch(struct node *n);
void node_clear(struct node *n);   /* a new version begins: nothing finished, nothing aborted */
void node_discard(struct node *n); /* what is finished comes too late: counted as dropped */
void node_batch(struct node *n);   /* node_clear(), then a whole batch, whose sum is in n->sum */

/* While the next mini-batch is computed, tell(self, vector, from) is called whenever `least` more
 * floats of what will be n->sum are final, and when all are: vector[from] and up. On the virtual
 * clock the time is right, the floats come when the mini-batch ends. Nothing may drop it. */
void node_on_gradient_ready(struct node *n, int64_t least,
                            void (*tell)(void *self, const float *vector, int64_t from),
                            void *self);

/* Local SGD: a mini-batch, then a step of w with its gradient. It is counted as finished, but is
 * not in sum. False: dropped. */
bool node_local_step(struct node *n, struct optimizer *o, double lr);

/* From now on a mini-batch that is under way when the training clock shows this is dropped
 * (INFINITY: none is). */
void node_set_deadline(struct node *n, double clock_s);
bool node_past_deadline(const struct node *n);

void node_weights_changed(struct node *n); /* w has other contents now */
/* serial: draw from this worker's stream from now on */
void node_select(struct node *n, int worker);

/* From now on hear(self) is asked between two units and during delays, and true drops the
 * mini-batch under way; `wake` is the receive that ends a delay early (the place where its request
 * stands). NULLs: nothing is heard. */
void node_set_interrupt(struct node *n, bool (*hear)(void *), void *self,
                        struct request *const *wake);

/* holds this rank up for so long; false when it heard something meanwhile */
bool node_sleep(struct node *n, double seconds);

/* Waits as net_wait() does, but takes part in pauses; list[0] belongs to the node, requests begin
 * at list[1]. `what` says what for and names the rank (NET_ANY: nobody in particular) when the
 * deadline passes without a sign of life. Time goes to the account's wait. */
int node_wait(struct node *n, struct request **list, int count, double until_s, const char *what,
              int peer);
/* The same for what is no message: until done(self), which is asked again and again. `what` is
 * waited for from nobody in particular. */
void node_wait_until(struct node *n, bool (*done)(void *self), void *self, const char *what);
void node_pause_point(struct node *n);   /* takes part in a pause if one is called for */
bool node_departs(const struct node *n); /* has this worker done all that --depart wants of it? */
/* that rank has left properly: no sign of life is expected from it */
void node_mark_departed(struct node *n, int rank);

struct update { /* what went into one update of the weights */
    int64_t minibatches, samples;
    int contributions;          /* pushes with a gradient */
    int64_t staleness;          /* updates between the gradient's version and this one */
    double loss;                /* summed over samples */
    int64_t aborted;            /* mini-batches */
    double aborted_s, signal_s; /* spent on those; the slowest signal */
    double wait_s;              /* of all workers, since the update before */
    int worst;                  /* the rank whose loss is to be named if it is no number */
};

/* A server's w is one version further: counts, reports, evaluates when it is due, decides whether
 * training is over (n->stop). */
void node_updated(struct node *n, const struct update *u);

/* Rank 0, when training is over and no server takes anything any more: the last evaluation, where
 * they race. Every rank waits. */
void node_final_evaluation(struct node *n);
double node_lr(const struct node *n); /* learning rate of the next update */

/* On a simulated machine: passes the time that reading or writing so many vectors of `count` floats
 * takes. */
void node_advance_vector(struct node *n, int64_t count, int vectors);

/* The same for a copy of `count` floats that rank `from` sent and that were borrowed. Within a host
 * they are read where that rank wrote them, at the rate measured for such copies, all ranks at
 * once; sums of vectors, measured alone, may be several times as fast. Between hosts they lie at
 * this rank already. */
void node_advance_copy(struct node *n, int from, int64_t count);

/* The same for reading or writing so many vectors while all workers do so, as when they sum among
 * themselves: where ranks share a host, at the rate measured for copies of all ranks at once, of
 * which each moves two vectors; else as node_advance_vector(). */
void node_advance_together(struct node *n, int64_t count, int vectors);

/* Rank 0: bring(self) is called before an evaluation, to bring n->w up to date, while all workers
 * wait for rank 0's answer; it takes no time of the training clock. NULLs: w is up to date. */
void node_before_evaluation(struct node *n, void (*bring)(void *), void *self);
double node_done(const struct node *n); /* part of the run that lies behind, 0 .. 1 */

/* opened as the options say */
struct optimizer *node_optimizer(const struct node *n, struct range slice);
/* the same, but for these, of all of w */
struct optimizer *node_local_optimizer(const struct node *n, const char *rule, double momentum);

/* floats of the vector that this server holds */
struct range node_slice(const struct node *n, int server);

#endif
