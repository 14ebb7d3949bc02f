/* What a study shows while it runs: one live line on a terminal, in a log file a line a cell. */
#ifndef STUDY_PROGRESS_H
#define STUDY_PROGRESS_H

#include "study/private.h"

struct progress_bar {
    const struct plan *plan;
    int jobs;
    bool live;
    double shown_s;
};

void progress_begin(struct progress_bar *b, const struct plan *p, int jobs);
/* Cells that run now: NULL ends the list; since when, of wall clock. Shows when it is time. */
void progress_show(struct progress_bar *b, const struct cell *const *running, const double *since_s,
                   int count);
/* A line: it has ended. */
void progress_ended(struct progress_bar *b, const struct cell *c);
/* `signal`: that asked to stop, 0: none; says then how many cells have ended. */
void progress_end(struct progress_bar *b, int signal);

#endif
