/* Everything that goes through MPI: the start and the end of the program, messages between hosts, one-sided access, its all-reduce.
 *
 * Envelopes are small sends on a communicator of their own. A payload moves in pieces on another one, a few in flight at a time, so
 * that envelopes and other ranks' pieces pass between them; the receiver posts its pieces before it tells the sender to begin, so
 * memory is bounded and nothing arrives unasked. Nothing here waits for another rank but the functions that say so. One thread
 * at a time may be in here (the caller's lock). */
#ifndef MESSAGING_WIRE_H
#define MESSAGING_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "messaging/envelope.h"

enum { WIRE_PIECE = 1 << 20, WIRE_AHEAD = 4 }; /* bytes of a piece; pieces of one payload in flight */

struct wire;

struct exposure; /* memory of one rank that the others reach one-sided */

struct moving { /* a payload on its way; the caller's, and must stay until moved == bytes */
    char *at;
    size_t bytes, begun, moved; /* from the end down: a gradient's end is ready first */
    size_t ready;               /* out: what lies before this may not leave yet */
    int peer, channel;
    bool out;
    struct exposure *exposure; /* NULL, or: not from or to the peer's program but its memory there, at `place`; out: added as floats */
    size_t place;
};

struct wire *wire_open(int *rank, int *ranks); /* MPI_Init */
bool wire_threads(const struct wire *w);       /* may two threads call, one at a time? */
bool wire_takes_gpu(void);                     /* does MPI say, once it has begun, that it takes pointers into a GPU's memory? */
void wire_drain(struct wire *w);               /* waits for all, takes what is still under way */
/* And leaves the library: ending.h. */
void wire_close(struct wire *w, double patience_s, int code);

void wire_barrier(struct wire *w);                                           /* waits for all */
void wire_gather(struct wire *w, const void *mine, void *all, size_t bytes); /* everybody's `mine` in the order of ranks; waits for all */
void wire_swap(struct wire *w, const bool *to, bool *from);                  /* one word for each rank, one from each; waits for all */

void wire_put(struct wire *w, int to, const struct envelope *e);
bool wire_take(struct wire *w, int *from, struct envelope *e); /* false: nothing has come */
void wire_move(struct wire *w, struct moving *m); /* begins, or goes on as m->ready has fallen; m->moved grows in wire_advance() */
bool wire_advance(struct wire *w);                /* true when something has come to its end */
bool wire_moving(const struct wire *w);           /* whether anything is in flight ... */
bool wire_hurries(const struct wire *w);          /* ... that takes many steps, each of them in a call of this rank's */

/* Opens and closes memory of one rank to all (block: NULL elsewhere); waits for all, who shall be on their way already. */
struct exposure *wire_expose(struct wire *w, void *block, size_t bytes);
void wire_cover(struct exposure *e);
void wire_flush(struct exposure *e, int owner); /* what this rank has added is there; quick once the pieces have moved */

/* Begins the sum of m->at over the ranks `first` and up, MPI's all-reduce; m->moved == m->bytes when done. The first time of a
 * `first` waits for all these ranks, who shall be on their way already. */
void wire_sum(struct wire *w, int first, struct moving *m);

/* Tells all the ranks in far[] that this one is gone; tries for a moment, touches nothing that could be half done. */
void wire_farewell(struct wire *w, const bool *far, int rank, int ranks);

void wire_leave(struct wire *w); /* this rank needs nobody any more ... */
bool wire_left(struct wire *w);  /* ... and neither does any other: to be asked until it is true */

#endif
