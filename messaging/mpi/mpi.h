/* The inside of the real world, for the files mpi*.c: a rank's ways to the others.
 *
 * One struct world a process. Calls into segment, transport and matching stand between mpi_enter()
 * and mpi_quit(), which cost something only where there is a progress thread. */
#ifndef MESSAGING_MPI_MPI_H
#define MESSAGING_MPI_MPI_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/cores.h"
#include "messaging/messaging.h"
#include "messaging/mpi/matching.h"
#include "messaging/mpi/segment.h"
#include "messaging/mpi/transport.h"

struct endpoint { /* what every rank tells every other at the start */
    struct segment_endpoint segment;
    char host[80];
    struct core_set cores; /* of its affinity */
    int available;         /* cores_available() */
};

struct world {
    struct net net;
    struct segment *segment;
    struct transport *transport;
    struct matching *matching;
    struct endpoint *endpoint; /* by rank */
    bool *local,
        *remote;       /* by rank: a local_rank in the segment; another host's. Neither: oneself */
    int64_t *heard_ns; /* by rank of another host: last sign of life; GONE */
    int remote_count,
        reached;         /* reached: ranks that move bytes from or to a region of this one's */
    bool spin, departed; /* departed: the run is over, only the library's end is left */
    int64_t zero_ns, alive_ns, beat_ns;
    bool threaded;
    atomic_bool stop;
    pthread_t thread;
    pthread_mutex_t lock;
};

void mpi_enter(struct world *w);
void mpi_quit(struct world *w);

/* Everything moves until this payload has (true), or that time has come; to be called outside. */
bool mpi_await(struct world *w, const struct moving *payload, double until_s);

/* sends ENVELOPE_REACH; the owner naps less meanwhile */
void mpi_reach(struct world *w, int owner, int by);

/* mpi_region.c */
struct rma_window *mpi_window_open(struct net *net, int owner, void *block, size_t bytes);
void *mpi_window_data(struct rma_window *region);
void mpi_window_get(struct rma_window *region, void *into, size_t offset, size_t bytes);
void mpi_window_add(struct rma_window *region, const float *from, int64_t offset, int64_t count);
void mpi_window_close(struct rma_window *region);

const void *mpi_block(struct net *net, const struct request *r, size_t *bytes); /* net_block() */

#endif
