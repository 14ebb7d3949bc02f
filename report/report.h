/* From a folder of results to a report that one can check.
 *
 * A folder is a run's (eval.csv, summary.json, ..: metrics/metrics.h) or a study's (study.csv and
 * its cells). Written into it:
 *
 *   report.csv     every number in one shape: measure, what it is of, value, interval, counts
 *   report.json    the same, and what each measure means in words
 *   report.md      tables to read, with the figures
 *   report.html    one file that needs no other: tables to sort, figures, configurations, commands
 *   figures/       NAME.csv, drawn by plots/NAME.gp to NAME.svg and NAME.png
 *
 * A run that was killed is reported as far as it got, and said to be so. Rows of another version
 * are taken up where they have the columns that are needed; else they are refused, and the column
 * is named. The rules of the comparison are in statistics/statistics.h. */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include <stdbool.h>

#include "report/source.h"

struct report_options {
    const char *folder;
    const char *baseline; /* the setting that the others are compared with; NULL: one of ssgd, else
                             the first */
    const char *program;  /* "nbsgd 0.2.0 (0123456789ab)" */
    double longest_s;     /* that a figure may take */
    bool no_figures;
};

/* Fatal on a folder that it cannot take; ends with EXIT_WORLD where it cannot write. A figure that
 * gnuplot does not draw is said, with the command; its rows are kept. */
void report_write(const struct report_options *o);

#endif
