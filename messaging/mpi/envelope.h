/* What travels between two ranks beside the payload: a head, and what it takes to find, fetch and
 * give back its payload.
 *
 * One layout for both carriers: messaging/mpi/segment.c (ranks of one host) and
 * messaging/mpi/transport.c (ranks of different hosts). Envelopes of one pair of ranks arrive in
 * the order they were sent. Copied whole; the carrier vouches for the sender, nobody for the
 * rest. */
#ifndef MESSAGING_MPI_ENVELOPE_H
#define MESSAGING_MPI_ENVELOPE_H

#include "messaging/messaging.h"

enum envelope_kind {
    ENVELOPE_MESSAGE =
        1, /* a message; its payload, if there is one, is on reference until ENVELOPE_RELEASED */
    ENVELOPE_EARLY, /* between hosts: header.bytes of payload, whose ENVELOPE_MESSAGE comes when the
                       last of them is ready */
    ENVELOPE_READY, /* between hosts: the receiver has room for the payload, the pieces may come */
    ENVELOPE_RELEASED, /* the receiver needs the payload no longer */
    ENVELOPE_ALIVE, /* between hosts: header.count nanoseconds ago the sender's program gave a sign of
                          life */
    ENVELOPE_GONE, /* between hosts: the sender's program ends before its time */
    ENVELOPE_REACH, /* header.count 1: the sender begins to reach into a region of the receiver's; -1:
                       it has done so */
};

struct envelope {
    struct header header;
    int32_t kind;       /* enum envelope_kind */
    uint32_t reference; /* MESSAGE, EARLY: the sender's number for the reference, 0 without payload;
                           READY, RELEASED: that number again */
    int32_t channel;    /* READY: the tag that the pieces are to carry */
    uint64_t block, span, offset; /* MESSAGE within a host: payload at `offset` of the block [block,
                                     block + span) in the sender's file */
};

#endif
