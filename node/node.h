/* One rank as a scheme sees it: weights, gradients, a clock, and everything that cuts across
 * schemes.
 *
 * These calls hide mini-batches, stragglers, the learning rate's schedule, evaluation and counters.
 * The training clock is stopped while ranks evaluate: rank 0 calls an evaluation, every rank hears
 * it wherever it waits or computes (between two units of the network), all evaluate a shard, and go
 * on where they were. A scheme never sees it. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "messaging/messaging.h"
#include "metrics/metrics.h"
#include "node/run_context.h"
#include "node/saving.h"
#include "optimizer/optimizer.h"
#include "problem/problem.h"
#include "serialization/serialization.h"

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
    TAG_CODE,
    TAG_STOP,
    TAG_REPLAY,
    TAG_NORM,
    TAG_ORDER,
    TAG_ASKED,
    TAG_CHECKPOINT,
    TAG_REDUCE, /* collective/collective.h */
    TAG_GATHER,
    TAG_MIX,  /* gossip/gossip.h */
    TAG_PAIR, /* pairs/pairs.h */
    TAG_PAIRED,
    TAG_TRACE
};

/* A flag of TAG_PAUSE: weights come to rank 0, nothing is judged. */
enum { PAUSE_SAVES = 1 };

/* Does what was under way go on? */
enum node_flow { NODE_CONTINUE, NODE_INTERRUPTED };

/* When is training over? As the limits say; in a replay: not yet, or with the next update.
 * NOT_HERE: workers have gone on with the next update already, so nothing is evaluated either. */
enum ending { END_BY_LIMITS, END_LATER, END_WITH_NEXT, END_NOT_HERE };

struct node {
    struct net *net;
    const struct run_context *context;
    int rank, worker;         /* worker: 0, 1, ..; -1 on a server */
    int64_t count;            /* floats in w and in sum, each in memory that can be sent */
    float *w;                 /* weights */
    int64_t version;          /* of w */
    uint64_t weights_version; /* names w's contents for the backend: node_weights_changed() */
    double lr;                /* worker: learning rate, as it came with the weights */
    int64_t clock;            /* the scheme's own count, sent with each push and each reply */
    int64_t min_clock;        /* worker: the servers' least clock, from the last replies */

    /* since node_clear() */
    float *sum;                 /* of the gradients of finished mini-batches */
    int64_t finished;           /* how many they are */
    double loss;                /* theirs, summed over samples */
    int64_t staleness;          /* versions that the stalest of them lags (carried mini-batches) */
    int64_t aborted;            /* mini-batches that were dropped */
    double aborted_s, signal_s; /* computing those; from sent to heard, of this version's signal */

    enum ending ending; /* rank 0 */
    bool races;      /* server: each counts its versions for itself; an evaluation waits for none */
    int64_t samples; /* server: used by all workers so far */
    bool stop;       /* training is over */
    int status;      /* of training: 0, EXIT_NAN, EXIT_STOPPED */
    struct counters counters;
    struct node_private *own;
};

/* Opens this rank with its weights unset (a server's are the problem's first ones). The first
 * `servers` ranks serve, the rest work; a world of one rank does both. Collective: ends in a
 * barrier, where the training clock starts. */
struct node *node_open(struct net *net, const struct run_context *context);

/* Collective: counters go to rank 0, which writes the closing files. Returns the exit code of the
 * run, the same at all ranks: status, but EXIT_UNWRITTEN in place of 0 and of EXIT_STOPPED where a
 * file could not be written. */
int node_close(struct node *n);

/* That file could not be written, which was said: it is named at the end. */
void node_unwritten(struct node *n, const char *name);

/* --- computing (a worker) --- */

/* The next mini-batch: its gradient at w, then its injected delay. CONTINUE: done; the gradient is
 * added to sum, finished and loss count it. INTERRUPTED: dropped; it will be done again. */
