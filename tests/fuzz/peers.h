/* One rank of a run whose peers send whatever the input says: the receiver's side of every message.
 *
 * As a world guarantees it, a message comes from a rank that there is, with the tag that was asked
 * for, and its payload has as many bytes as its header says. All else is the input's. A byte says
 * how a message comes (bits of enum peer_message); where a bit is clear, that field is as a peer
 * that works would send it. The run is over, without a defect, when the input is. */
#ifndef TESTS_FUZZ_PEERS_H
#define TESTS_FUZZ_PEERS_H

#include <stdbool.h>

#include "tests/fuzz/fuzz.h"

enum peer_message {
    PEER_FLAGS = 1,
    PEER_VERSION = 2,
    PEER_COUNT = 4,
    PEER_BODY = 8,     /* 64 bytes */
    PEER_BYTES = 16,   /* a number of two bytes: how long the payload is */
    PEER_PAYLOAD = 32, /* a number of one byte, and so many bytes, repeated */
};

/* The byte before says which of the messages that are waited for comes; these bits of it: the time
 * passes instead; messages that end something may come, too. */
enum { PEER_LATER = 128, PEER_ENDS = 64 };

/* The first bytes of the input say scheme, codec, and which of the servers or workers this is. */
void peers_run(const uint8_t *bytes, size_t size, bool serves);

/* A server of asgd, with one more option, whose peers work. */
void peers_serve(const char *option);

/* An input in which peers work; for each scheme and codec one. */
size_t peers_seed(int number, uint8_t *bytes);

#endif
