#include "statistics/statistics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"

enum { RESAMPLES = 4000 };
static const double outside = 0.05; /* of an interval */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void statistics_sort(double *list, int count)
{
    if (count > 1)
        qsort(list, (size_t)count, sizeof *list, compare);
}

static double middle_of(double low, double high)
{
    if (low == high)
        return low;
    return isinf(low) && isinf(high) ? 0 : low / 2 + high / 2;
}

double statistics_median(const double *sorted, int count)
{
    if (!count)
        return NAN;
    return middle_of(sorted[(count - 1) / 2], sorted[count / 2]);
}

/* P(X <= k), X of the binomial distribution of n fair coins. */
static double coins_at_most(int k, int n)
{
    double sum = 0;
    for (int i = 0; i <= k; i++)
        sum += exp(lgamma(n + 1.0) - lgamma(i + 1.0) - lgamma(n - i + 1.0) - n * M_LN2);
    return fmin(sum, 1);
}

struct interval statistics_order_interval(const double *sorted, int count)
{
    int k = 1;
    if (!count)
        return (struct interval){NAN, NAN, 0};
    while (2 * (k + 1) <= count && 2 * coins_at_most(k, count) <= outside)
        k++;
    return (struct interval){sorted[k - 1], sorted[count - k],
                             fmax(0, 1 - 2 * coins_at_most(k - 1, count))};
}

/* --- bootstrap --- */

/* The middle 95 % of what was resampled; no value between two of them, as they may be infinite. An
 * interval within the least and the greatest of `count` covers no more than both of them do. */
static struct interval middle_part(double *resampled, int count)
{
    int cut = (int)(RESAMPLES * outside / 2);
    statistics_sort(resampled, RESAMPLES);
    return (struct interval){resampled[cut], resampled[RESAMPLES - 1 - cut],
                             fmin(1 - outside, 1 - ldexp(1, 1 - count))};
}

static struct interval bootstrap_median(const double *list, int count, uint64_t key)
{
    double *drawn = xcalloc((size_t)count, sizeof *drawn),
           *medians = xcalloc(RESAMPLES, sizeof *medians);
    for (int i = 0; i < RESAMPLES; i++) {
        struct random r = random_at(RANDOM_BOOTSTRAP, key, (uint64_t)i, 0, 0);
        for (int k = 0; k < count; k++)
            drawn[k] = list[random_below(&r, (uint64_t)count)];
        statistics_sort(drawn, count);
        medians[i] = statistics_median(drawn, count);
    }
    struct interval interval = middle_part(medians, count);
    xfree(drawn);
    xfree(medians);
    return interval;
}

/* --- pairs --- */

static const struct arrival *with_seed(const struct arrival *list, int count, int64_t seed)
{
    for (int i = 0; i < count; i++)
        if (list[i].seed == seed)
            return &list[i];
    return NULL;
}

/* Two that got there at the start are equal. */
static double log_of_ratio(double a, double b)
{
    return a == b ? 0 : log(a) - log(b);
}

static bool is_cut_short(const struct arrival *x, const struct arrival *other)
{
    return isinf(x->at_s) && x->watched_s < other->at_s && !isinf(other->at_s);
}

/* Returns whether the pair has a ratio. */
static bool add_pair(struct paired *p, const struct arrival *a, const struct arrival *b)
{
    bool neither = isinf(a->at_s) && isinf(b->at_s);
    p->pairs++;
    p->before += a->at_s < b->at_s;
    p->after += a->at_s > b->at_s;
    p->equal += neither || a->at_s == b->at_s;
    p->neither += neither;
    p->cut_short += is_cut_short(a, b) || is_cut_short(b, a);
    return !neither;
}

static double sign_test(int before, int after)
{
    return fmin(1, 2 * coins_at_most(before < after ? before : after, before + after));
}

