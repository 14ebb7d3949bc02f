/* What the files of parameter_server/ share: worker.c pushes and pulls, server.c takes and answers,
 * watch.c hears workers that agree among themselves, order.c records and replays the order of
 * arrivals. */
#ifndef PARAMETER_SERVER_PRIVATE_H
#define PARAMETER_SERVER_PRIVATE_H

#include "parameter_server/parameter_server.h"
#include "serialization/serialization.h"

enum { MAX_SERVERS = 64 };

/* Flags of a push and of an answer. */
enum { PUSH_MUTE = 1, PUSH_TELLS = 2 };
enum { ANSWER_STOP = 1, ANSWER_SAME = 2, ANSWER_SHOW = 4 };

/* Bodies of messages (messaging.h: header_pack()). A push's header counts its mini-batches. */
struct push_note {
    int64_t samples;
    double loss;     /* summed over samples */
    int64_t aborted; /* mini-batches, since the push before */
    double aborted_s, signal_s;
    int64_t staleness; /* beyond that of the version in the header: of a carried mini-batch */
    double waited_s;   /* since the push before */
    int64_t clock;     /* the worker's */
};

struct reply_note {
    int64_t samples, clock; /* of the run; the least clock of all workers */
    double lr;
    int64_t status; /* exit code of the run */
};

struct order; /* of arrivals, as a file has it: order.c */

struct ps {
    struct node *n;
    int servers, workers;
    const struct codec *codec,
        *weights_codec; /* of pushes; of answers: the same, or f32 where weights don't survive it */

    /* worker */
    struct request *push[MAX_SERVERS],
        *pull[1 + MAX_SERVERS];         /* pull[0] is the node's while it waits */
    struct request *coming;             /* of the pull, what ps_pull_ready() waits for */
    struct request *early[MAX_SERVERS]; /* of the next push, while its vector becomes ready */
    const float *early_vector;
    struct coder *out[MAX_SERVERS], *in[MAX_SERVERS]; /* NULL: in place */
    char *packed;                 /* the pushes on the wire, one behind the other */
    float *into;                  /* where the pull goes */
    const float *shown;           /* what it told of */
    int64_t version[MAX_SERVERS]; /* of each slice: servers that race count apart */
    double waited_s;              /* in all, until the last push */
    bool came, gone;              /* weights came with the last answer; it has left */

    /* server */
    struct range slice;
    struct optimizer *optimizer;
    struct request **come;    /* by AT_*: the node's, leaving, signals to relay, the end, words on
                                 records, then a push of each worker */
    struct request **list;    /* those of come that are waited for */
    struct request **awaited; /* [workers] the next push; NULL: it has come and is kept */
    struct push *arrival;     /* [workers] */
    int next; /* of several pushes that are there the first from this worker on is taken: no worker
                 starves */
    bool *owed;              /* [workers] an answer */
    struct request **answer; /* [workers], borrowed weights */
    float **unpacked;        /* [workers], where the wire packs */
    bool *is_unpacked;       /* [workers] */
    const float **instead;   /* [workers], ps_replace()'s */
    const float **source;    /* [workers + 1] */
    double *scale;           /* [workers + 1] */
    struct update update;    /* what is in the next one so far */
    struct coder *decode, *encode;
    void *outgoing; /* the slice on the wire, packed once a version */
    int64_t packed_version;
    int64_t *sent_by, *sent_to; /* [workers]; signals, as each worker says when it leaves, and as
                                   they were relayed */
    int64_t relayed, newest_signal;
    /* ended: the other servers know that training is over; over: rank 0 has said so */
    bool relays, ended, over;
    bool *leaves, *has_left; /* [workers]; it has said so; the scheme knows, in a replay when the
                                record has it */
    int departing, left;     /* how many */
    struct order *order;
    int words; /* of other servers, on their records */
    bool told; /* they have this one's */
};

enum { AT_NODE, AT_LEAVE, AT_SIGNAL, AT_STOP, AT_ORDER, AT_PUSH };

int ps_rank_of(const struct ps *ps, int worker);

void ps_open_worker(struct ps *ps);
void ps_close_worker(struct ps *ps);
void ps_open_server(struct ps *ps);
void ps_close_server(struct ps *ps);

/* The worker's part of an answer that asks to show its weights. */
void ps_show(struct ps *ps);

/* Of a server: floats in its slice; a receive for the worker's next push is posted; waits until all
 * workers have taken the weights that they were sent; rank 0 tells the other servers, once, that
 * training is over. */
int64_t ps_slice_count(const struct ps *ps);
void ps_expect_push(struct ps *ps, int worker);
void ps_take_answers_back(struct ps *ps);
void ps_tell_end(struct ps *ps);

/* Ends the loans of all arrivals, counts what went into the update, and lets the node decide what
 * comes next. */
void ps_close_version(struct ps *ps);

/* Sends an answer without weights. */
void ps_send_word(struct ps *ps, int worker, int flags);

/* --record, --replay: FILE.RANK of a server. What is due next: whatever comes, or what the replay
 * wants. */
enum { DUE_ANY, DUE_PUSH, DUE_LEAVING, DUE_END };
struct due {
    int kind, worker;
};
struct order *
order_open(struct node *n);        /* sets n->ending, as all others that change what comes next */
void order_close(struct order *o); /* a record ends here */
void order_note(struct order *o, int kind, int worker);
struct due order_next(const struct order *o);
void order_drop(struct order *o);          /* the rest of the replay is free */
bool order_goes_on(const struct order *o); /* more of this server is wanted: the end waits */
void order_check(struct ps *ps);           /* ends the run when what is wanted cannot come */

/* Each of several servers in a replay tells each other once, when its record has run out or at the
 * latest when it closes: what it takes from then on may not be what the others' records lean on, so
 * all are free. */
void order_hear(struct ps *ps);
void order_tell(struct ps *ps, bool out);

#endif
