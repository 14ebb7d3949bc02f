/* Nonblocking collectives that are asked again and again, so that none waits without a deadline. */
#include "messaging/mpi/together.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/check.h"
#include "messaging/mpi/process.h"

void mpi_failed(const char *file, int line, const char *call, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "?";
    int length;
    MPI_Error_string(code, text, &length);
    check_failed(file, line, "%s: %s", call, text);
}

static double since_s(int64_t begin_ns)
{
    return 1e-9 * (double)(clock_ns() - begin_ns);
}

/* Between two looks: none at first, when all are on their way. */
static void rest_since(int64_t begin_ns)
{
    enum { SOON_NS = 1000000 };
    if (clock_ns() - begin_ns > SOON_NS)
        nap(NAP_MOST_S);
}

static _Noreturn void give_up(double waited_s, const char *what)
{
    char stopped[300];
    start_watch_stopped(stopped, sizeof stopped);
    die(EXIT_SILENT, "this rank has waited %.0f s for %s: one does not come%s", waited_s, what,
        stopped);
}

void together_wait(MPI_Request *request, double patience_s, const char *what)
{
    int done = 0;
    MPI_Status status;
    for (int64_t begin = clock_ns();; rest_since(begin)) {
        MPI(MPI_Test(request, &done, &status));
        if (done)
            return;
        if (since_s(begin) > patience_s)
            give_up(patience_s, what);
    }
}

/* Ends the program, unless all have come by now. */
static void name_missing(MPI_Request *request, int ranks, double patience_s)
{
    char who[1000] = "";
    size_t used = 0;
    MPI_Status status;
    for (int r = 1; r < ranks && used < sizeof who; r++) {
        int done = 0;
        MPI(MPI_Test(&request[r], &done, &status));
        if (!done)
            used += (size_t)snprintf(who + used, sizeof who - used, "%s%d", used ? ", " : "", r);
    }
    if (used)
        die(EXIT_SILENT, "rank %s has not come to the start for %.0f s", who, patience_s);
}

static void gather_here(MPI_Comm comm, int ranks, char *all, size_t bytes, double patience_s)
{
    MPI_Request *request = xcalloc((size_t)ranks, sizeof *request);
    MPI_Status *status = xcalloc((size_t)ranks, sizeof *status);
    int done = 0;
    request[0] = MPI_REQUEST_NULL;
    for (int r = 1; r < ranks; r++)
        MPI(MPI_Irecv(all + (size_t)r * bytes, (int)bytes, MPI_BYTE, r, 0, comm, &request[r]));
    for (int64_t begin = clock_ns();; rest_since(begin)) {
        MPI(MPI_Testall(ranks, request, &done, status));
        if (done)
            break;
        if (since_s(begin) > patience_s)
            name_missing(request, ranks, patience_s);
    }
    xfree(request);
    xfree(status);
}

void together_gather(MPI_Comm comm, const void *mine, void *all, size_t bytes, double patience_s)
{
    MPI_Request request;
    int rank, ranks;
    MPI(MPI_Comm_rank(comm, &rank));
    MPI(MPI_Comm_size(comm, &ranks));
    memcpy((char *)all + (size_t)rank * bytes, mine, bytes);
    if (rank == 0)
        gather_here(comm, ranks, all, bytes, patience_s);
    else
        MPI(MPI_Send(mine, (int)bytes, MPI_BYTE, 0, 0, comm));
    MPI(MPI_Ibcast(all, ranks * (int)bytes, MPI_BYTE, 0, comm, &request));
    together_wait(&request, patience_s, "all ranks to start");
}
