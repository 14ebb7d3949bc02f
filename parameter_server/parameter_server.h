/* Push and pull: the two verbs between workers and servers.
 *
 * The first S ranks are servers, server k holds slice k of the weights (rank 0 alone by default). A
 * worker pushes a vector and pulls the weights. A server takes pushes, updates its slice and
 * replies. Vectors have n->count floats at a worker and ps_slice() at a server. What a worker
 * pushed is borrowed until ps_wait() or ps_flush(). Every message names the version of the weights
 * it is about. One of another length, or of an impossible version, ends the run (CHECK).
 *
 * Cost of a push or a pull: the vector's bytes as packed, split over the servers. On one host a
 * push is added where it lies, and a pull is one copy.
 *
 * Workers that agree among themselves (decentralised schemes) report instead of push: headers
 * alone, and one of them shows its weights when an evaluation is due. */
#ifndef PARAMETER_SERVER_PARAMETER_SERVER_H
#define PARAMETER_SERVER_PARAMETER_SERVER_H

#include <stdbool.h>

#include "node/node.h"

struct ps_client;
struct ps_server;

/* --- a worker --- */

struct ps_client *ps_client_open(struct node *n);
void ps_client_close(struct ps_client *ps); /* departs, unless it has */

/* The plainest worker: pulls, computes a batch, pushes its sum, until training is over. */
void ps_work(struct node *n);

/* A worker that never waits: it pushes each mini-batch's gradient, and goes on at the same weights
 * until new ones come. What is under way then is dropped, and done again. Beside its pushes it asks
 * once for each weights. */
void ps_work_on(struct node *n);

/* Pushes `vector`, the sum of n->finished mini-batches at n->version (none: the header alone), with
 * n->clock. The server will reply. */
void ps_push(struct ps_client *ps, const float *vector);
void ps_push_async(struct ps_client *ps, const float *vector); /* the same; no reply */
void ps_request(struct ps_client *ps);                         /* nothing is pushed; a reply */

/* Reports what is finished, by the header alone. `weights` are those after it, which rank 0 may ask
 * for; they must not change before ps_wait(). */
void ps_report(struct ps_client *ps, const float *weights);

/* Posts the receives of the next reply (the first is version 0), for ps_wait() to put `into`. */
void ps_pull(struct ps_client *ps, float *into);

/* Waits for the pull; sets n->version, n->lr and n->samples; the pushed vector is the worker's
 * again. False: training is over, or over for this worker (--depart). */
bool ps_wait(struct ps_client *ps);
bool ps_pull_ready(struct ps_client *ps); /* will ps_wait() return at once? */
/* Did the pull say that a push before it was dropped? (Rank 0 says it.) */
bool ps_dropped(const struct ps_client *ps);
/* what a pull still waits for: for node_set_interrupt() */
struct request *const *ps_pending_pull(const struct ps_client *ps);

void ps_flush(struct ps_client *ps); /* waits until the pushed vector is the worker's again */
/* The same under a pull: a server may want its weights taken first. False: the pull has come. */
bool ps_flush_or_pull(struct ps_client *ps);

/* The next mini-batch ends with ps_push() or ps_push_async() of n->sum, and nothing drops it. The
 * final part of it may leave early (--early-push: between hosts, where floats are sent as they
 * lie). ps_batch() is node_batch() with this for its last mini-batch. */
void ps_stream_next(struct ps_client *ps);
void ps_batch(struct ps_client *ps);

/* Departs, and says how many signals it has sent. Returns how many were sent to it, when all
 * workers have departed. */
int64_t ps_depart(struct ps_client *ps, int64_t signals);

/* --- a server --- */

struct push {
    int worker;
    bool departed;                /* the worker has, or is absent: there is no push */
    bool absent;                  /* it may push again */
    bool expired;                 /* the time of ps_next_until() is up: no worker, no push */
    bool asks;                    /* a reply is pending */
    int64_t minibatches, samples; /* whose gradients it sums; 0: nothing was finished */
    int64_t version, staleness;   /* of the weights it was computed at; updates since then */
    int64_t clock;                /* the worker's n->clock */
    double sent_s;                /* net_now() of the worker when it pushed */
    const void *bytes;            /* as they came; NULL without mini-batches */
};

/* Begins with version 0, for which every worker's reply is pending. */
struct ps_server *ps_server_open(struct node *n);
/* The same, but it steps by this rule, on the run's threads, in place of --optimizer's. */
struct ps_server *ps_server_open_rule(struct node *n, const struct optimizer_options *rule);
void ps_server_close(struct ps_server *ps); /* returns when all workers have departed */

/* From now on, called right after ps_server_open(): a worker that is lost (node/lost.c) is absent
 * instead of the end of the run. ps_next() says so once, by a push that is `departed` and `absent`;
 * ps_present() does not count it. When it pushes again it is present, and its push comes as any
 * other, as stale as it is. With several servers, a record or a replay, or weights on a device, a
 * lost worker still ends the run, and so does the last one that is present: also when the others
 * depart, and only absent ones are left. */
