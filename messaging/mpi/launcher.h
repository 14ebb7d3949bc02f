/* The launchers of MPI, as a process sees them: by their variables, and by the protocol of one. */
#ifndef MESSAGING_MPI_LAUNCHER_H
#define MESSAGING_MPI_LAUNCHER_H

#include <stdbool.h>

/* How many processes the launcher started, by its variables; 0: they do not say. */
int launcher_ranks(void);

/* After MPI_Init with a world of `ranks`: ends the program (EXIT_USER, said by one rank) if another
 * MPI's launcher started it. Each process is a world of its own then. */
void launcher_check(int ranks);

/* Tells the launcher that this process has ended well, although MPI_Finalize did not return. True:
 * it has understood. MPICH's launcher alone does (PMI-1); another MPI's never needs it. */
bool launcher_release(void);

#endif
