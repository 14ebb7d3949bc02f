/* What the files of a server share.
 *
 *   server.c      opens and closes; accepts pushes, hands out events, replies
 *   membership.c  who is there, departures, control messages, the end
 *   update.c      what pushes do to the slice and to the counters
 *   norm.c        the norm of a gradient in slices
 *   replay.c      the order of events: recorded, and kept to; rank 0's for all servers
 *   monitor.c     decentralised workers' reports
 */
#ifndef PARAMETER_SERVER_SERVER_H
#define PARAMETER_SERVER_SERVER_H

#include "parameter_server/messages.h"
#include "parameter_server/parameter_server.h"
#include "serialization/serialization.h"

enum worker_state {
    WORKER_COMPUTING, /* its next push is awaited */
    WORKER_PUSHED,    /* its push is here */
    WORKER_DEPARTING, /* it has said that it departs; the scheme does not know yet */
    WORKER_DEPARTED
};

/* A worker that is lost where the scheme goes on without it (membership.c). What it is waited for
 * is as its state says; its push may be here. */
enum absence {
    WORKER_PRESENT,
    WORKER_ABSENT,    /* the scheme does not know yet */
    WORKER_LEFT_ALONE /* the scheme knows: nobody waits for its push */
};

struct ps_worker { /* as a server sees it */
    enum worker_state state;
    enum absence absence;
    struct push push;      /* PUSHED: what is here */
    struct push_note note; /* PUSHED: as it came */
    float *unpacked;       /* [slice] a push as floats; NULL where it comes as floats */
    bool is_unpacked;
    const float *replacement; /* of the push: ps_replace() */
    struct optimizer *own;    /* ps_own_optimizers()'s; NULL: the common one */
    bool reply_pending;
    bool dropped;     /* a push of its was, since the last reply */
    double dropped_s; /* computing of all of those */
    double counted_s; /* of what the update `counted_in` has of it so far */
    int64_t counted_in;
    struct request *reply; /* the last one, whose weights the worker still reads; or NULL */
    const void *lent;      /* what that reads */
    int64_t signals_sent;  /* DEPARTING and on: by it, as it says */
    int64_t signals_to;    /* it, by this server */
};

/* What replies lend, where it is not the weights themselves: the slice by the codec, or a copy. It
 * is made once per version. */
struct lent {
    void *block;
    int64_t version;
    void **copies; /* [workers + 1], made when needed; ps_lend_copies(). NULL: one block */
};

/* Receives: the node's, control messages, then the next push of each worker. */
enum {
    RECV_NODE,
    RECV_DEPART,
    RECV_SIGNAL, /* to relay */
    RECV_STOP,   /* rank 0's: training is over */
    RECV_REPLAY, /* another server's: its record has run out */
    RECV_ORDER,  /* rank 0's: what is to be taken next */
    RECV_PUSH
};

enum event_kind {
    EVENT_ANY, /* as what is expected */
    EVENT_PUSH,
    EVENT_DEPARTURE,
    EVENT_ABSENCE,
    EVENT_EXPIRY, /* the time is up */
    EVENT_END,    /* of a record; or not ordered yet */
    EVENT_CONTROL /* as what has happened: nothing that concerns the scheme */
};

struct event {
    enum event_kind kind;
    int worker;
};

struct presence {
    int present, departing; /* workers that are waited for; of these, that say they depart */
    int absent;             /* workers that are ABSENT */
    bool announces_end;     /* ps_announce_end() */
};

struct ps_server {
    struct node *n;
    int servers, workers;
    struct range slice;
    struct ps_worker *worker; /* [workers] */
    struct presence;
    struct request **recv; /* [RECV_PUSH + workers] */
    struct request **list; /* those of them that are waited for */
    int first; /* of several pushes that are here that of the first worker from this one on is
                  taken: nobody starves */

    struct optimizer *optimizer;
    struct update update; /* what is in the next one so far */
    const float **source; /* [workers + 1] */
    double *scale;        /* [workers + 1] */
    int64_t *taken;       /* [workers] mini-batches that it has pushed, used or not */

    struct coder *decode, *encode; /* of pushes, of weights; NULL: floats as they are */
    struct lent lent;

