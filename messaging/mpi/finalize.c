/* MPICH 4.0.2 over UCX's TCP hangs now and then in MPI_Finalize (plain MPI programs do, too): one
 * rank waits for another to move bytes, which waits for all in the launcher's barrier without
 * moving any. All that was to be done is done by then. So a thread of each rank watches, and when
 * it loses patience it holds the hanging one where it is and tells the launcher, in its own words,
 * that this rank has ended well. A launcher that does not know them, and answers nothing, is told
 * to end all ranks instead. */
#define _GNU_SOURCE
#include "messaging/mpi/finalize.h"

#include <fcntl.h>
#include <math.h>
#include <mpi.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

enum { ANSWER_MS = 1000 };

struct watch {
    pthread_t thread, watched;
    double patience_s;
    int rank, code;
};

static void stay(int signal)
{
    (void)signal;
    for (;;)
        pause();
}

/* PMI-1, which MPICH's launcher speaks on this descriptor; true: it has understood. Nobody else may
 * read there meanwhile. */
static bool tell_launcher(void)
{
    static const char words[] = "cmd=finalize\n";
    const char *name = getenv("PMI_FD");
    char answer[256] = "";
    if (!name)
        return false;
    struct pollfd pmi = {.fd = atoi(name), .events = POLLIN};
    if (write(pmi.fd, words, strlen(words)) != (ssize_t)strlen(words))
        return false;
    while (!strstr(answer, "finalize_ack")) { /* what else may come answers what was asked before */
        if (poll(&pmi, 1, ANSWER_MS) != 1)
            return false;
        ssize_t length = read(pmi.fd, answer, sizeof answer - 1);
        if (length <= 0)
            return false;
        answer[length] = '\0';
    }
    return true;
}

static void *lose_patience(void *self)
{
    struct watch *w = self;
    struct timespec s = {.tv_sec = (time_t)w->patience_s};
    nanosleep(&s, NULL);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    if (w->rank == 0)
        fprintf(stderr, "nbsgd: all is done and written, but the MPI library does not end "
                        "(MPI_Finalize); it is left as it is\n");
    signal(SIGRTMIN, stay);
    pthread_kill(w->watched, SIGRTMIN);
    fflush(NULL);
    /* until all are held: when one ends, another may go on to the barrier */
    nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    if (tell_launcher())
        _exit(w->code);
    if (w->rank == 0)
        finalize_abort(w->code);
    return NULL;
}

void finalize_finalize(int rank, double patience_s, int code)
{
    struct watch w = {
        .watched = pthread_self(), .patience_s = patience_s, .rank = rank, .code = code};
    bool watched = isfinite(patience_s) && !pthread_create(&w.thread, NULL, lose_patience, &w);
    CHECK(MPI_Finalize() == MPI_SUCCESS, "MPI_Finalize failed");
    if (watched) {
        pthread_cancel(w.thread);
        pthread_join(w.thread, NULL);
    }
}

_Noreturn void finalize_abort(int code)
{
    int nowhere =
        open("/dev/null", O_WRONLY); /* MPICH would add a line to what has been said already */
    dup2(nowhere, STDERR_FILENO);
    MPI_Abort(MPI_COMM_WORLD, code);
    _exit(code);
}
