/* All that a scheme knows of the outside world: messages, time, and how to wait.
 *
 * Two worlds stand behind one table: messaging/mpi/mpi.c (a rank is a process) and
 * messaging/sim/sim.c (a rank is a coroutine, time is a number). A message is a head of fixed size,
 * copied when it is sent, and a payload, borrowed until the send's request is done. Payloads are
 * sent from memory of net_alloc() only. A receive either names a buffer, or borrows the payload
 * where it lies (between ranks of one host that is the sender's own memory: nothing is copied)
 * until net_release() ends the loan; then, and not before, the sender's request is done. Two
 * messages of one tag from one rank arrive in the order they were sent; nothing else is ordered.
 * Nothing is addressed to oneself. */
#ifndef MESSAGING_MESSAGING_H
#define MESSAGING_MESSAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "messaging/links.h"

enum { NET_ANY = -1 };

enum { HEADER_BODY = 64 }; /* bytes */

struct header {
    int32_t from, to;       /* ranks; set by the world */
    int32_t tag;            /* 0 .. 63; what it is */
    int32_t flags;          /* the tag's business */
    int64_t version;        /* of the weights that the sender worked on, or sends */
    int64_t count;          /* one number, for a message that needs no body */
    char body[HEADER_BODY]; /* a struct of the tag's own: header_pack(), header_unpack() */
    double sent_s;          /* set by the world: the sender's net_now() */
    uint64_t bytes;         /* of the payload; set by the world */
};

/* Copy the struct `message` into the body of `header` (a pointer), or out of it. Sender and
 * receiver must name the same type; the rest of the body stays as it is. */
#define header_pack(header, message)                                                               \
    do {                                                                                           \
        _Static_assert(sizeof(message) <= HEADER_BODY, "longer than the body of a header");        \
        memcpy((header)->body, &(message), sizeof(message));                                       \
    } while (0)
#define header_unpack(header, message)                                                             \
    do {                                                                                           \
        _Static_assert(sizeof(message) <= HEADER_BODY, "longer than the body of a header");        \
        memcpy(&(message), (header)->body, sizeof(message));                                       \
    } while (0)

struct request; /* a send or a receive under way; the world's own, but its first member is a pointer
                   to the world's table */

struct rma_window { /* memory of one rank that others reach; the world's own goes on behind these */
    struct net *net;
    int owner;
    size_t bytes;
};

struct net {
    const struct net_world *world; /* the table below */
    int rank, ranks;
    int local_rank;    /* its number among the ranks of its host: 0, 1, .. */
    int cores;         /* of the host that fall to this rank, at least 1 */
    bool gpu_aware;    /* its library's sum takes memory of a GPU, too */
    size_t piece;      /* bytes in which payloads move, where that takes time */
    bool virtual_time; /* time is a number: computing must be told with net_advance() */
    /* heads and payloads of this rank; counted by the world */
    int64_t sent_bytes, received_bytes, sent_messages, received_messages;
    void *self; /* the world's own */

    /* Told of each block of net_alloc(), when it has come and before it goes; NULL: nobody wants to
     * know. */
    void (*on_allocation)(void *allocation_listener, void *block, size_t bytes, bool comes);
    void *allocation_listener;
};

