/* Statistics of a comparison of runs over several seeds.
 *
 * A time is in seconds, and INFINITY where a run never got there: that stays in every median. No
 * argument is NAN but where it is said; an empty list gives NAN. Intervals aim at 95 % and
 * say what they cover. A bootstrap draws by key: the same runs give the same interval.
 *
 * Sources: pairs and interquartile mean: Agarwal et al. 2021 (NeurIPS, "Deep Reinforcement Learning
 * at the Edge of the Statistical Precipice"); profiles: Dolan, More 2002 (Math. Programming 91);
 * order statistics: David, Nagaraja 2003, section 7.1; bootstrap: Efron, Tibshirani 1993, chapter
 * 13. */
#ifndef STATISTICS_STATISTICS_H
#define STATISTICS_STATISTICS_H

#include <stdint.h>

struct interval {
    double low, high;
    double
        coverage; /* 0 .. 1: that of what was found. Of a bootstrap of n: min(0.95, 1 - 2^(1 - n)),
                        as for a median its least and greatest cover no more; nominal above */
};

/* Ascending, in place; infinities at the ends. */
void statistics_sort(double *list, int count);

/* Of a sorted list. Of an even number the mean of both middle ones; that of -INFINITY and INFINITY
 * is 0. */
double statistics_median(const double *sorted, int count);

/* Of the median, from the k-th least to the k-th greatest of a sorted list: the greatest k with
 * which it covers at least 95 %, whatever the distribution (ten: the 2nd to the 9th, 97.9 %). With
 * fewer than six none does: the least and the greatest, and what they cover. */
struct interval statistics_order_interval(const double *sorted, int count);

/* When a run got to a threshold. */
struct arrival {
    int64_t seed;
    double at_s;      /* INFINITY: never, as far as was seen */
    double watched_s; /* it ended there */
};

/* A and B, paired by seed. */
struct paired {
    int pairs;                /* seeds that both have */
    int before, after, equal; /* A's place; equal: at one time, or neither ever */
    int neither;              /* of those that are equal */
    int cut_short;    /* one ended before the other got there: that it never does is assumed */
    double probable;  /* that A is before B: (before + equal / 2) / pairs */
    double sign_p;    /* two-sided sign test of before and after; 1 without either */
    double log_ratio; /* median over the pairs of ln(A / B), where one got there at all */
    struct interval interval; /* of log_ratio, by a bootstrap of the pairs; NAN below two ratios */
};

/* A seed that one list has twice counts once, as it is first. `key` tells bootstraps apart. */
struct paired statistics_paired(const struct arrival *a, int a_count, const struct arrival *b,
                                int b_count, uint64_t key);

/* Performance profiles. seconds[case][setting] and ratio[case][setting]: ratio to the case's best,
 * INFINITY where the setting never got there. A case that nobody ends is in the count for all. */
void statistics_ratios(const double *seconds, int cases, int settings, double *ratio);
/* The part of the cases in which this setting's ratio is at most `within`. */
double statistics_profile(const double *ratio, int cases, int settings, int setting, double within);

struct geometric_mean {
    double mean;
    int count; /* that are finite: it is of these alone */
};
struct geometric_mean statistics_geometric_mean(const double *list, int count);

struct scores { /* of one task (a stratum): a number a run */
    const double *score;
    int count;
};

struct interquartile_mean {
    double mean; /* of all but the lowest and the highest quarter of all tasks' scores */
    struct interval interval; /* a bootstrap that draws within each task; NAN where each has one */
    int count;                /* of scores */
};

struct interquartile_mean statistics_interquartile_mean(const struct scores *tasks, int count,
                                                        uint64_t key);

/* A curve through `count` points of ascending x, linear between them; NAN before the first and
 * after the last. */
double statistics_curve_at(const double *x, const double *y, int count, double at);

#endif
