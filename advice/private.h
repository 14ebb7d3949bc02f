/* What the files of advice/ share. */
#ifndef ADVICE_PRIVATE_H
#define ADVICE_PRIVATE_H

#include <stdio.h>

#include "advice/advice.h"
#include "advice/estimate.h"
#include "report/report.h"

enum { ADVICE_WHY = 600 };

/* A setting with the options of a case, simulated in a world. */
struct simulated {
    struct pace pace;
    double share[SHARES]; /* of the workers' time */
    double parameters, workers;
    char network[40];
    char why[ADVICE_WHY]; /* it could not be simulated; "" else */
};

struct advice {
    const struct advice_request *request;
    struct source *source;
    int cases, settings, baseline; /* baseline: a setting */
    double target;
    struct evidence *evidence;   /* [settings][cases] */
    const struct run **run;      /* [settings][cases]: one that has ended; NULL: there is none */
    struct simulated *simulated; /* [1 + cases][settings][cases]: world 0 is the machine, 1 + c case
                                    c's own */
    struct estimate *estimate;   /* [1 + cases][settings]: on the machine; in a case that is left
                                    out */
    struct errors seconds_off, ratios_off, far_off; /* of the check; far_off: of what is far */
    double *allowed;    /* [settings]: a gain over the baseline that is none; NAN: not known */
    int missed, agrees; /* predictions of it where one is never (enum outcome) */
    struct verdict verdict;
    char folder[200]; /* for simulated runs */
};

/* "83.4 %", .. */
static inline const char *setting_name(const struct advice *a, int setting)
{
    return a->source->settings.name[setting];
}
static inline const char *case_name(const struct advice *a, int c)
{
    return a->source->cases.name[c];
}
static inline int cell_at(const struct advice *a, int setting, int c)
{
    return setting * a->cases + c;
}
static inline struct simulated *simulated_at(const struct advice *a, int world, int setting, int c)
{
    return &a->simulated[(world * a->settings + setting) * a->cases + c];
}
static inline struct estimate *estimates_at(const struct advice *a, int world)
{
    return &a->estimate[world * a->settings];
}

/* --- evidence.c: fills target, evidence, run; fatal where nobody got to a threshold. */
void advice_evidence(struct advice *a);

/* --- simulate.c: fills `simulated` of the worlds from .. to - 1, by running this program. */
void advice_simulate(struct advice *a, int from, int to);

/* --- check.c: fills a world's estimates; errors and the verdict, by all worlds' */
void advice_estimate(struct advice *a, int world);
void advice_judge(struct advice *a);

/* --- words.c, rows.c */
void advice_words_print(const struct advice *a);
void advice_rows_write(const struct advice *a); /* if they are wanted */

#endif
