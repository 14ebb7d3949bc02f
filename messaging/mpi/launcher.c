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

/* Each says how many processes one launcher has started. srun alone sets Slurm's; SLURM_NTASKS is
 * there in a job's script, too. */
static const char *const size_names[] = {"PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE",
                                         "SLURM_STEP_NUM_TASKS"};

struct claim { /* of a launcher's, by a variable */
    const char *name;
    int number;  /* processes; of PMIX_RANK: before this one */
    int speaker; /* the rank that says it for all */
};

/* Does a variable say something else than a world of `ranks`? No, when one launcher, the innermost,
 * says just that. PMIx alone names no size, but has the process's rank. */
static bool is_contradicted(int ranks, struct claim *c)
{
    const char *rank = getenv("PMIX_RANK");
    *c = (struct claim){.name = NULL};
    for (size_t i = 0; i < sizeof size_names / sizeof *size_names; i++) {
        const char *size = getenv(size_names[i]);
        if (size && atoi(size) == ranks)
            return false;
        if (size && !c->name && atoi(size) > 0)
            *c = (struct claim){.name = size_names[i], .number = atoi(size)};
    }
    if (!c->name && rank && atoi(rank) >= ranks)
        *c = (struct claim){.name = "PMIX_RANK", .number = atoi(rank), .speaker = ranks};
    return c->name;
}

static void say_contradiction(int ranks, const struct claim *c)
{
    char library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    MPI_Get_library_version(library, &length);
    library[strcspn(library, "\n,")] = '\0';
    for (char *tab; (tab = strchr(library, '\t'));)
        *tab = ' ';
    fprintf(stderr,
            "nbsgd: started by another MPI's launcher: %s%d processes of %d rank%s (%s=%d). This "
            "program was built with %s; take its own launcher (MPIRUN=mpirun.mpich, "
            "mpirun.openmpi, or LAUNCH='srun --mpi=...' for run.s), or build it with the other's "
            "mpicc (make MPICC=...). Where no launcher did it, unset %s\n",
            c->speaker ? "more than " : "", c->number, ranks, ranks > 1 ? "s" : "", c->name,
            c->number, library, c->name);
    fflush(stderr);
}

void launcher_check(int ranks)
{
    struct claim claim;
    int begun = 0;
    if (!is_contradicted(ranks, &claim))
        return;
    if (launched_rank() == claim.speaker)
        say_contradiction(ranks, &claim);
    else
        sleep(1); /* each is the first of its own world, but one says it */
    MPI_Initialized(&begun);
    if (begun)
        MPI_Finalize();
    _exit(EXIT_USER);
}

void launcher_abort(int code)
{
    const char *name = getenv("PMI_FD");
    char words[40];
    int length = snprintf(words, sizeof words, "cmd=abort exitcode=%d\n", code);
    if (name && write(atoi(name), words, (size_t)length) == length)
        sleep(1);
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
