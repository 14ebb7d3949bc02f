/* The start of the MPI library has a deadline, too. It has none of its own: while a rank is stopped
 * the others wait in MPI_Init() and in their first collective calls. */
#ifndef MESSAGING_MPI_START_WATCH_H
#define MESSAGING_MPI_START_WATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/latch.h"

struct start_watch {
    pthread_t thread;
    struct latch ended;
    double patience_s;
    _Atomic(const char *) awaited;
    bool runs;
};

/* From now on the process ends (EXIT_SILENT) after patience_s, unless start_watch_end() comes
 * first; rank 0 a little before the others. It names the ranks of this host that are stopped. */
void start_watch_begin(struct start_watch *w, double patience_s);
void start_watch_end(struct start_watch *w); /* nothing, when it has ended */

/* What is waited for from now on. At first: all ranks. */
void start_watch_await_ranks(struct start_watch *w);
void start_watch_await_files(struct start_watch *w); /* of options, which this rank reads */

/* " (rank 2, process 4711, is stopped)" for those that the same launcher started on this host; an
 * empty text without them. */
void start_watch_stopped(char *text, size_t size);

#endif