struct paired statistics_paired(const struct arrival *a, int a_count, const struct arrival *b,
                                int b_count, uint64_t key)
{
    struct paired p = {.probable = NAN, .log_ratio = NAN, .interval = {NAN, NAN, 0}};
    double *list = xcalloc((size_t)a_count + 1, sizeof *list);
    int ratios = 0;
    for (int i = 0; i < a_count; i++) {
        const struct arrival *other = with_seed(b, b_count, a[i].seed);
        bool is_first = with_seed(a, a_count, a[i].seed) == &a[i];
        if (other && is_first && add_pair(&p, &a[i], other))
            list[ratios++] = log_of_ratio(a[i].at_s, other->at_s);
    }
    p.sign_p = sign_test(p.before, p.after);
    if (p.pairs)
        p.probable = (p.before + p.equal / 2.0) / p.pairs;
    if (ratios > 1)
        p.interval = bootstrap_median(list, ratios, key);
    if (ratios) {
        statistics_sort(list, ratios);
        p.log_ratio = statistics_median(list, ratios);
    }
    xfree(list);
    return p;
}

/* --- profiles --- */

void statistics_ratios(const double *seconds, int cases, int settings, double *ratio)
{
    for (int c = 0; c < cases; c++) {
        const double *row = seconds + (int64_t)c * settings;
        double best = INFINITY;
        for (int s = 0; s < settings; s++)
            best = fmin(best, row[s]);
        for (int s = 0; s < settings; s++)
            ratio[(int64_t)c * settings + s] = isinf(row[s])    ? INFINITY
                                               : row[s] == best ? 1
                                                                : row[s] / best;
    }
}

double statistics_profile(const double *ratio, int cases, int settings, int setting, double within)
{
    int reached = 0;
    for (int c = 0; c < cases; c++)
        reached += ratio[(int64_t)c * settings + setting] <= within;
    return cases ? (double)reached / cases : NAN;
}

struct geometric_mean statistics_geometric_mean(const double *list, int count)
{
    struct geometric_mean g = {.mean = NAN};
    double sum = 0;
    for (int i = 0; i < count; i++)
        if (isfinite(list[i]) && list[i] > 0) {
            sum += log(list[i]);
            g.count++;
        }
    if (g.count)
        g.mean = exp(sum / g.count);
    return g;
}

/* --- interquartile mean --- */

static double middle_half(double *list, int count)
{
    int cut = count / 4;
    double sum = 0;
    statistics_sort(list, count);
    for (int i = cut; i < count - cut; i++)
        sum += list[i];
    return sum / (count - 2 * cut);
}

/* All tasks' scores, or as many of each that are drawn from its own. */
static void take_scores(const struct scores *tasks, int count, struct random *r, double *list)
{
    int at = 0;
    for (int t = 0; t < count; t++)
        for (int i = 0; i < tasks[t].count; i++)
            list[at++] =
                tasks[t].score[r ? random_below(r, (uint64_t)tasks[t].count) : (uint64_t)i];
}

struct interquartile_mean statistics_interquartile_mean(const struct scores *tasks, int count,
                                                        uint64_t key)
{
    struct interquartile_mean m = {.mean = NAN, .interval = {NAN, NAN, 0}};
    int varied = 0; /* scores of tasks in which a resample can differ */
    for (int t = 0; t < count; t++) {
        m.count += tasks[t].count;
        varied += tasks[t].count > 1 ? tasks[t].count : 0;
    }
    if (!m.count)
        return m;
    double *list = xcalloc((size_t)m.count, sizeof *list),
           *means = xcalloc(RESAMPLES, sizeof *means);
    take_scores(tasks, count, NULL, list);
    m.mean = middle_half(list, m.count);
    for (int i = 0; varied && i < RESAMPLES; i++) {
        struct random r = random_at(RANDOM_BOOTSTRAP, key, (uint64_t)i, 1, 0);
        take_scores(tasks, count, &r, list);
        means[i] = middle_half(list, m.count);
    }
    if (varied)
        m.interval = middle_part(means, varied);
    xfree(list);
    xfree(means);
    return m;
}

/* --- curves --- */

double statistics_curve_at(const double *x, const double *y, int count, double at)
{
    if (!count || !(at >= x[0] && at <= x[count - 1]))
        return NAN;
    int i = 0;
    while (i + 1 < count && x[i + 1] <= at)
        i++;
    if (i + 1 == count || x[i] == at)
        return y[i];
    return y[i] + (at - x[i]) / (x[i + 1] - x[i]) * (y[i + 1] - y[i]);
}
