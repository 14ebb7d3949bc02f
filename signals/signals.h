/* A word to everybody: "push what you have".
 *
 * A signal names a round (a version of the weights, where all workers agree on versions). One of a
 * round gone by is late and means nothing; one ahead of this worker's round has overtaken the
 * weights and is remembered: nothing is ordered between different senders. Cost: W - 1 heads a
 * signal; with a relaying server one, and W - 1 a round. */
#ifndef SIGNALS_SIGNALS_H
#define SIGNALS_SIGNALS_H

#include "node/node.h"

struct signals {
    struct node *n;
    struct request *posted; /* for the next one: what to listen to */
    bool relay;             /* signals go to rank 0, which passes them on (ps_relay_signals) */
    int64_t round;          /* this worker's */
    int64_t newest;         /* round that a signal has named; -1: none yet */
    int64_t sent, received;
};

struct signals signals_open(struct node *n, bool relay);

/* Reads those that have come; true when one asks for what this worker has in its round. Counts and
 * times them in the account. */
bool signals_heard(struct signals *s);

void signals_send(struct signals *s); /* of this worker's round, to every other worker */

/* Reads all that were ever sent to this worker (`sent_to_me` in all: ps_depart() tells), so that
 * none is left unread. */
void signals_close(struct signals *s, int64_t sent_to_me);

#endif