    bool relays; /* signals */
    int64_t relayed, newest_signal;
    struct weights_set judged; /* rank 0, monitor.c: ps_judge()'s; none set: the first worker's */
    bool replied;              /* rank 0, monitor.c: in the evaluation of this version, to all */
    bool stop_sent;            /* rank 0: the other servers know that training is over */
    bool stop_received;        /* the others: rank 0 has said so */
    struct replay *replay;
};

/* --- server.c --- */

int ps_rank_of(const struct ps_server *ps, int worker);
int64_t ps_slice_count(const struct ps_server *ps);

/* Waits for the next push or departure that is `expected`, and accepts it; where any is, until the
 * training clock shows clock_s. EVENT_CONTROL: a control message was handled instead, or what came
 * is not expected and stays where it is. */
struct event ps_next_event(struct ps_server *ps, struct event expected, double clock_s);

/* The worker's push is used: its vector is the worker's again, its next push is awaited. */
void ps_release_push(struct ps_server *ps, int worker);

/* Sends a reply without weights, with REPLY_* flags. */
void ps_reply_flags(struct ps_server *ps, int worker, int flags);

/* Sends a reply without weights that is about a later version: the worker need not wait for that
 * one to be counted. */
void ps_reply_ahead(struct ps_server *ps, int worker, struct training_state expected);

/* Waits until all workers have taken the weights that they were sent; absent ones keep them. */
void ps_await_replies_taken(struct ps_server *ps);
/* From now on the weights lie elsewhere: an absent worker may be half way through reading them. It
 * keeps that memory to the world's end. */
void ps_move_weights(struct ps_server *ps);
/* The same, but where copies are lent: the weights may change at once. */
void ps_await_weights_free(struct ps_server *ps);

/* --- membership.c --- */

/* Takes the control message that is received at that RECV_*. */
void ps_handle_control(struct ps_server *ps, int index);

/* Of the DEPARTING workers, the next that the scheme is to know of: any, or the one expected; -1:
 * none. */
int ps_next_departure(const struct ps_server *ps, struct event expected);
void ps_mark_departed(struct ps_server *ps, int worker);

/* The next absent worker that the scheme is to know of; -1: none. */
int ps_next_absence(const struct ps_server *ps);
void ps_leave_alone(struct ps_server *ps, int worker);
/* Nobody is present, and training is not over: those that are absent are waited for, and from now
 * on a worker that is lost ends the run. False: there are none. */
bool ps_await_absent(struct ps_server *ps);
/* It has sent a message: it is present, whatever it was. */
void ps_take_back(struct ps_server *ps, int worker);

/* Rank 0 tells the other servers, once, that training is over. */
void ps_send_stop(struct ps_server *ps);

/* Training is over: no worker may wait for a reply any more. Drops all pushes. */
void ps_reply_to_all_at_end(struct ps_server *ps);

/* Waits until all workers have departed, then lets them go. */
void ps_farewell(struct ps_server *ps);

/* --- update.c --- */

/* Releases all pushes, counts what went into the update, and lets the node decide what comes
 * next. */
void ps_close_version(struct ps_server *ps);

/* --- norm.c --- */

/* optimizer_on_norm()'s: of the gradient that all servers step with. */
double ps_whole_norm(void *self, const struct squares *slice);

/* --- replay.c --- */

/* Sets n->ending, as all that changes what is expected does. */
struct replay *replay_open(struct node *n);
void replay_close(struct replay *r); /* a record ends here */

/* ps_next_event() in the order of the replay, or of rank 0, if there is one; it is recorded. */
struct event replay_next_event(struct ps_server *ps, double clock_s);

struct event replay_expected(const struct replay *r);
int64_t replay_ordered(const struct replay *r);           /* events: rank 0, to each other server */
void replay_end_after(struct replay *r, int64_t ordered); /* no more will be */
void replay_take_order(struct ps_server *ps, const struct header *m);
bool replay_goes_on(const struct replay *r); /* more events are expected here: the end waits */
void replay_drop(struct replay *r);          /* the rest of it is free */

/* Each of several servers in a replay notifies each other once, when its record has run out, or at
 * the latest when it closes (`drop` false). After a record has run out its server may take what the
 * other records do not expect, so all are dropped. */
void replay_notify(struct ps_server *ps, bool drop);
void replay_expect_note(struct ps_server *ps); /* posts the receive, where one more will come */
void replay_take_note(struct ps_server *ps, const struct header *m);

#endif
