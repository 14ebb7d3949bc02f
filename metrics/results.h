/* What metrics/metrics.c and metrics/summary.c share: the files of one run, open. */
#ifndef METRICS_RESULTS_H
#define METRICS_RESULTS_H

#include <stdio.h>

#include "metrics/metrics.h"

enum { MAX_THRESHOLDS = 32 };

struct results {
    char *folder, *head;
    FILE *rows, *events; /* eval.csv, events.jsonl */
    FILE *candidates;    /* candidates.csv; NULL: no row so far */
    bool full;           /* a write failed and was reported */
    bool live, quiet;
    double report_s, started_s, reported_s;
    /* of the training clock, at the last report: what the speed is taken over */
    double last_seconds;
    int64_t last_samples;
    struct evaluation *evaluation; /* all of them, for the time to accuracy */
    int evaluations, room;
    double threshold[MAX_THRESHOLDS];
    int thresholds;
};

/* a new file in the folder; NULL is reported once */
FILE *results_file(struct results *r, const char *name, bool head);
/* by rank, what was met of --slow: for summary.json, and for the closing lines */
void slowed_fields(const struct run_summary *s, struct json_field field[SLOW_WORKERS + 1],
                   char key[SLOW_WORKERS][12]);
void slowed_print(const struct run_summary *s);
/* after a write: what was written goes to the file; a failure is reported once */
void results_flush(struct results *r, FILE *f, const char *name);

#endif
