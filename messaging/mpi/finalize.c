/* MPICH 4.0.2 over UCX's TCP hangs now and then in MPI_Finalize (plain MPI programs do, too): one
 * rank waits for another to move bytes, which waits for all in the launcher's barrier without
 * moving any. By then all is done. So a thread of each rank watches. When its time is over it holds
 * the hanging thread where it is and tells the launcher that this rank has ended well. A launcher
 * that does not understand is told to end all ranks instead. So is one of a single host: there the
 * library does not hang, but a rank may be stopped. */
#define _GNU_SOURCE
#include "messaging/mpi/finalize.h"

#include <fcntl.h>
#include <math.h>
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/latch.h"
#include "messaging/mpi/launcher.h"
#include "messaging/mpi/process.h"

struct watch {
    pthread_t thread, watched;
    struct latch ended; /* MPI_Finalize has returned */
    double patience_s;
    bool alone; /* all ranks are of this host */
    int rank, code;
};

static void stay(int signal)
{
    (void)signal;
    for (;;)
        pause();
}

static bool ends_in_time(struct watch *w)
{
    return latch_wait(&w->ended, clock_ns() + (int64_t)(1e9 * w->patience_s));
}

static void *lose_patience(void *self)
{
    struct watch *w = self;
    if (ends_in_time(w))
        return NULL;
    if (w->rank == 0 || w->alone)
        fprintf(stderr, "nbsgd: all is done and written, but the MPI library does not end "
                        "(MPI_Finalize hangs); this run ends without it\n");
    signal(SIGRTMIN, stay);
    pthread_kill(w->watched, SIGRTMIN);
    fflush(NULL);
    if (w->alone) {
        nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL); /* until our words are read */
        finalize_abort(w->code);
    }
    /* until all are held: when one ends, another may go on to the barrier */
    nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    if (launcher_release())
        _exit(w->code);
    if (w->rank == 0)
        finalize_abort(w->code);
    return NULL;
}

void finalize_world(int rank, double patience_s, bool alone, int code)
{
    struct watch w = {.watched = pthread_self(),
                      .patience_s = patience_s,
                      .alone = alone,
                      .rank = rank,
                      .code = code};
    latch_begin(&w.ended);
    bool watched = isfinite(patience_s) && !pthread_create(&w.thread, NULL, lose_patience, &w);
    CHECK(MPI_Finalize() == MPI_SUCCESS, "MPI_Finalize failed");
    if (watched) {
        latch_open(&w.ended);
        pthread_join(w.thread, NULL);
    }
}

_Noreturn void finalize_abort(int code)
{
    /* MPICH would add a line to what has been said; Open MPI's launcher does add one. */
    int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDERR_FILENO);
    MPI_Abort(MPI_COMM_WORLD, code);
    _exit(code);
}
