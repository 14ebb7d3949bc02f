/* Everything that goes through MPI: the start and the end of the program, messages between hosts,
 * one-sided access, its all-reduce.
 *
 * Envelopes are small sends on a communicator of their own. A payload moves in pieces on another
 * one, a few in flight at a time, so that envelopes and other ranks' pieces pass between them; the
 * receiver posts its pieces before it tells the sender to begin, so memory is bounded and nothing
 * arrives unasked. Nothing here waits for another rank but the functions that say so. One thread at
 * a time may be in here (the caller's lock). */
#ifndef MESSAGING_MPI_TRANSPORT_H
#define MESSAGING_MPI_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "messaging/mpi/envelope.h"

enum {
    TRANSPORT_PIECE = 1 << 20,
    TRANSPORT_AHEAD = 4
}; /* bytes of a piece; pieces of one payload in flight */

struct transport;

struct exposure; /* memory of one rank that the others reach one-sided */

struct moving { /* a payload on its way; the caller's, and must stay until moved == bytes */
    char *at;
    size_t bytes, begun, moved; /* from the end down: a gradient's end is ready first */
    int64_t moved_ns;           /* clock_ns() when the last one was that moved */
    size_t ready;               /* out: what lies before this must not leave yet */
    int peer, channel;
    bool out;
    struct exposure *exposure; /* NULL, or: not from or to the peer's program but its memory there,
                                  at `place`; out: added as floats */
    size_t place;
};

struct transport *transport_open(int *rank, int *ranks); /* MPI_Init */
bool transport_threads(const struct transport *t);       /* may two threads call, one at a time? */
/* does MPI say, once it has begun, that it takes pointers into a GPU's memory? */
bool transport_takes_gpu(void);
/* From now on what waits for all ends the program (EXIT_SILENT) after so long. */
void transport_set_patience(struct transport *t, double patience_s);
void transport_drain(struct transport *t); /* waits for all, takes what is still under way */
/* And leaves the library: finalize.h. */
void transport_close(struct transport *t, double patience_s, bool alone, int code);

void transport_barrier(struct transport *t); /* waits for all */
/* everybody's `mine` in the order of ranks; waits for all, over rank 0, which names who does not
 * come */
void transport_gather(struct transport *t, const void *mine, void *all, size_t bytes);
/* one word for each rank, one from each; waits for all */
void transport_exchange(struct transport *t, const bool *to, bool *from);

void transport_post(struct transport *t, int to, const struct envelope *e);
/* false: nothing has come */
bool transport_take(struct transport *t, int *from, struct envelope *e);
/* begins, or goes on as m->ready has fallen; m->moved grows in transport_advance() */
void transport_start(struct transport *t, struct moving *m);
bool transport_advance(struct transport *t);         /* true when something has come to its end */
int64_t transport_moved(const struct transport *t);  /* bytes of payloads, so far */
bool transport_in_flight(const struct transport *t); /* whether anything is in flight ... */
bool transport_is_stepwise(
    const struct transport *t); /* ... that takes many steps, each of them in a
                                                      call of this rank's */

/* Opens and closes memory of one rank to all (block: NULL elsewhere); waits for all, which must be
 * on their way already. */
struct exposure *transport_expose(struct transport *t, void *block, size_t bytes);
void transport_unexpose(struct exposure *e);
/* what this rank has added is there; quick once the pieces have moved */
void transport_flush(struct exposure *e, int owner);

/* Begins the sum of m->at over the ranks `first` and up, MPI's all-reduce; m->moved == m->bytes
 * when done. The first time of a `first` waits for all these ranks, which must be on their way
 * already. */
void transport_sum(struct transport *t, int first, struct moving *m);

/* Tells all the ranks in remote[] that this one is gone; tries for a moment, touches nothing that
 * could be half done. */
void transport_notify_gone(struct transport *t, const bool *remote, int rank, int ranks);

void transport_finish(struct transport *t); /* this rank needs nobody any more ... */
/* ... and neither does any other: to be asked until it is true */
bool transport_all_finished(struct transport *t);

#endif
