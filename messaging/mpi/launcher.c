/* PMI-1, the protocol of MPICH's launcher, is lines of text on the descriptor PMI_FD. Open MPI's
 * launcher speaks PMIx, in which nothing can be said for a library that hangs. */
#define _GNU_SOURCE
#include "messaging/mpi/launcher.h"

#include <mpi.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "messaging/worlds.h"

enum { ANSWER_MS = 1000 };

bool mpi_launched(void)
{
    return getenv("PMI_RANK") || getenv("PMIX_RANK") || getenv("OMPI_COMM_WORLD_RANK");
}

/* Slurm's last one is set by srun alone; SLURM_NTASKS is there in a job's script, too. */
int launcher_ranks(void)
{
    static const char *const names[] = {"PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return atoi(getenv(names[i]));
    return 0;
}

void launcher_check(int ranks)
{
    int started = launcher_ranks();
    if (ranks > 1 || started <= 1)
        return;
    char library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    if (launched_rank() > 0)
        sleep(1); /* the first one says it */
    MPI_Get_library_version(library, &length);
    library[strcspn(library, "\n,")] = '\0';
    for (char *tab; (tab = strchr(library, '\t'));)
        *tab = ' ';
    if (launched_rank() == 0)
        fprintf(
            stderr,
            "nbsgd: started by another MPI's launcher: %d processes of 1 rank. This program was "
            "built with %s; take its own launcher (MPIRUN=mpirun.mpich, mpirun.openmpi, or "
            "LAUNCH='srun --mpi=...' for run.s), or build it with the other's mpicc "
            "(make MPICC=...)\n",
            started, library);
    fflush(stderr);
    MPI_Finalize();
    _exit(EXIT_USER);
}

bool launcher_release(void)
{
    static const char words[] = "cmd=finalize\n";
    const char *name = getenv("PMI_FD");
    char answer[256] = "";
    if (!name)
        return false;
    struct pollfd pmi = {.fd = atoi(name), .events = POLLIN};
    if (write(pmi.fd, words, strlen(words)) != (ssize_t)strlen(words))
        return false;
    while (!strstr(answer, "finalize_ack")) { /* others answer what the library asked before */
        if (poll(&pmi, 1, ANSWER_MS) != 1)
            return false;
        ssize_t bytes = read(pmi.fd, answer, sizeof answer - 1);
        if (bytes <= 0)
            return false;
        answer[bytes] = '\0';
    }
    return true;
}