enum node_flow node_minibatch(struct node *n);
void node_clear(struct node *n);   /* a new version begins: nothing finished, nothing aborted */
void node_discard(struct node *n); /* what is finished comes too late: counted as dropped */
/* What the last node_clear() cleared was pushed and dropped: it and what was finished since will be
 * computed again. Returns how many mini-batches were cleared. */
int64_t node_redo(struct node *n);
void node_batch(struct node *n); /* node_clear(), then a whole batch, whose sum is in n->sum */

/* From now on n->w is memory that other ranks write at any time. A simulated mini-batch then takes
 * its gradient when it begins: whatever others write until its end, it has not seen. */
void node_share_weights(struct node *n);

/* Local SGD: a mini-batch, then a step of w with its gradient. It is counted as finished, but is
 * not in sum. */
enum node_flow node_local_step(struct node *n, struct optimizer *o, double lr);

/* While the next mini-batch is computed, on_ready(self, vector, from) is called whenever `least`
 * more floats of what will be n->sum are final, and when all are: vector[from] and up. On the
 * virtual clock the time is right, the floats come when the mini-batch ends. Nothing may interrupt
 * it. */
void node_on_gradient_ready(struct node *n, int64_t least,
                            void (*on_ready)(void *self, const float *vector, int64_t from),
                            void *self);

enum { NODE_WAKES = 2 };

/* From now on interrupt(self) is asked between two units and during delays; INTERRUPTED drops the
 * mini-batch under way. A rank in a delay is asked when any of `count` receives is done: `wake`
 * says where their requests are kept (a place may hold NULL, or another request later). It must
 * name all that interrupt() waits for, and what it leaves done would wake the rank at once, again
 * and again. NULLs and 0: nobody is asked. */
void node_set_interrupt(struct node *n, enum node_flow (*interrupt)(void *self), void *self,
                        struct request *const *const *wake, int count);

/* From now on a mini-batch that is under way when the training clock shows this is dropped
 * (INFINITY: none is). */
void node_set_deadline(struct node *n, double clock_s);
bool node_past_deadline(const struct node *n);

void node_weights_changed(struct node *n);    /* w has other contents now */
void node_select(struct node *n, int worker); /* alone: that worker's mini-batches */
bool node_departs(const struct node *n);      /* has it done all that --depart wants of it? */
enum node_flow node_sleep(struct node *n, double seconds); /* holds this rank up */
/* The same, and nothing interrupts it. What was handed to the transport before goes on. */
void node_stand_still(struct node *n, double seconds);

/* --- waiting --- */

/* In place of an index: the time is up; a rank is absent since now (node_on_absence()). */
enum { NODE_TIME = -1, NODE_ABSENT = -2 };

/* Waits as net_wait() does, and handles events; list[0] belongs to the node, requests begin at
 * list[1]. `what` says what for and `peer` from whom (NET_ANY: nobody in particular), for the
 * message when the deadline passes without a heartbeat. Time goes to counters.wait_s, but that for
 * which the request that is done was on its way: that is transfer. */
int node_wait(struct node *n, struct request **list, int count, double until_s, const char *what,
              int peer);
/* The same for what is no message: until done(self), which is asked again and again. */
void node_wait_until(struct node *n, bool (*done)(void *self), void *self, const char *what);
void node_handle_events(struct node *n);           /* takes part in an evaluation if one is due */
void node_mark_departed(struct node *n, int rank); /* from now on no heartbeat is expected of it */

/* --- ranks that are lost (rank 0) --- */

/* From now on absent(self, rank) is asked when a rank is lost. True: the run goes on without it,
 * and node_wait() returns NODE_ABSENT. False, or NULL: the run ends. An absent rank takes no part
 * in evaluations; rank 0 computes its shards. */
void node_on_absence(struct node *n, bool (*absent)(void *self, int rank), void *self);
bool node_is_absent(const struct node *n, int rank);
void node_set_absent(struct node *n, int rank, bool absent); /* says nothing */
void node_take_back(struct node *n, int rank); /* it is there again, if it was absent: says so */

