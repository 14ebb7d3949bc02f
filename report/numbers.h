/* Every number of a report, and what it means. */
#ifndef REPORT_NUMBERS_H
#define REPORT_NUMBERS_H

#include "report/source.h"
#include "statistics/statistics.h"

enum measure {
    MEASURE_RUNS,
    MEASURE_TTA,
    MEASURE_BEFORE,
    MEASURE_RATIO,
    MEASURE_TOP1,
    MEASURE_BEST_TOP1,
    MEASURE_TEST_TOP1,
    MEASURE_TOP1_AT_SECONDS,
    MEASURE_TOP1_AT_SAMPLES,
    MEASURE_IQM,
    MEASURE_PROFILE,
    MEASURE_GEOMETRIC,
    MEASURE_SECONDS,
    MEASURE_SAMPLES,
    MEASURE_UPDATES,
    MEASURE_IMAGES_PER_S,
    MEASURE_STALENESS,
    MEASURE_MINIBATCHES,
    MEASURE_MINIBATCHES_HARMONIC,
    MEASURE_SHARE,
    MEASURE_RANK_SECONDS,
    MEASURE_RECALL,
    MEASURE_PRECISION,
    MEASURE_F1,
    MEASURES
};

struct measure_words {
    const char *name, *unit, *words; /* words: what value, interval, count, of are */
};
extern const struct measure_words measure_words[MEASURES];

struct number {
    enum measure measure;
    const char *case_name, *setting, *other; /* "": of all, or none. other: a setting it is compared
                                                with, the name of a share, a kind of seconds */
    int item;                                /* a rank, a class; -1: none */
    double target;                           /* threshold, top-1 in percent; NAN: none */
    double at;                               /* a moment, a number of samples, a ratio; NAN: none */
    double value;
    struct interval interval; /* low, high NAN: none */
    int count, of;            /* -1: none */
    double sign_p;            /* NAN: none */
    int cut_short;            /* pairs (struct paired), runs of a median time, cases of
                                 a profile or its mean; 0 else */
};

struct numbers {
    struct number *list;
    int count, room;
};

/* `baseline`: a setting; NULL: the first whose scheme is ssgd, else the first. Fatal on an unknown
 * one. Returns its place among the settings. */
int numbers_baseline(const struct source *s, const char *baseline);

void numbers_close(struct numbers *n);

/* The first with this measure, names (NULL: any) and threshold (NAN: any); NULL: none. */
const struct number *numbers_find(const struct numbers *n, enum measure measure,
                                  const char *case_name, const char *setting, const char *other,
                                  double target);

/* --- for comparison.c and rank_seconds.c --- */

/* One more, with none of its fields but the measure; valid until the next one. */
struct number *numbers_add(struct numbers *n, enum measure measure);

/* --- comparison.c --- */

/* Those of a source's runs: all measures but those of ranks. */
void comparison_fill(struct numbers *n, const struct source *s, int baseline);

/* Median times to a threshold, [cases][settings] as in the source, and for which cases every
 * setting has one; returns how many those are. */
int comparison_medians(const struct source *s, int target, double *seconds, bool *has_all);

/* The runs of a case and setting that count: they have ended, or are all that there is. Returns how
 * many were put into list[s->count]. */
int comparison_runs(const struct source *s, int case_at, int setting_at, const struct run **list);

/* Top-1 of a curve there; beyond its end its last. NAN: before it begins. */
double comparison_top1_at(const struct run *r, enum curve_axis axis, double at);

/* --- rank_seconds.c --- */

/* Seconds of each rank of a run, by ranks.csv. */
void rank_seconds_fill(struct numbers *n, const struct run *r);

/* --- confusion.c --- */

/* Of each class of a run, by confusion.csv, where it has one. */
void confusion_fill(struct numbers *n, const struct run *r);

#endif
