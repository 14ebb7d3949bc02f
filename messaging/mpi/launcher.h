/* The launchers of MPI, as a process sees them: by their variables, and by the protocol of one. */
#ifndef MESSAGING_MPI_LAUNCHER_H
#define MESSAGING_MPI_LAUNCHER_H

#include <stdbool.h>

/* Of a world of `ranks`, or before there is one: ends the program (EXIT_USER, said by one rank) if
 * the launcher's variables say another number of processes. Then another MPI's launcher, or none
 * that speaks with this library, started them: each is a world of its own. */
void launcher_check(int ranks);

/* Tells the launcher that this process has ended well, although MPI_Finalize did not return. True:
 * it has understood. MPICH's launcher alone does (PMI-1); another MPI's never needs it. */
bool launcher_release(void);

/* Tells the launcher to end all ranks with this code, where it understands that, and leaves it a
 * second. */
void launcher_abort(int code);

#endif