/* --- the end, for a worker that seldom asks for weights --- */

/* Rank 0 will say by a message of its own, TAG_STOP, that training is over. Then n->stop is set,
 * and a mini-batch or a delay that is under way is interrupted, and all later ones. Not in a run
 * whose order is recorded or replayed: there how far a worker gets must not depend on time, since
 * another server's record may hold what it pushes until it reads. */
void node_hear_end(struct node *n);
bool node_is_ordered(const struct node *n); /* is the order of arrivals recorded, or replayed? */
void node_settle_end(struct node *n);       /* waits for it, if it has not come */

/* --- an update (a server) --- */

struct update { /* what went into one update of the weights */
    int64_t minibatches, samples;
    int contributions;          /* pushes with a gradient */
    int64_t staleness;          /* updates between the gradient's version and this one */
    double loss;                /* summed over samples */
    int64_t aborted;            /* mini-batches */
    double aborted_s, signal_s; /* computing those; the slowest signal */
    double wait_s;              /* of all workers, since the update before */
    double lr;                  /* that its event names; 0: node_lr() of now */
    int worst;                  /* the rank whose loss is to be named if it is no number */
};

/* The next update uses so many of this worker's samples. */
void node_count_used(struct node *n, int worker, int64_t samples);
/* The same, for worker_losses.csv: their losses add to that. Rank 0 takes it. */
void node_count_loss(struct node *n, int worker, int64_t samples, double loss);

/* Rank 0: what is said, beside the finding, when a worker is starved; NULL: nothing. */
void node_explain_starvation(struct node *n, const char *advice);

/* A server's w is one version further: counts, reports, evaluates when it is due, decides whether
 * training is over (n->stop). */
void node_updated(struct node *n, const struct update *u);

/* Rank 0, when training is over and no server takes anything any more: the last evaluation, where
 * they race. Every rank waits. */
void node_final_evaluation(struct node *n);

/* Rank 0: prepare(self) is called before an evaluation, to bring n->w up to date; it takes no time
 * of the training clock. Workers may go on meanwhile. NULLs: w is up to date. */
void node_before_evaluation(struct node *n, void (*prepare)(void *self), void *self);

/* Rank 0: all workers wait since net_now() showed this; if it evaluates now, the training clock is
 * set back to then. */
void node_waiting_since(struct node *n, double net_s);

/* Rank 0: called(self) is called when all ranks were called to an evaluation. What it sends them
 * they find after it, and it takes no time of the training clock. NULLs: nothing. */
void node_on_evaluation(struct node *n, void (*called)(void *self), void *self);

/* What evaluations judge. The first of these that is set is the primary: its rows are eval.csv's,
 * --target and --save mean it. Rows of the others go to candidates.csv. */
struct weights_set {
    bool average; /* of the weights over the updates; set by --ema alone */
    bool mean;    /* of the workers' own weights */
    bool first;   /* node_evaluate_first()'s */
    bool server;  /* what servers hold (rank 0: after node_before_evaluation()'s call) */
    bool workers; /* each worker's own */
};

/* A worker's own weights, as evaluations are to see them: in net_alloc()'s memory, and whole
 * whenever another rank goes on. NULL: n->w, as at first. */
void node_show(struct node *n, const float *w);

/* Rank 0: evaluations from now on judge this set; until then the server's weights. A mean in a set
 * without those is left in rank 0's n->w. */
void node_set_evaluated(struct node *n, struct weights_set set);
/* Rank 0: from now on the first worker's own weights stand for the server's, if these alone are
 * judged, and its average for theirs. An evaluation leaves them in rank 0's n->w. */
void node_evaluate_first(struct node *n);

/* Where no server has the weights: the first worker calls this after each update, for --ema (at the
 * others it does nothing). */
void node_average(struct node *n, const float *w);

struct training_state { /* now, or expected */
    int64_t version, samples;
    double seconds; /* of the training clock */
};

