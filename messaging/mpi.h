/* The inside of the real world, for the files mpi*.c: a rank's ways to the others.
 *
 * One struct world a process. Calls into window, wire and matching stand between mpi_enter() and mpi_quit(), which cost something only
 * where there is a progress thread. */
#ifndef MESSAGING_MPI_H
#define MESSAGING_MPI_H

#include <pthread.h>
#include <sched.h> /* cpu_set_t: the .c file defines _GNU_SOURCE */
#include <stdatomic.h>

#include "messaging.h"
#include "messaging/matching.h"
#include "messaging/window.h"
#include "messaging/wire.h"

struct card { /* what every rank tells every other at the start */
    struct window_card window;
    char host[80];
    cpu_set_t cores;
};

struct world {
    struct net net;
    struct window *window;
    struct wire *wire;
    struct matching *matching;
    struct card *card;      /* by rank */
    bool *near, *far;       /* by rank: a mate in the window; another host's. Neither: oneself */
    int64_t *heard_ns;      /* by rank of another host: last sign of life; GONE */
    int far_count, reached; /* reached: ranks that move bytes from or to a region of this one's */
    bool spin, departed;    /* departed: the run is over, only the library's end is left */
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

void mpi_reach(struct world *w, int owner, int by); /* sends ENVELOPE_REACH; the owner naps less meanwhile */

/* mpi_region.c */
struct region *mpi_region_open(struct net *net, int owner, void *block, size_t bytes);
void *mpi_region_data(struct region *region);
void mpi_region_get(struct region *region, void *into, size_t offset, size_t bytes);
void mpi_region_add(struct region *region, const float *from, int64_t offset, int64_t count);
void mpi_region_close(struct region *region);

const void *mpi_block(struct net *net, const struct request *r, size_t *bytes); /* net_block() */

#endif
