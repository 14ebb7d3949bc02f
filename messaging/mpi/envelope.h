/* What travels between two ranks beside the payload: a message's header, and what it takes to find,
 * fetch and release the payload.
 *
 * One layout for both ways: segment.c (ranks of one host) and transport.c (different hosts).
 * Envelopes of one pair of ranks arrive in the order they were sent, copied whole. The way
 * guarantees who sent it, nobody the rest: the receiver checks. */
#ifndef MESSAGING_MPI_ENVELOPE_H
#define MESSAGING_MPI_ENVELOPE_H

#include "messaging/messaging.h"

enum envelope_kind {
    ENVELOPE_MESSAGE = 1, /* a message; its payload stays referenced until ENVELOPE_RELEASED */
    ENVELOPE_RELEASED,    /* the receiver needs the payload no longer */
    /* Between hosts: */
    ENVELOPE_EARLY,  /* header.bytes of payload; the MESSAGE follows when the last is ready */
    ENVELOPE_READY,  /* the receiver has room for the payload, the pieces may come */
    ENVELOPE_ALIVE,  /* a heartbeat; the header's body: struct alive_note */
    ENVELOPE_GONE,   /* the sender's program ends before its time */
    ENVELOPE_ACCESS, /* header.count 1: the sender begins to access a window here; -1: it is done */
};

struct alive_note {
    int64_t still_ns; /* since the sender's last step */
    struct net_activity activity;
};

struct envelope {
    struct header header;
    int32_t kind; /* enum envelope_kind */
    /* MESSAGE, EARLY: the sender's number for the payload, 0: there is none. READY, RELEASED: that
     * number again. */
    uint32_t reference;
    int32_t channel; /* READY: the tag that the pieces are to carry */
    /* MESSAGE within a host: the payload is at `offset` of [block, block + span) in the sender's
     * file. */
    uint64_t block, span, offset;
};

#endif