struct training_state node_training_state(const struct node *n); /* now */
double node_lr(const struct node *n); /* learning rate of the next update */
double node_lr_at(const struct node *n, struct training_state at);
/* Rank 0: will it evaluate or end training then? */
bool node_stops_at(const struct node *n, struct training_state at);
double node_done(const struct node *n); /* part of the run that is done, 0 .. 1 */

/* opened as the options say */
struct optimizer *node_optimizer(const struct node *n, struct range slice);
/* the same, but by that rule */
struct optimizer *node_optimizer_by(const struct node *n, const struct optimizer_options *rule,
                                    struct range slice);
/* the same, but by the rule of that name, with --momentum or none, of all of w */
struct optimizer *node_local_optimizer(const struct node *n, const char *rule, bool momentum);

/* floats of the vector that this server holds */
struct range node_slice(const struct node *n, int server);

/* A coder as the options say, for vectors of `count` floats; `stream` and `only_unpacks` as in
 * struct coder_options. */
struct coder *node_coder(const struct node *n, const struct codec *codec, int64_t count, int stream,
                         bool only_unpacks);

/* --- what a checkpoint of a simulated run holds (node/course.h) --- */

/* Vectors of this rank that are not sent, zeroed: with net_alloc()'s blocks all that it has.
 * Modules below get the same by node_allocator(). */
float *node_vector(struct node *n, int64_t count);
void node_vector_free(struct node *n, float *vector); /* NULL is fine */
struct allocator node_allocator(const struct node *n);

/* This number was computed from vectors, and what the run does next depends on it. A forwarded run
 * gets the one that it had then, whatever it gives. */
double node_number(const struct node *n, double number);
/* Is the run forwarded? Then arithmetic on vectors may be left out. */
bool node_forwards(const struct node *n);

/* --- checkpoints (node/keeping.c) --- */

/* From now on this memory is part of the rank's state: a checkpoint copies it when it is cut. Of a
 * run that is resumed it is filled in here, and what was in it is lost; fatal where the checkpoint
 * has no such. Names are unique on a rank; one that begins with "workers." is the same at all
 * workers. The memory stays until the last update. Where the run goes on with another number of
 * workers it stays as it is if this rank has kept no such, or another count of it. */
void node_keep(struct node *n, const char *name, enum state_type type, void *memory, int64_t count);
/* The same for [workers][each]: of another number of workers, what was kept of those that are there
 * before and now. */
void node_keep_by_worker(struct node *n, const char *name, enum state_type type, void *memory,
                         int64_t each);
/* Of a run that is resumed with another number of workers: how many there were; else 0. */
int node_workers_before(const struct node *n);
/* The same for a vector whose memory changes: where *vector lies then. Where no server has weights,
 * and each worker keeps its own as "worker.weights", a resumed run begins with their mean. */
