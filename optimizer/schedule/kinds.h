/* The learning-rate schedules: a file beside this header, and a line in this list. */
#ifndef OPTIMIZER_SCHEDULE_KINDS_H
#define OPTIMIZER_SCHEDULE_KINDS_H

#include "base/options.h"
#include "optimizer/optimizer.h"

#define SCHEDULES(X)                                                                               \
    X(constant)                                                                                    \
    X(step)                                                                                        \
    X(exponential)                                                                                 \
    X(cosine)                                                                                      \
    X(one_cycle)

struct schedule_kind {
    const char *name, *formula, *paper;
    const struct option_set *options;                  /* its own; NULL: none */
    void (*read)(struct schedule *s, const void *own); /* takes them */
    /* Factor on the rate when `part` of the time after the warm-up is over, and `done` of the
     * run. */
    double (*factor)(const struct schedule *s, double part, double done);
    /* Fatal on a number of its own that is out of its range; NULL: it has none. */
    void (*check)(const struct schedule *s);
    bool warms_up; /* by itself: no warm-up comes before it */
};

#define DECLARE_SCHEDULE(name) extern const struct schedule_kind schedule_##name;
SCHEDULES(DECLARE_SCHEDULE)
#undef DECLARE_SCHEDULE

/* Where a rise of the rate begins, as a part of lr: at 0 the first update would be none. */
#define SCHEDULE_START (1.0 / 25)

void schedule_check_gamma(const struct schedule *s); /* exponential.c */

#endif
