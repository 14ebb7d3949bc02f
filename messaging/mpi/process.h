/* The inside of the real world: one rank's ways to the others. For the files of messaging/mpi/.
 *
 * One struct process per process. Calls into segment, transport and matching are made between
 * process_lock() and process_unlock(), which cost something only where there is a progress
 * thread. */
#ifndef MESSAGING_MPI_PROCESS_H
#define MESSAGING_MPI_PROCESS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/cores.h"
#include "messaging/calls.h"
#include "messaging/mpi/matching.h"
#include "messaging/mpi/segment.h"
#include "messaging/mpi/transport.h"

#define NAP_MOST_S 1e-3 /* between two looks at the transport; see progress.c */
#define BEAT_S 4.0      /* a heartbeat goes to other hosts this often */
#define GONE INT64_MIN  /* in heard_ns: that rank said that it ends before its time */

struct endpoint { /* what every rank tells every other at the start */
    struct segment_endpoint segment;
    char host[80];
    struct core_set cores; /* of its affinity */
    int available;         /* cores_available() */
};

struct process_clock { /* CLOCK_MONOTONIC; heartbeats of this rank */
    int64_t zero_ns;   /* the world's start */
    int64_t alive_ns;  /* the last look of the program: its heartbeat */
    int64_t beat_ns;   /* the last heartbeat that went to other hosts */
};

struct progress_thread {
    bool runs;
    atomic_bool stop;
    pthread_t thread;
    pthread_mutex_t lock;
};

struct process {
    struct net net;
    struct segment *segment;
    struct transport *transport;
    struct matching *matching; /* NULL: not in mpi_run() */
    struct endpoint *endpoint; /* by rank */
    bool *local, *remote; /* by rank: reached through the segment; on another host. Neither: this */
    int remote_count;
    /* By rank of another host: its last heartbeat; GONE. The program reads it while the progress
     * thread writes. */
    _Atomic int64_t *heard_ns;
    int accessed;  /* ranks that move bytes from or to a window of this one's */
    bool spin;     /* every rank of the host has cores of its own */
    bool departed; /* the run is over, only the library's end is left */
    struct process_clock clock;
    struct progress_thread thread;
};

int64_t clock_ns(void);
void nap(double seconds);

/* progress.c */
void process_lock(struct process *p);
void process_unlock(struct process *p);
/* A heartbeat, and everything that can move moves. True when something between hosts did. */
bool process_advance(struct process *p);
/* Until a request of the list is done (its index), or the payload has moved (0), or that time (-1).
 * Called without the lock. */
int process_wait(struct process *p, struct request *const *list, int count,
                 const struct moving *payload, double until_s);
/* Sleeps until there is something to look at, at most `most_s`; `pause_s`: until the next look at
 * the transport. */
void process_rest(struct process *p, double most_s, double pause_s);
double process_since_heard(const struct process *p, int rank);
/* Tells the owner of a window that this rank accesses it (+1), or no more (-1): it naps less. */
void process_notify_access(struct process *p, int owner, int by);
void process_start_thread(struct process *p);
void process_stop_thread(struct process *p);

/* start.c: who shares this rank's host, which cores it takes, when time begins */
void process_start(struct process *p, const struct world_options *options);

/* end.c */
void process_depart(struct process *p);        /* waits until all have come to the end */
void process_end(struct process *p, int code); /* in exit(): leaves the library, well or not */

/* rma_window.c */
struct rma_window *mpi_window_open(struct net *net, int owner, void *block, size_t bytes);
void *mpi_window_data(struct rma_window *window);
void mpi_window_get(struct rma_window *window, void *into, size_t offset, size_t bytes);
void mpi_window_add(struct rma_window *window, const float *from, int64_t offset, int64_t count);
void mpi_window_close(struct rma_window *window);

#endif
