/* Signals between workers: "push what you have finished".
 *
 * A signal is a header without payload that names a round: a version of the weights, where all
 * workers agree on versions. A signal of an earlier round is late and is ignored. One of a later
 * round has overtaken the weights (messages of different senders have no order) and is remembered.
 *
 * A server may signal a worker, too (ps_signal()): what that means is the scheme's.
 *
 * Cost: W - 1 headers per signal. Where rank 0 relays: one per signal, and W - 1 per round. */
#ifndef SIGNALS_SIGNALS_H
#define SIGNALS_SIGNALS_H

#include "node/node.h"

struct signals {
    struct node *n;
    struct request *posted; /* the receive of the next one: for node_set_interrupt() */
    bool relay;             /* they go to rank 0, which passes them on (ps_relay_signals()) */
    int64_t round;          /* this worker's; its owner sets it */
    int64_t newest;         /* round that a signal has named; -1: none yet */
    int64_t sent, received;
    /* [workers] where they signal to some alone: does it, has it ended? PEER_..; else NULL */
    int8_t *peer;
    int peers, ended; /* of those; whose last signal has come */
};

struct signals signals_open(struct node *n, bool relay);

/* Reads those that have come, and counts them. Does one ask for what this worker has finished in
 * its round? */
bool signals_heard(struct signals *s);

void signals_send(struct signals *s); /* of this worker's round, to every other worker */

/* To one worker, of a round that the caller names. */
void signals_send_to(struct signals *s, int worker, int64_t round);

/* Where workers signal to some alone, whose rounds differ from this one's by one at most: these,
 * `count` workers that call it with this one among theirs. Another's signal, or one of a later
 * round, ends the run. To be closed by signals_close_among(). */
void signals_among(struct signals *s, const int *worker, int count);

/* Tells each of those that no more will come, and reads until all have told. */
void signals_close_among(struct signals *s);

/* Reads the rest of the `sent_to_me` signals that were ever sent to this worker (ps_depart()
 * returns that), so that none stays unread. */
void signals_close(struct signals *s, int64_t sent_to_me);

#endif
