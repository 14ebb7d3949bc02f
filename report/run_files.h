/* The files of one run (metrics/), read. */
#ifndef REPORT_RUN_FILES_H
#define REPORT_RUN_FILES_H

#include "report/source.h"

/* eval.csv and histograms.csv of r->folder. Fatal where eval.csv is no such file; a folder without
 * histograms has none. */
void run_read_rows(struct run *r);

/* The thresholds that the head of eval.csv names; returns how many. */
int run_read_targets(struct run *r, double target[REPORT_TARGETS]);

/* summary.json: numbers and status; times to the thresholds from the rows. Without one, or where it
 * cannot be read, the run is "partial", and numbers are what the rows say. */
void run_read_summary(struct run *r);

void run_close(struct run *r);

#endif
