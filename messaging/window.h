/* The memory that the ranks of one host share: blocks to send from, a letter box for each rank, a bell, a sign of life.
 *
 * Every rank owns one file without a name (memfd_create): it dies with the last process that has it open, whatever killed the others, and
 * the size of /dev/shm is no limit to it. Mates open it through /proc/PID/fd and map a block when they first hear of it.
 * Payloads are mapped read-only at the mate's, regions writable. A letter box is a ring for each pair of ranks with one writer and one
 * reader; what finds it full waits in the writer's memory (window_flush), so that nobody ever waits for room and no circle of full
 * rings can form. */
#ifndef MESSAGING_WINDOW_H
#define MESSAGING_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "messaging/envelope.h"

struct window;

struct window_card { /* what a mate must know to find the file */
    int32_t process, file;
    uint64_t nonce;
};

struct window *window_open(int rank, int ranks, struct window_card *card); /* `card` is filled in */
void window_close(struct window *w);

/* Opens that rank's file; false when it cannot be opened or is another's (a container, another user). */
bool window_meet(struct window *w, int rank, const struct window_card *card);

/* Ends the meeting: mates are those met ranks that near[rank] is true for (the others did not find us, or shall not). */
void window_keep(struct window *w, const bool *near);

/* Zeroed and touched memory, whole pages, that mates can be shown. */
void *window_alloc(struct window *w, size_t bytes);
void window_free(struct window *w, void *block);

/* Writes into the envelope where [data, data + bytes) lies; false when that is not inside one block. */
bool window_show(const struct window *w, const void *data, size_t bytes, struct envelope *e);

/* Where the payload of a mate's envelope lies here; ends the program when the envelope points outside the mate's file. */
const void *window_see(struct window *w, int from, const struct envelope *e);

/* The mate's whole block, as it is mapped here until window_close(), that holds what window_see() returned; NULL: none does. */
const void *window_block(const struct window *w, int from, const void *data, size_t *bytes);

/* The same for a region: mapped anew, to be written to as well, until window_unshare() is given what this returned. */
void *window_share(struct window *w, int from, const struct envelope *e);
void window_unshare(void *data, const struct envelope *e);

void window_put(struct window *w, int to, const struct envelope *e); /* never waits */
bool window_take(struct window *w, int *from, struct envelope *e);   /* false: nothing has come; costs one load then */
bool window_flush(struct window *w);                                 /* tries again what found a ring full; true when all has left */

/* Sleeps until someone rings, at most `seconds`; not at all when the bell rang since window_take() last found nothing. */
void window_sleep(struct window *w, double seconds);
bool window_rang(const struct window *w);     /* whether it rang since then */
void window_ring(struct window *w, int rank); /* wakes that mate, or (from another thread) oneself */

void window_alive(struct window *w, int64_t now_ns);                     /* leaves a sign of life */
double window_silence(const struct window *w, int rank, int64_t now_ns); /* seconds; INFINITY when the mate is gone or dead */
void window_leave(struct window *w);                                     /* says that this rank is gone */
bool window_left(const struct window *w, int rank);                      /* whether the mate said so */

#endif
