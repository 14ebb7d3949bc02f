/* What the messages between workers and servers say: a struct for the body of each kind.
 *
 *   TAG_PUSH      worker -> server   push_note; payload: the slice, none without mini-batches
 *   TAG_PARAMS    server -> worker   reply_note; payload: the slice of weights, or none
 *   TAG_DEPART    worker -> server   depart_note: it pushes no more
 *   TAG_STOP      rank 0 -> server   stop_note: training is over; to workers, too, where the scheme
 *                                    announces it
 *   TAG_FAREWELL  rank 0 -> all      farewell_note: all have departed, the last evaluation is done
 *   TAG_REPLAY    server -> server   recording_note when they open, then replay_note
 *   TAG_NORM      server -> server   squares_packed: of its slice of a version's gradient
 *   TAG_ORDER     rank 0 -> server   order_note: what that server is to take next
 *
 * The count of a reply is the number of rank 0's newest checkpoint, that of a push the number of
 * the worker's (node/keeping.c).
 */
#ifndef PARAMETER_SERVER_MESSAGES_H
#define PARAMETER_SERVER_MESSAGES_H

#include "messaging/messaging.h"

/* Flags in the headers of pushes and of replies. */
enum {
    PUSH_NO_REPLY = 1, /* the worker wants none */
    PUSH_REPORT = 2    /* of what it did itself: no payload */
};
enum {
    REPLY_STOP = 1,      /* training is over */
    REPLY_UNCHANGED = 2, /* no payload: the weights it has are still the newest */
    REPLY_DROPPED = 4    /* of what it pushed since the last reply something was dropped */
};

/* The greatest count that a note may name. Times 2^20 samples of a mini-batch, and summed over many
 * notes, it stays a whole number. */
#define NOTE_MOST INT32_MAX

struct push_note {
    int64_t minibatches; /* whose gradients it sums */
    double computed_s;   /* computing of those */
    int64_t clock;       /* the worker's */
    double loss;         /* summed over samples */
    double aborted_s;    /* computing of those that were aborted since the last push */
    double signal_s;     /* the slowest signal's time on its way */
    double waited_s;     /* since the last push */
    int32_t aborted;     /* mini-batches that were dropped */
    int32_t staleness;   /* of a carried mini-batch, beyond that of the header's version */
};

/* What a note says is summed, and multiplied by samples: no number of it may be one that no worker
 * could mean (CHECK). A loss may be no number. */
void push_note_check(const struct header *m, const struct push_note *note);

struct reply_note {
    int64_t samples;   /* used by all workers so far */
    int64_t min_clock; /* the server's clock: the least of all workers' */
    double lr;         /* of the next update */
    int64_t status;    /* exit code of the run */
};

/* The same for a reply: its rate and its clock decide how far and how often a worker steps. */
void reply_note_check(const struct header *m, const struct reply_note *note);

struct depart_note {
    int64_t signals; /* that the worker has sent */
    int64_t cut;     /* number of its last checkpoint */
};

void depart_note_check(const struct header *m, const struct depart_note *note);

struct farewell_note {
    int64_t signals;  /* that were sent to the worker */
    double dropped_s; /* computing of what it pushed in vain; of several servers rank 0 speaks */
    int64_t absent;   /* a rank that is absent, and will not come to the end; 0: none is */
};

void farewell_note_check(const struct header *m, const struct farewell_note *note);

struct stop_note {
    int64_t drop_replay; /* 1: whatever your record says */
    int64_t events;      /* that were ordered: what comes after them is dropped */
};

struct recording_note {
    int64_t name;
};

struct order_note {
    int64_t kind, worker; /* of a struct event */
    int64_t cut;          /* number of rank 0's last checkpoint, from before that event */
};

struct replay_note {
    int64_t drop; /* 1: the sender's record has run out */
};

/* Sends a header alone; `note` is a variable. */
#define send_note(net, to, its_tag, note)                                                          \
    do {                                                                                           \
        struct header its_header = {.tag = (its_tag)};                                             \
        header_pack(&its_header, note);                                                            \
        net_send(net, to, &its_header, NULL, 0);                                                   \
    } while (0)

#endif
