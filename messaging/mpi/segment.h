/* The memory that the ranks of one host share: blocks to send from, a mailbox ring for each rank, a
 * doorbell, a heartbeat.
 *
 * Every rank owns one file without a name (memfd_create): it dies with the last process that has it
 * open, whatever killed the others, and the size of /dev/shm is no limit to it. Local ranks open it
 * through /proc/PID/fd and map a block when they first hear of it. Payloads are mapped read-only at
 * the local rank's, rma windows writable. A mailbox ring is a ring for each pair of ranks with one
 * writer and one reader; what finds it full waits in the writer's memory (segment_flush), so that
 * nobody ever waits for room and no circle of full rings can form. */
#ifndef MESSAGING_MPI_SEGMENT_H
#define MESSAGING_MPI_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "messaging/mpi/envelope.h"

struct segment;

struct segment_endpoint { /* what a local rank must know to find the file */
    int32_t process, file;
    uint64_t nonce;
};

/* `endpoint` is filled in */
struct segment *segment_open(int rank, int ranks, struct segment_endpoint *endpoint);
void segment_close(struct segment *s);

/* Opens that rank's file; false when it cannot be opened or is another's (a container, another
 * user). */
bool segment_meet(struct segment *s, int rank, const struct segment_endpoint *endpoint);

/* Ends the meeting: local ranks are those met ranks that local[rank] is true for (the others did
 * not find us, or shall not). */
void segment_set_local(struct segment *s, const bool *local);

/* Zeroed and touched memory, whole pages, that local ranks can be shown. */
void *segment_alloc(struct segment *s, size_t bytes);
void segment_free(struct segment *s, void *block);

/* Writes into the envelope where [data, data + bytes) lies; false when that is not inside one
 * block. */
bool segment_locate(const struct segment *s, const void *data, size_t bytes, struct envelope *e);

/* Where the payload of a local rank's envelope lies here; ends the program when the envelope points
 * outside the local rank's file. */
const void *segment_resolve(struct segment *s, int from, const struct envelope *e);

/* The local rank's whole block, as it is mapped here until segment_close(), that holds what
 * segment_resolve() returned; NULL: none does. */
const void *segment_block(const struct segment *s, int from, const void *data, size_t *bytes);

/* The same for an rma window: mapped anew, to be written to as well, until segment_unmap() is given
 * what this returned. */
void *segment_map(struct segment *s, int from, const struct envelope *e);
void segment_unmap(void *data, const struct envelope *e);

void segment_post(struct segment *s, int to, const struct envelope *e); /* never waits */
/* false: nothing has come; costs one load then */
bool segment_take(struct segment *s, int *from, struct envelope *e);
/* tries again what found a ring full; true when all has left */
bool segment_flush(struct segment *s);

/* Sleeps until someone rings, at most `seconds`; not at all when the doorbell rang since
 * segment_take() last found nothing. */
void segment_sleep(struct segment *s, double seconds);
bool segment_rang(const struct segment *s); /* whether it rang since then */
/* wakes that local rank, or (from another thread) oneself */
void segment_ring(struct segment *s, int rank);

void segment_alive(struct segment *s, int64_t now_ns); /* leaves a heartbeat */
void segment_step(struct segment *s, int64_t now_ns);  /* and a step */
void segment_act(struct segment *s, const struct net_activity *activity);

/* Of a local rank, or of this one: when it gave its last heartbeat and its last step. A heartbeat
 * of SEGMENT_GONE: it is gone, or dead. */
struct segment_signs {
    int64_t alive_ns, stepped_ns;
    struct net_activity activity;
};
#define SEGMENT_GONE INT64_MIN
struct segment_signs segment_signs(const struct segment *s, int rank);
void segment_set_gone(struct segment *s);                /* says that this rank is gone */
bool segment_is_gone(const struct segment *s, int rank); /* whether the local rank said so */

#endif
