/* The inside of the real world: one rank's ways to the others. For the files of messaging/mpi/.
 *
 * One struct process per process. Calls into segment, transport and matching are made between
 * process_lock() and process_unlock(), which cost something only where there are other hosts: there
 * a thread calls MPI, too. */
#ifndef MESSAGING_MPI_PROCESS_H
#define MESSAGING_MPI_PROCESS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/cores.h"
#include "base/latch.h"
#include "messaging/calls.h"
#include "messaging/mpi/agreement.h"
#include "messaging/mpi/matching.h"
#include "messaging/mpi/segment.h"
#include "messaging/mpi/start_watch.h"
#include "messaging/mpi/transport.h"

#define NAP_MOST_S 1e-3 /* between two looks at the transport; see progress.c */
#define BEAT_S 4.0      /* a heartbeat goes to other hosts this often, or thrice a deadline */
#define READ_S                                                                                     \
    0.2 /* a launcher that is told to end all forgets what it has not read of our words */
#define GRACE_S 5.0       /* rank 0 speaks first */
#define GONE SEGMENT_GONE /* in heard_ns: that rank said that it ends before its time */

struct endpoint { /* what every rank tells every other at the start */
    struct segment_endpoint segment;
    char host[80];
    struct core_set cores; /* of its affinity */
    int available;         /* cores_available() */
};

struct process_clock { /* CLOCK_MONOTONIC; heartbeats of this rank */
    int64_t zero_ns;   /* the world's start */
    int64_t alive_ns;  /* the last look of the program: a heartbeat */
    int64_t beat_ns;   /* the last heartbeat that went to other hosts */
};

struct progress_thread {
    bool runs;
    atomic_bool stop;
    pthread_t thread;
};

struct pulse { /* pulse.c */
    bool runs;
    struct latch stop;
    pthread_t thread;
    _Atomic int64_t ticked_ns;  /* its last look at the clock */
    _Atomic int64_t resumed_ns; /* when this process went on after it had stood still */
    int64_t said_ns;            /* the step after which it has said that this rank is busy */
};

struct remote_signs { /* of a rank of another host, as of its last heartbeat with a note */
    int64_t noted_ns, stepped_ns;
    struct net_activity activity;
};

enum start_stage { START_FREE, START_JOINED, START_HANDED, START_AGREED };

struct process {
    struct net net;
    struct agreement *agreement;
    struct start_watch watch;
    enum start_stage stage; /* of the agreement; free: this program has none */
    struct segment *segment;
    struct transport *transport;
    struct matching *matching; /* NULL: not in mpi_run() */
    struct endpoint *endpoint; /* by rank */
    bool *local, *remote; /* by rank: reached through the segment; on another host. Neither: this */
    int remote_count;
    /* By rank of another host: its last heartbeat; GONE. The program reads it while a thread
     * writes. */
    _Atomic int64_t *heard_ns;
    struct remote_signs *signs; /* [ranks] */
    bool *absent;               /* [ranks] net_set_absent()'s */
    int accessed;               /* ranks that move bytes from or to a window of this one's */
    bool spin;                  /* every rank of the host has cores of its own */
    bool departed;              /* the run is over, only the library's end is left */
    bool deserted;              /* an absent rank has not come back: the library cannot end */
    struct process_clock clock;
    struct progress_thread thread;
    struct pulse pulse;
    bool locks; /* a thread calls MPI, too */
    pthread_mutex_t lock;
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
double process_beat_s(const struct process *p); /* between two heartbeats to other hosts */
double process_since_heard(const struct process *p, int rank);
struct net_vitals process_vitals(struct process *p, int rank);
void process_act(struct process *p); /* publishes what this rank does, as a step */
/* Tells the owner of a window that this rank accesses it (+1), or no more (-1): it naps less. */
void process_notify_access(struct process *p, int owner, int by);
/* A heartbeat, and whatever can move between hosts moves; for threads, with the lock. */
bool process_advance_mpi(struct process *p);
/* The heartbeat, and where there are other hosts and it is wanted, a thread that moves messages. */
void process_start_threads(struct process *p, bool progress);
void process_stop_threads(struct process *p);

/* pulse.c: the heartbeat */
void pulse_start(struct process *p);
void pulse_stop(struct process *p);
/* The later of then and when this process last went on after it had stood still; now, if it has
 * just done so. */
int64_t pulse_forgiven(const struct process *p, int64_t then_ns, int64_t now_ns);

/* start.c: who shares this rank's host, which cores it takes, when time begins */
void process_start(struct process *p, const struct world_options *options);

/* end.c */
bool process_any_absent(const struct process *p);
void process_depart(struct process *p);        /* waits until all have come to the end */
void process_end(struct process *p, int code); /* in exit(): leaves the library, well or not */

/* rma_window.c */
struct rma_window *mpi_window_open(struct net *net, int owner, void *block, size_t bytes);
void *mpi_window_data(struct rma_window *window);
void mpi_window_get(struct rma_window *window, void *into, size_t offset, size_t bytes);
void mpi_window_add(struct rma_window *window, const float *from, int64_t offset, int64_t count);
void mpi_window_close(struct rma_window *window);

#endif
