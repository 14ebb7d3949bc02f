/* Rows of figures: what plots/NAME.gp draws. Blocks are parted by two blank lines. */
#ifndef REPORT_FIGURE_ROWS_H
#define REPORT_FIGURE_ROWS_H

#include "report/tables.h"

/* "# WHAT: NAME NAME ..", a line of a head */
void figure_names(FILE *f, const char *what, const struct names *names);

void accuracy_rows(FILE *f, const struct report *r, int case_at);
void tta_rows(FILE *f, const struct report *r);
void profile_rows(FILE *f, const struct report *r);
void time_rows(FILE *f, const struct report *r);
void update_rows(FILE *f, const struct report *r, int case_at);
void throughput_rows(FILE *f, const struct report *r);

void confusion_rows(FILE *f, const struct report *r); /* confusion.c */
/* Has the run counted, and can so many classes be drawn? */
bool confusion_has_rows(const struct report *r);

void worker_losses_rows(FILE *f, const struct report *r); /* worker_losses.c */
bool worker_losses_has_rows(const struct report *r);      /* of a run that has them */

void sensitivity_rows(FILE *f, const struct report *r); /* sensitivity.c */
/* Are there trials of nbsgd tune, with a learning rate of each? */
bool sensitivity_has_rows(const struct report *r);
/* Says on the standard output why trials that are there cannot be read. */
void sensitivity_say(const struct report *r);

/* Is it known at all? An old version's is not. */
bool time_has_rows(const struct report *r);

/* Are there two cases of different straggler's factors? */
bool throughput_has_rows(const struct report *r);

#endif
