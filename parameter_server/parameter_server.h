/* Push and pull: the two verbs between workers and servers.
 *
 * The first S ranks are servers, server k holds slice k of the weights (rank 0 alone by default). A
 * worker pushes a vector and pulls the weights; what it pushed is borrowed until ps_wait() or
 * ps_flush(). A server takes pushes, updates its slice and answers. Every message carries the
 * version of the weights it is about; one of another length, or of a version that cannot be, ends
 * the run. Cost of a push or a pull: the vector's bytes on the wire, split over the servers; on one
 * host a push is added where it lies, a pull is one copy.
 *
 * Workers that agree among themselves (decentralised schemes) tell instead of push: heads alone,
 * and one of them shows its weights when an evaluation is due. */
#ifndef PARAMETER_SERVER_PARAMETER_SERVER_H
#define PARAMETER_SERVER_PARAMETER_SERVER_H

#include <stdbool.h>

#include "node/node.h"

struct ps;

struct ps *ps_open(struct node *n); /* a server begins with version 0, which every worker is owed */
/* a worker leaves unless it has; a server returns when all have left */
void ps_close(struct ps *ps);

/* --- a worker --- */

/* Pushes what node says is finished (n->finished mini-batches of n->version): `vector`, or the head
 * alone when nothing is. The server owes an answer; ps_push_async() pushes the same and wants none,
 * ps_request() wants one for nothing. n->clock goes with each. */
void ps_push(struct ps *ps, const float *vector);
void ps_push_async(struct ps *ps, const float *vector);
void ps_request(struct ps *ps);

/* The next mini-batch ends with ps_push() or ps_push_async() of n->sum, and nothing drops it: what
 * is final of it may leave before (--early-push, between hosts, where the wire format is the
 * floats). ps_batch() is node_batch() with this for its last mini-batch. */
void ps_stream_next(struct ps *ps);
void ps_batch(struct ps *ps);

/* Tells what is finished, by the head alone; `weights`, which this worker has after it, are shown
 * when the server asks. */
void ps_report(struct ps *ps, const float *weights);

/* Posts the receives of the next answer (the first is version 0). It goes into `into`, n->w or
 * another vector, when ps_wait() takes it. */
void ps_pull(struct ps *ps, float *into);

/* Waits for the pull, takes it, sets n->version and n->rate; what was pushed is the worker's again.
 * False: training is over, or over for this worker (--depart). */
bool ps_wait(struct ps *ps);
bool ps_pull_ready(struct ps *ps); /* the pull has come: ps_wait() will not wait for it */
/* what it still waits for, for node_set_interrupt() */
struct request *const *ps_pending_pull(const struct ps *ps);

/* While weights are on their way to a worker, the server may wait for it to take them before it
 * looks at a push. So whoever gives with a pull under way asks first: waits until what was given is
 * the worker's again (true), or the pull has come (false). */
bool ps_flush_or_pull(struct ps *ps);
/* waits until what was given is the worker's again; no pull is under way */
void ps_flush(struct ps *ps);

/* The plainest worker: pulls, computes a batch, pushes its sum, until training is over. */
void ps_work(struct node *n);

/* Leaves, saying how many signals this worker has sent; returns, when all workers have left, how
 * many were sent to it. */
int64_t ps_depart(struct ps *ps, int64_t signals);

/* --- a server --- */

struct push {
    int worker;
    bool asks;                   /* an answer is owed to it */
    bool departed;               /* the worker has; there is no push */
    int64_t minibatches;         /* whose gradients it sums; 0: nothing was finished, no vector */
    const struct header *header; /* as it came; NULL: none is here */
    const void *bytes;           /* on the wire; NULL when nothing was finished */
    int64_t clock;               /* the worker's n->clock */
    int64_t staleness;           /* updates between the weights it was computed at and now */
};

/* Waits until every worker that has not left has pushed the open version; false when all have
 * left. */
bool ps_collect(struct ps *ps);
int ps_present(const struct ps *ps); /* workers that have not left */
bool ps_has_departed(const struct ps *ps, int worker);

/* Waits for the next push of whatever worker, or for a worker's leaving, in the order of --replay
 * if there is one; NULL when all have left. When training is over, what still comes is dropped and
 * what is owed is answered in here. */
const struct push *ps_next(struct ps *ps);

/* The push of a worker that was collected, or taken by ps_next(). */
const struct push *ps_received(const struct ps *ps, int worker);

struct range ps_slice(const struct ps *ps); /* this server's, of the whole vector */
/* the worker's push as floats, [slice]; until the step */
const float *ps_vector(struct ps *ps, int worker);
/* the step takes this for the worker's push */
void ps_replace(struct ps *ps, int worker, const float *vector);
/* ends the loan of its push; mini-batches in it are counted as dropped */
void ps_discard(struct ps *ps, int worker);

/* One update from all arrivals that are here; each ends their loans and counts it. `scale` is by
 * worker, 0 leaves one out.
 *   ps_step     the optimizer's step with the gradient sum_i scale[i] x push of worker i, in worker
 *               order
 *   ps_average  w = sum_i scale[i] x push of worker i + (1 - sum of scales) x w
 *   ps_add      w = w + sum_i scale[i] x push of worker i
 * With --server-device gpu all of this, and ps_step_accumulated(), is done there
 * (optimizer/device.h), bit for bit; n->w is whole when they return, so what a scheme computes
 * itself (dcasgd's compensation) it reads and computes here. Nobody else writes a server's n->w. */
void ps_step(struct ps *ps, const double *scale);
void ps_average(struct ps *ps, const double *scale);
void ps_add(struct ps *ps, const double *scale);

/* sends the weights, and word of the end when training is over */
void ps_reply(struct ps *ps, int worker);
/* word alone: the weights it has are still the newest */
void ps_reply_unchanged(struct ps *ps, int worker);
void ps_reply_all(struct ps *ps); /* everybody who is owed one */

/* Or a push at a time: ps_accumulate() adds it to what is kept, ends its loan and counts it for the
 * update that ps_step_accumulated() makes, the optimizer's step with scale x all that was kept. */
void ps_accumulate(struct ps *ps, int worker);
void ps_step_accumulated(struct ps *ps, double scale);

/* Workers agree among themselves: hears what they tell, update by update, until training is over.
 * Together: an update is what all of them tell; else each tells of its own. */
void ps_monitor(struct ps *ps, bool together);

/* Signals go through rank 0 from now on: it relays the first of a round to every other worker. */
void ps_relay_signals(struct ps *ps);

#endif
