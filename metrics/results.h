/* What the files of metrics/ share: the files of one run, open. */
#ifndef METRICS_RESULTS_H
#define METRICS_RESULTS_H

#include <stdio.h>

#include "metrics/metrics.h"

enum { MAX_THRESHOLDS = 32, PATH_SIZE = 4400 };

struct rows {   /* a file that is written as it comes, a line a row */
    FILE *file; /* NULL: it was not begun, or was given up */
    off_t written;
    bool given_up;
};

struct reported {   /* at the last report */
    double seconds; /* of the training clock */
    int64_t samples;
};

struct results {
    char *folder, *head, *saved;
    struct rows rows[ROWS_FILES];
    char *unwritten; /* names, with commas; NULL: all was written so far */
    bool said;       /* that a file could not be written */
    bool live, quiet;
    bool forwards;     /* results_options' */
    struct disk *disk; /* the same */
    /* the same: for results_arrived() */
    bool has_earlier;
    const struct results_place *resume;
    char *config;
    double report_s, started_s, reported_s;
    struct reported last;          /* what the speed is taken over */
    struct evaluation *evaluation; /* all of them, for the time to accuracy */
    int evaluations, room;
    struct workers_result workers; /* the last; has_workers: there is one */
    bool has_workers;
    struct tensorboard *tensorboard; /* NULL: none */
    double threshold[MAX_THRESHOLDS];
    int thresholds;
};

/* --- rows.c --- */

/* Fatal where there are fewer rows than the checkpoint speaks of; nothing is touched. */
void rows_check(const struct results_place *resume);
/* Begins all but those that come with their first row. */
void rows_open(struct results *r, const struct results_place *resume);
/* Where a row of that file goes, NULL when it was given up. rows_end() brings it to the file: a
 * failure is said, the row is cut off, and the file is given up. */
FILE *rows_begin(struct results *r, enum rows_file which);
void rows_end(struct results *r, enum rows_file which);
void rows_close(struct results *r); /* brings all to the disk */

/* A file that is written at once: write(file, what), after the head if it has one. Whole or not at
 * all (base/file.h), but for a device, which gets it as it is. */
void rows_write(struct results *r, const char *name, bool has_head,
                void (*write)(FILE *file, const void *what), const void *what);

/* --- slowed.c --- */

/* by rank, what was met of --slow: for summary.json, and for the closing lines */
void slowed_fields(const struct run_summary *s, struct json_field field[SLOW_WORKERS + 1],
                   char key[SLOW_WORKERS][12]);
void slowed_print(const struct run_summary *s);

void results_say_unwritten(const struct results *r); /* if there is anything */

#endif