void ps_go_on_without(struct ps_server *ps);

/* When training is over rank 0 says so to each worker, where they call node_hear_end(). */
void ps_announce_end(struct ps_server *ps);

struct range ps_slice(const struct ps_server *ps); /* its floats in the whole vector */
int ps_present(const struct ps_server *ps);        /* workers that have not departed */

/* Waits until every worker that is present has pushed at this version. False: all have departed. */
bool ps_collect(struct ps_server *ps);

/* Fatal, before a run begins, when --record would replace another run's record, or --replay is no
 * record of such a run. */
void ps_check_order(const struct options *o, int workers);

/* Waits for the next push or departure of any worker, in the order of --replay if there is one.
 * NULL: all have departed. Once training is over, it drops what comes, and replies. */
const struct push *ps_next(struct ps_server *ps);
/* The same, at the latest when the training clock shows clock_s: then `expired` is set. */
const struct push *ps_next_until(struct ps_server *ps, double clock_s);

/* Where there are several servers, each meets pushes in an order of its own. After this call, made
 * right after ps_server_open(), the order of rank 0 is that of all: its pushes, departures and
 * expirations are what ps_next() and ps_next_until() give at every server. So what a scheme decides
 * by them it decides alike for all slices: the bits of one server. Cost: a header from rank 0 to
 * each other server per push. */
void ps_agree_on_order(struct ps_server *ps);

const struct push *ps_received(const struct ps_server *ps, int worker); /* what is here of it */
/* its push as floats, [slice]; valid until the next update */
const float *ps_vector(struct ps_server *ps, int worker);
/* the next update uses this vector, [slice], in place of its push */
void ps_replace(struct ps_server *ps, int worker, const float *vector);
/* its mini-batches are counted as dropped, and its next reply says so */
void ps_discard(struct ps_server *ps, int worker);
/* the same, and the worker computes them again: node_redo() */
void ps_send_back(struct ps_server *ps, int worker);

/* One update from all pushes p_i that are here, summed in worker order. It counts them, and
 * releases them. s is by worker, 0 leaves one out. Nothing else writes a server's n->w.
 *   ps_step     the optimizer's step with the gradient sum_i s_i p_i, at the schedule's rate
 *   ps_step_at  the same at another rate
 *   ps_average  w = sum_i s_i p_i + (1 - sum_i s_i) w
 *   ps_add      w = w + sum_i s_i p_i */
void ps_step(struct ps_server *ps, const double *scale);
void ps_step_at(struct ps_server *ps, const double *scale, double lr);
void ps_average(struct ps_server *ps, const double *scale);
void ps_add(struct ps_server *ps, const double *scale);

/* ps_step_at() with scale x this worker's push alone. */
void ps_step_one(struct ps_server *ps, int worker, double scale, double lr);
/* From now on, before the first step, ps_step_one() steps with an optimizer of that worker's. */
void ps_own_optimizers(struct ps_server *ps);

/* The same push by push: adds one to the sum under way; steps with scale x that sum. A sum that is
 * under way when training ends is dropped. */
void ps_accumulate(struct ps_server *ps, int worker);
void ps_step_accumulated(struct ps_server *ps, double scale);

/* The same for schemes that keep vectors of their own, [slice]. ps_count() counts a push in the
 * next update and releases it; its gradient is used first when it is `later` updates older.
 *   ps_step_vectors  as ps_step(), of those vectors in place of pushes
 *   ps_add_vectors   as ps_add(), of PS_MOST_VECTORS at most */
enum { PS_MOST_VECTORS = 4 };
void ps_count(struct ps_server *ps, int worker, int64_t later);
void ps_step_vectors(struct ps_server *ps, const float *const *vector, const double *scale,
                     int count);
void ps_add_vectors(struct ps_server *ps, const float *const *vector, const double *scale,
                    int count);

/* From now on replies lend a copy of the weights, one per version. So an update does not wait for a
 * worker that has not taken its own yet. Cost: the copy; memory for as many as workers read. */
void ps_lend_copies(struct ps_server *ps);

void ps_reply(struct ps_server *ps, int worker);           /* with the weights */
void ps_reply_unchanged(struct ps_server *ps, int worker); /* without: it has the newest */
void ps_reply_all(struct ps_server *ps);                   /* to all whose reply is pending */

/* Signals the version of the weights to this worker (signals/signals.h), unless it departs. */
void ps_signal(struct ps_server *ps, int worker);

/* Counts what workers that agree among themselves report, until training is over. Together: an
 * update is of all of them, and none waits for its reply; else each reports its own, and one that
 * is lost is absent, unless ps_judge() was called: then each asks once when it has its first
 * weights, and all are needed. */
void ps_monitor(struct ps_server *ps, bool together);

/* Called right after ps_server_open(): from the first update that ps_monitor() counts on,
 * evaluations judge this set; until then what rank 0 has. */
void ps_judge(struct ps_server *ps, struct weights_set set);

/* From now on rank 0 relays the first signal of a round to every other worker. */
void ps_relay_signals(struct ps_server *ps);

#endif