struct net_world {
    const char *name;
    struct request *(*send)(struct net *, int to, const struct header *head, const void *payload,
                            size_t bytes);
    struct request *(*begin)(struct net *, int to, int tag, const void *payload, size_t bytes);
    /* head: NULL until it is sealed */
    void (*grow)(struct net *, struct request *, size_t from, const struct header *head);
    struct request *(*recv)(struct net *, int from, int tag, void *into, size_t capacity);
    int (*wait)(struct net *, struct request *const *list, int count, double until_s);
    const struct header *(*header)(const struct request *);
    const void *(*data)(const struct request *);
    /* NULL: no block stays */
    const void *(*block)(struct net *, const struct request *, size_t *bytes);
    void (*drop)(struct net *, struct request *);
    double (*now)(struct net *);
    void (*spend)(struct net *, double seconds);
    /* NULL: one part at a time */
    int (*spend_parts)(struct net *, const double *seconds, int count);
    void (*poll)(struct net *);
    void *(*alloc)(struct net *, size_t bytes);
    void (*free)(struct net *, void *);
    double (*silence)(struct net *, int rank);
    const char *(*host)(struct net *, int rank);
    struct rma_window *(*window_open)(struct net *, int owner, void *block, size_t bytes);
    void *(*window_data)(struct rma_window *);
    void (*window_get)(struct rma_window *, void *into, size_t offset, size_t bytes);
    void (*window_add)(struct rma_window *, const float *from, int64_t offset, int64_t count);
    void (*window_close)(struct rma_window *);
    /* NULL: this world has none */
    struct request *(*sum)(struct net *, int first, float *vector, int64_t count);
};

/* Sends `head` and `bytes` of payload (NULL and 0: the head alone) to rank `to`. Returns the
 * request to wait for and drop, NULL when there is nothing to wait for (a head alone is copied at
 * once). */
struct request *net_send(struct net *net, int to, const struct header *head, const void *payload,
                         size_t bytes);

/* The same for a payload that becomes ready from its end down, as a gradient does while backward
 * runs: begins it, then says, as often as one likes, that its bytes from `from` on are final
 * (`from` never rises), and seals it with its head when all are. To everybody it is a message sent
 * by net_send_commit(); but where moving takes time (between hosts), the pieces that are ready move
 * before that. Until it is sealed nobody is told of it, and its request is not done. What is not
 * ready may be written to, the rest not. */
struct request *net_send_begin(struct net *net, int to, int tag, const void *payload, size_t bytes);
void net_send_ready(struct net *net, struct request *request, size_t from);
void net_send_commit(struct net *net, struct request *request, const struct header *head);

/* Posts a receive of the next message with `tag` from rank `from` (or NET_ANY). With `into`, the
 * payload is put there (longer than `capacity` bytes: the program ends, naming both); with NULL it
 * is borrowed: see net_data(). */
struct request *net_recv(struct net *net, int from, int tag, void *into, size_t capacity);

/* Waits until one of the requests is done or the clock shows until_s; returns its index (the lowest
 * one done), -1 when the time is up. NULLs in the list are passed over. until_s = 0 only looks;
 * INFINITY waits for ever. Messages move on meanwhile. */
int net_wait(struct net *net, struct request *const *list, int count, double until_s);

/* the head of a receive that is done */
const struct header *net_header(const struct request *request);
/* where its payload lies, until net_release() */
const void *net_data(const struct request *request);

/* The block in which the sender of a borrowed payload has it, where that stays readable here until
 * the world's end, whatever its sender does (ranks of one host); NULL: nobody knows how long. */
const void *net_block(struct net *net, const struct request *request, size_t *bytes);

/* Gives a request back and forgets it: of a borrowed payload the loan ends; a receive that nothing
 * has met is taken back; a send must be done. NULL is fine. */
void net_release(struct net *net, struct request *request);

double net_now(struct net *net); /* seconds since the world's start */
/* passes that time; messages move on meanwhile */
void net_advance(struct net *net, double seconds);

/* Passes `count` times, at least 1, one after the other; ends behind one of them when a request of
 * this rank was done since the last such call had returned. Returns how many have passed. So a rank
 * that has nothing to hear need not be asked behind each. */
int net_advance_parts(struct net *net, const double *seconds, int count);
/* lets messages move on and gives a sign of life; cheap, call it often */
void net_poll(struct net *net);

/* Memory to send from, zeroed, 64-byte aligned; the ranks of one host read it in place. */
void *net_alloc(struct net *net, size_t bytes);
void net_free(struct net *net, void *block);

