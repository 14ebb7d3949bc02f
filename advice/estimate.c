#include "advice/estimate.h"

#include <math.h>

#include "base/alloc.h"

const double estimate_near = 0.05, estimate_far = 0.2231; /* ln 1.25 */

static const double unused = 0.1;

static double use_distance(double a, double b)
{
    return !isnan(a) && !isnan(b) && (a < unused) != (b < unused);
}

double estimate_distance(const struct evidence *e, const struct pace *p)
{
    return fabs(log((1 + e->staleness) / (1 + p->staleness))) +
           fabs(log(e->minibatches / p->minibatches)) + use_distance(e->least_use, p->least_use);
}

static bool is_usable(const struct evidence *e, const struct pace *p)
{
    return e->runs && !isnan(p->images_per_s) && isfinite(estimate_distance(e, p));
}

struct estimate estimate_of(const struct evidence *evidence, const struct pace *pace, int count,
                            int without)
{
    struct estimate best = {.from = -1, .seconds = NAN, .low = NAN, .high = NAN};
    double least = INFINITY;
    for (int i = 0; i < count; i++)
        if (i != without && is_usable(&evidence[i], &pace[i]))
            least = fmin(least, estimate_distance(&evidence[i], &pace[i]));
    for (int i = 0; i < count; i++) {
        const struct evidence *e = &evidence[i];
        if (i == without || !is_usable(e, &pace[i]) ||
            estimate_distance(e, &pace[i]) > least + estimate_near)
            continue;
        double rate = pace[i].images_per_s, seconds = e->samples / rate;
        if (best.from < 0 || seconds < best.seconds)
            best = (struct estimate){i, estimate_distance(e, &pace[i]), seconds,
                                     e->interval.low / rate, e->interval.high / rate};
    }
    return best;
}

enum outcome outcome_of(const struct estimate *e, const struct evidence *measured)
{
    if (e->from < 0 || !measured->runs)
        return OUTCOME_UNKNOWN;
    if (isfinite(measured->seconds))
        return isfinite(e->seconds) ? OUTCOME_BOTH : OUTCOME_MISSED;
    return e->seconds < measured->watched_s ? OUTCOME_MISSED : OUTCOME_AGREES;
}

struct errors errors_of(const double *logs, int count)
{
    struct errors e = {.median = NAN, .most = NAN, .worst = NAN, .at = -1};
    double *sorted = xcalloc((size_t)count + 1, sizeof *sorted);
    for (int i = 0; i < count; i++) {
        if (isnan(logs[i]))
            continue;
        sorted[e.count++] = fabs(logs[i]);
        if (e.at < 0 || fabs(logs[i]) > fabs(logs[e.at]))
            e.at = i;
    }
    statistics_sort(sorted, e.count);
    if (e.count) {
        e.median = exp(statistics_median(sorted, e.count));
        e.most = exp(sorted[(9 * e.count + 9) / 10 - 1]);
        e.worst = exp(sorted[e.count - 1]);
    }
    xfree(sorted);
    return e;
}

static bool is_sooner(const struct estimate *e, const struct estimate *than)
{
    return e->from >= 0 && isfinite(e->seconds) && e->distance <= estimate_far &&
           (!than || e->seconds < than->seconds);
}

struct verdict verdict_of(const struct estimate *list, int count, int baseline,
                          const double *allowed)
{
    struct verdict v = {.kind = VERDICT_BASELINE, .first = -1, .gain = NAN};
    const struct estimate *base = &list[baseline];
    if (base->from >= 0 && isfinite(base->seconds))
        v.first = baseline;
    for (int i = 0; i < count; i++)
        if (is_sooner(&list[i], v.first < 0 ? NULL : &list[v.first]))
            v.first = i;
    if (v.first < 0)
        return v;
    v.gain = base->seconds / list[v.first].seconds;
    if (v.first == baseline)
        v.kind = VERDICT_BASELINE;
    else if (list[v.first].high >= base->low)
        v.kind = VERDICT_OVERLAP;
    else if (!isnan(allowed[v.first]) && v.gain <= allowed[v.first])
        v.kind = VERDICT_WITHIN;
    else
        v.kind = VERDICT_TAKE;
    return v;
}
