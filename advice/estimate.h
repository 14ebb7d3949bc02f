/* The arithmetic of an advice. Times and samples are INFINITY where a run never got there. */
#ifndef ADVICE_ESTIMATE_H
#define ADVICE_ESTIMATE_H

#include <stdbool.h>

#include "statistics/statistics.h"

/* What a study's runs of a setting in a case say. */
struct evidence {
    int runs, reached; /* that have ended; that got to the threshold. 0 runs: there is nothing */
    double samples;    /* to the threshold, median */
    struct interval interval;      /* of it */
    double seconds;                /* the same of the time that they took */
    double watched_s;              /* median of the runs' ends: what came later was not seen */
    double staleness, minibatches; /* of a push, of an update: medians of the runs' means */
    double least_use; /* of a worker's data, least of all, relative to its part; NAN: not known */
    double gap;       /* of samples to the threshold, between two evaluations: median */
};

/* What a setting does in a world; images_per_s NAN: not known. */
struct pace {
    double images_per_s, staleness, minibatches, least_use;
};

/* How far what was seen is from what is simulated: |ln| of the ratios of 1 + staleness, and of
 * mini-batches an update, added. 0.22: one of them is a quarter more. And 1, where one of both
 * hardly uses a worker's data, less than a tenth of their part, and the other does. */
double estimate_distance(const struct evidence *e, const struct pace *p);

struct estimate {
    int from; /* the case whose runs and options it is of; -1: there is none */
    double distance, seconds, low, high;
};

/* From `count` cases: evidence[i] with the pace of its options in the new world, pace[i]. The
 * nearest case counts, and of those that are as near, within ESTIMATE_NEAR, the soonest. `without`:
 * a case that is left out; -1: none. */
extern const double estimate_near;
struct estimate estimate_of(const struct evidence *evidence, const struct pace *pace, int count,
                            int without);

/* How a prediction and what was measured go together. */
enum outcome {
    OUTCOME_UNKNOWN, /* there is none, or nothing was measured */
    OUTCOME_BOTH,    /* both are times */
    OUTCOME_AGREES,  /* nobody got there, and none was to before the runs ended */
    OUTCOME_MISSED   /* one is never, or too late to be seen, and the other is not */
};
enum outcome outcome_of(const struct estimate *e, const struct evidence *measured);

/* Factors by which predictions were off, 1 at best. NAN: there is none. */
struct errors {
    double median, most, worst; /* most: nine of ten are within it */
    int count, at;              /* at: the place of the worst in the list */
};

/* Of |ln| of ratios; the list is left as it is. NAN in it: no prediction. */
struct errors errors_of(const double *logs, int count);

enum verdict_kind {
    VERDICT_BASELINE, /* nothing is predicted to be sooner */
    VERDICT_OVERLAP,  /* something is, but their intervals meet */
    VERDICT_WITHIN,   /* nor do they, but by less than its predictions are off */
    VERDICT_TAKE
};
struct verdict {
    enum verdict_kind kind;
    int first;   /* the setting that is soonest; -1: nobody gets there */
    double gain; /* seconds of the baseline / its; INFINITY: the baseline never gets there */
};

/* Of the settings' estimates, but those further away than ESTIMATE_FAR: the study has not seen
 * their like. allowed[setting]: a factor below which its gain is none; NAN: not known, 1. */
extern const double estimate_far;
struct verdict verdict_of(const struct estimate *list, int count, int baseline,
                          const double *allowed);

#endif
