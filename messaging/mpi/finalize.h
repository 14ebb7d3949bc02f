/* How the MPI library is left: well, or by ending all ranks. */
#ifndef MESSAGING_MPI_FINALIZE_H
#define MESSAGING_MPI_FINALIZE_H

#include <stdbool.h>

/* MPI_Finalize. Every rank calls it when all is written. Where it takes longer than `patience_s`
 * the process ends without it, with `code`; to the launcher that is a good end if the code is 0.
 * Where all ranks are of this host (`alone`), one ends them all. */
void finalize_world(int rank, double patience_s, bool alone, int code);

/* MPI_Abort: ends all ranks; the launcher's exit code is `code`; says nothing */
_Noreturn void finalize_abort(int code);

#endif