/* seconds since that rank's last sign of life; INFINITY when it is known dead */
double net_since_heard(struct net *net, int rank);
const char *net_host(struct net *net, int rank); /* where it runs */

/* Everybody waits for everybody; a star over rank 0, two heads a rank. Tag 63 is the barrier's own,
 * and that of regions. */
void net_barrier(struct net *net);

/* Memory of one rank that all others read and write without asking, and without any order among
 * them (Niu et al. 2011: Hogwild). Opening and closing are collective: all ranks of the world, in
 * one order. `block`: the owner's, of net_alloc(); NULL elsewhere. */
struct rma_window *net_window_open(struct net *net, int owner, void *block, size_t bytes);
void net_window_close(struct rma_window *region);

/* Where this rank loads and stores it directly; NULL on another host. A float is read and written
 * whole; of two ranks that change one float at a time, one change may be lost. */
void *net_window_data(struct rma_window *region);

/* Copies `bytes` from `offset` (both in bytes) on; one-sided: what others write meanwhile is seen
 * in part. */
void net_window_get(struct rma_window *region, void *into, size_t offset, size_t bytes);

/* Adds `count` floats from `offset` (both in floats) on, each atomic among all ranks'
 * net_window_add(); done at the owner on return. The owner takes part from another host: it must
 * wait, compute or net_poll(). Zeros cost least. */
void net_window_add(struct rma_window *region, const float *from, int64_t offset, int64_t count);

/* Begins the sum over the ranks `first` and up, in place, by the all-reduce of the world's library,
 * if it has one; all of these ranks together, one at a time. The vector is the world's until the
 * request is done; where net->gpu_aware says so it may lie on a GPU. */
bool net_can_sum(const struct net *net);
struct request *net_sum(struct net *net, int first, float *vector, int64_t count);

/* What a world is opened with; only the fields of the world in use count. */
struct world_options {
    int ranks;        /* sim: how many coroutines; mpi: taken from the launcher */
    uint64_t seed;    /* sim: of the jitter */
    double latency_s; /* sim: of every link */
    double jitter_s;  /* sim: a message is later by a keyed random part of this; order within a tag
                         is kept */
    double bandwidth; /* sim: bytes a second of each rank's outgoing and incoming wire, which are
                         serial; 0: no limit */
    const struct links *links; /* sim: not NULL: a shaped network (messaging/links.h) instead of
                                  these three numbers; borrowed */
    /* sim: bytes in which a payload that grows leaves; 0: 1 MiB, as in the real world */
    size_t piece;
    bool lax;             /* sim: payloads in flight are not checksummed */
    size_t stack_bytes;   /* sim: of each coroutine, 0 for the default (256 KiB, mapped as it is
                             touched) */
    bool progress_thread; /* mpi: a thread keeps messages between hosts moving (else net_poll does)
                           */
    bool pin;             /* mpi: pin the ranks of a host apart where it has cores enough */
    int threads;          /* mpi: cores to pin a rank to */
    const char *gpu; /* mpi: does its library take memory of a GPU? "yes", "no", "auto": as it says
                        (NULL: auto) */
};

/* of the MPI library, in words; may be called before mpi_run() */
void mpi_version(char *text, size_t size);
/* does the library say that it takes memory of a GPU? Before mpi_join() it says no */
bool mpi_takes_gpu(void);

/* Joins the launcher's world and returns how many ranks it has; mpi_run() does it where it was not
 * done. From here on an exit() with an error ends all ranks, so that a mistake that every rank
 * makes is said once and one that a single rank makes leaves nobody waiting. */
int mpi_join(void);

/* Runs body(net, argument) on every rank of the world and returns when all that run here have
 * returned. */
void mpi_run(const struct world_options *options, void (*body)(struct net *, void *),
             void *argument);
void sim_run(const struct world_options *options, void (*body)(struct net *, void *),
             void *argument);

#endif
