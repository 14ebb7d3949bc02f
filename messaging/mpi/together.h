/* MPI calls that wait for all ranks, with a limit; and how every MPI call is made. */
#ifndef MESSAGING_MPI_TOGETHER_H
#define MESSAGING_MPI_TOGETHER_H

#include <mpi.h>
#include <stddef.h>

_Noreturn void mpi_failed(const char *file, int line, const char *call, int code);

/* Every MPI call is wrapped in this. */
#define MPI(call)                                                                                  \
    do {                                                                                           \
        int code_ = (call);                                                                        \
        if (code_ != MPI_SUCCESS)                                                                  \
            mpi_failed(__FILE__, __LINE__, #call, code_);                                          \
    } while (0)

/* Waits for a collective operation. After `patience_s` the program ends (EXIT_SILENT). The
 * operation does not say who does not come. */
void together_wait(MPI_Request *request, double patience_s, const char *what);

/* Everybody's `mine` in the order of ranks, at every rank. It goes over rank 0, which names who
 * does not come. */
void together_gather(MPI_Comm comm, const void *mine, void *all, size_t bytes, double patience_s);

#endif
