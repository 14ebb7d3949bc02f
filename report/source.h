/* What is reported: the runs of a folder, read. */
#ifndef REPORT_SOURCE_H
#define REPORT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "report/csv.h"

enum { REPORT_PATH = 4400, REPORT_TARGETS = 32, REPORT_BINS = 64, REPORT_WORDS = 512 };

/* Fields of summary.json, under its names (source.c). The shares are in their order there. */
enum run_number {
    RUN_SECONDS,
    RUN_SAMPLES,
    RUN_UPDATES,
    RUN_TOP1,
    RUN_BEST_TOP1,
    RUN_TEST_TOP1,
    RUN_LOSS,
    RUN_IMAGES_PER_S,
    RUN_STALENESS,
    RUN_MINIBATCHES,
    RUN_MINIBATCHES_HARMONIC,
    RUN_LEAST_USE, /* of a run alone: study.csv does not have it */
    RUN_SHARES,    /* the first of SHARES */
    RUN_NUMBERS = RUN_SHARES + 8
};
enum { SHARES = RUN_NUMBERS - RUN_SHARES };
extern const char *const run_number_names[RUN_NUMBERS];
extern const char *const share_words[SHARES]; /* "useful", ..: as figures name them */

enum curve_axis { CURVE_SECONDS, CURVE_SAMPLES, CURVE_UPDATES, CURVE_AXES };
extern const char *const axis_names[CURVE_AXES];

struct curve { /* rows of eval.csv; all lists [count] */
    int count;
    double *axis[CURVE_AXES]; /* ascending */
    double *top1, *loss, *training_loss, *weight_norm;
};

struct run {
    char *folder;       /* where its files are */
    const char *status; /* done, diverged, failed, missing, partial (killed, or running still) */
    int64_t seed;
    int case_at, setting_at;    /* in source's lists */
    double number[RUN_NUMBERS]; /* NAN: not known */
    double tta[REPORT_TARGETS]; /* confirmed; INFINITY: never; NAN: not known */
    struct curve curve;
    char *head;                                              /* of eval.csv, "" without */
    double staleness[REPORT_BINS], minibatches[REPORT_BINS]; /* counts */
};

struct names { /* of cases and settings, in the order in which they came */
    const char **name;
    int count;
};

struct source {
    const char *folder;
    bool is_study;
    struct csv *rows; /* study.csv; NULL: a run */
    char title[REPORT_WORDS],
        program[REPORT_WORDS]; /* program: that made the results; "": unknown */
    char judged[32];           /* "test", "val", "test or val" */
    struct names cases, settings;
    double target[REPORT_TARGETS];
    int targets;
    struct run *runs;
    int count;
};

/* Fatal, with the reason, where the folder cannot be taken. */
struct source *source_open(const char *folder);
void source_close(struct source *s);

/* Has it ended, so that what it never reached is known? */
bool run_has_ended(const struct run *r);

/* Which images they were judged on, in words: "test", "held-out", "test or held-out". */
const char *source_judged(const struct source *s);

/* Are there test images beside those that evaluations judged? */
bool source_has_test(const struct source *s);

/* What the runs of a case (-1: of all) ran on: network; machine; workers; seeds. */
void source_footer(const struct source *s, int case_at, char *text, size_t size);

/* The greatest factor of `--slow` in a head, 1 without one. */
double slow_factor(const char *head);

#endif