void node_keep_vector(struct node *n, const char *name, float *const *vector, int64_t count);
/* The same for all that these show, under names NAME/..: a printf format. NULL is fine. */
void node_keep_optimizer(struct node *n, struct optimizer *o, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void node_keep_coder(struct node *n, struct coder *c, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Of a run that is resumed: what that rank had kept under this name. False, and nothing is written:
 * it is not resumed, or there is no such. */
bool node_kept(const struct node *n, int rank, const char *name, enum state_type type, void *to,
               int64_t count);
/* Of a run that is resumed: with which mini-batch of its stream that worker goes on, by what rank 0
 * had of each, which it kept under this name, [workers]. Of another number of workers, where it
 * would be if all had given alike. -1: it is not resumed. */
int64_t node_kept_place(const struct node *n, const char *name, int worker);
void node_set_place(struct node *n, int64_t minibatches); /* this worker goes on with that one */

/* Of a run that is resumed: n->w is as it was kept, whatever a codec has made of weights that were
 * sent. For workers that keep weights of their own in step. */
void node_restore_weights(struct node *n);

/* Rank 0: what a manifest says of the run as it is now, a JSON object. To be freed. */
char *node_manifest(const struct node *n);

/* Rank 0: the number of the last checkpoint that was decided on, which all that it sends from then
 * on carries. The others: such a number has come; if it is a new one this rank's state is copied
 * now. The number of the last one that was. */
int64_t node_cut_number(const struct node *n);
void node_cut(struct node *n, int64_t number);
int64_t node_last_cut(const struct node *n);

/* --- time --- */

double node_clock(const struct node *n); /* seconds of the training clock */
/* Where a second of the training clock goes: metrics/metrics.h says what each of them means. */
enum account {
    ACCOUNT_OTHER, /* nobody has said */
    ACCOUNT_COMPUTE,
    ACCOUNT_DELAY,
    ACCOUNT_UPDATE,
    ACCOUNT_TRANSFER,
    ACCOUNT_WAIT,
    ACCOUNTS
};

/* From now on seconds go to that account. Returns the one before, to go back to. */
enum account node_account(struct node *n, enum account account);
/* So many seconds went to the wrong one. */
void node_move_account(struct node *n, enum account from, enum account to, double seconds);
/* The last node_wait(): from then to then, of net_now(), something was on its way, so it is
 * transfer. That of the request that was done is known. */
void node_count_moving(struct node *n, double since_s, double until_s);
/* A worker has departed: what comes is no training. What it has not handed over is dropped, and of
 * what it has `dropped_s` seconds of computing. */
void node_end_accounts(struct node *n, double dropped_s);
/* So many finished mini-batches are handed over, the oldest ones. Returns the seconds that were
 * spent on computing them; if some are left, each of those counts as the newest one. */
double node_hand_over(struct node *n, int64_t minibatches);

/* What it showed when net_now() showed that, in the past: in an evaluation, where it stood still.
 * Exact over the last eight evaluations. */
double node_clock_then(const struct node *n, double net_s);

/* --- trace (--trace) --- */

/* That happened now: an instant of a rank. */
void node_note(struct node *n, enum trace_kind kind, int64_t number, int peer);

/* --- vector work --- */

/* Floats that it reads and writes, in multiples of `count`, by how (slowness/machine.h). */
struct vector_work {
    int64_t count;
    int floats[VECTOR_PASSES];
};

/* All that a scheme does with vectors costs time, on the virtual clock as the machine file says,
 * and is counted in counters.update_s. So schemes call these, no vector_*() or optimizer_step*().
 * They mean what their namesakes do; node_step()'s w and g begin at the optimizer's slice. */
void node_step(struct node *n, struct optimizer *o, float *w, const float *g, double lr);
void node_step_sum(struct node *n, struct optimizer *o, float *w, const float *const *source,
                   const double *scale, int sources, double lr);
void node_sum(struct node *n, float *to, const float *const *source, const double *scale,
              int sources, int64_t count);
void node_add(struct node *n, float *to, const float *from, int64_t count);
void node_copy(struct node *n, float *to, const float *from, int64_t count);

/* The same for other work: it began at began_s of the training clock and is done. */
void node_count_work(struct node *n, double began_s, struct vector_work work);
struct vector_work node_step_work(const struct optimizer *o, int sources); /* of one step */

/* On a simulated machine: passes the time of a sum that reads and writes so many vectors of `count`
 * floats. In no account. */
void node_advance_vector(struct node *n, int64_t count, int vectors);

/* The same for a copy of `count` floats that rank `from` sent and that were borrowed. Within a host
 * they are read where that rank wrote them, at the rate measured for such copies, all ranks at
 * once; sums of vectors, measured alone, may be several times as fast. Between hosts they lie at
 * this rank already. */
void node_advance_copy(struct node *n, int from, int64_t count);

/* The same for reading or writing so many vectors while all workers do so, as when they sum among
 * themselves. Where ranks share a host: at the rate measured for copies of all ranks at once, of
 * which each moves two vectors. Else as node_advance_vector(). */
void node_advance_together(struct node *n, int64_t count, int vectors);
double node_together_s(const struct node *n, int64_t count, int vectors); /* what that takes */

#endif
