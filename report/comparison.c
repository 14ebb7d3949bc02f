/* What a study's runs say about its settings, by the rules of statistics/statistics.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "report/numbers.h"

struct comparison {
    struct numbers *numbers;
    const struct source *source;
    const struct run **runs; /* [source->count], scratch */
    double *list;            /* the same */
};

int comparison_runs(const struct source *s, int case_at, int setting_at, const struct run **list)
{
    int count = 0;
    for (int i = 0; i < s->count; i++) {
        const struct run *r = &s->runs[i];
        if (r->case_at == case_at && r->setting_at == setting_at &&
            (run_has_ended(r) || !strcmp(r->status, "partial")))
            list[count++] = r;
    }
    return count;
}

double comparison_top1_at(const struct run *r, enum curve_axis axis, double at)
{
    const struct curve *c = &r->curve;
    return c->count ? statistics_curve_at(c->axis[axis], c->top1, c->count,
                                          fmin(at, c->axis[axis][c->count - 1]))
                    : NAN;
}

static struct number *add(const struct comparison *c, enum measure measure, int case_at,
                          int setting)
{
    struct number *n = numbers_add(c->numbers, measure);
    n->case_name = case_at < 0 ? "" : c->source->cases.name[case_at];
    n->setting = c->source->settings.name[setting];
    return n;
}

/* The median of c->list. */
static struct number *add_median(const struct comparison *c, enum measure measure, int case_at,
                                 int setting, int count)
{
    int known = 0;
    for (int i = 0; i < count; i++)
        if (!isnan(c->list[i]))
            c->list[known++] = c->list[i];
    if (!known)
        return NULL;
    struct number *n = add(c, measure, case_at, setting);
    statistics_sort(c->list, known);
    n->value = statistics_median(c->list, known);
    n->interval = statistics_order_interval(c->list, known);
    n->count = known;
    n->of = count;
    return n;
}

static void add_plain(const struct comparison *c, int case_at, int setting, int count)
{
    static const struct {
        enum measure measure;
        enum run_number number;
    } plain[] = {
        {MEASURE_TOP1, RUN_TOP1},
        {MEASURE_BEST_TOP1, RUN_BEST_TOP1},
        {MEASURE_TEST_TOP1, RUN_TEST_TOP1},
        {MEASURE_SECONDS, RUN_SECONDS},
        {MEASURE_SAMPLES, RUN_SAMPLES},
        {MEASURE_UPDATES, RUN_UPDATES},
        {MEASURE_IMAGES_PER_S, RUN_IMAGES_PER_S},
        {MEASURE_STALENESS, RUN_STALENESS},
        {MEASURE_MINIBATCHES, RUN_MINIBATCHES},
        {MEASURE_MINIBATCHES_HARMONIC, RUN_MINIBATCHES_HARMONIC},
    };
    for (size_t k = 0; k < sizeof plain / sizeof *plain; k++) {
        if (plain[k].measure == MEASURE_TEST_TOP1 && !source_has_test(c->source))
            continue;
        for (int i = 0; i < count; i++)
            c->list[i] = c->runs[i]->number[plain[k].number];
        add_median(c, plain[k].measure, case_at, setting, count);
    }
}

static void add_shares(const struct comparison *c, int case_at, int setting, int count)
{
    for (int k = 0; k < SHARES; k++) {
        double sum = 0;
        int known = 0;
        for (int i = 0; i < count; i++)
            if (!isnan(c->runs[i]->number[RUN_SHARES + k])) {
                sum += c->runs[i]->number[RUN_SHARES + k];
                known++;
            }
        if (!known)
            continue;
        struct number *n = add(c, MEASURE_SHARE, case_at, setting);
        n->other = share_words[k];
        n->value = sum / known;
        n->count = known;
        n->of = count;
    }
}

/* Of c->runs those that neither got there nor diverged, and ended before the median; where that is
 * never, before the last run of the case that got there. */
static int runs_cut_short(const struct comparison *c, int case_at, int target, int count,
                          double median)
{
    double until = isfinite(median) ? median : 0;
    int cut_short = 0;
    for (int i = 0; isinf(median) && i < c->source->count; i++) {
        const struct run *r = &c->source->runs[i];
        if (r->case_at == case_at && isfinite(r->tta[target]))
            until = fmax(until, r->tta[target]);
    }
    for (int i = 0; i < count; i++)
        cut_short += isinf(c->runs[i]->tta[target]) &&
                     strcmp(c->runs[i]->status, "diverged") != 0 &&
                     c->runs[i]->number[RUN_SECONDS] < until;
    return cut_short;
}

static void add_times(const struct comparison *c, int case_at, int setting, int count)
{
    for (int t = 0; t < c->source->targets; t++) {
        int reached = 0, known = 0;
        for (int i = 0; i < count; i++) {
            c->list[i] = c->runs[i]->tta[t];
            reached += isfinite(c->list[i]);
            known += !isnan(c->list[i]);
        }
        struct number *n = add_median(c, MEASURE_TTA, case_at, setting, count);
        if (!n)
            continue;
        n->target = c->source->target[t];
        n->count = reached;
        n->of = known;
        n->cut_short = runs_cut_short(c, case_at, t, count, n->value);
    }
}

/* --- at equal time, and at equal samples --- */

/* The least end of a run of the case that did not diverge; NAN without one. */
static double least_end(const struct source *s, int case_at, enum curve_axis axis)
{
    double least = NAN;
    for (int i = 0; i < s->count; i++) {
        const struct run *r = &s->runs[i];
        if (r->case_at == case_at && !strcmp(r->status, "done") && r->curve.count)
            least = fmin(least, r->curve.axis[axis][r->curve.count - 1]);
    }
    return least;
}

static void add_at(const struct comparison *c, enum measure measure, enum curve_axis axis,
                   int case_at, int setting, int count)
{
    double at = least_end(c->source, case_at, axis);
    if (isnan(at)) /* every run diverged: no moment is common to them */
        return;
    for (int i = 0; i < count; i++)
        c->list[i] = comparison_top1_at(c->runs[i], axis, at);
    struct number *n = add_median(c, measure, case_at, setting, count);
    if (n)
        n->at = at;
}

/* --- pairs --- */

static int arrivals_of(const struct comparison *c, int case_at, int setting, int target,
                       struct arrival *list)
{
    int count = comparison_runs(c->source, case_at, setting, c->runs), known = 0;
    for (int i = 0; i < count; i++) {
        const struct run *r = c->runs[i];
        bool diverged = !strcmp(r->status, "diverged"); /* it would never have got there */
        if (!isnan(r->tta[target]))
            list[known++] = (struct arrival){r->seed, r->tta[target],
                                             diverged ? INFINITY : r->number[RUN_SECONDS]};
    }
    return known;
}

static void add_pair(const struct comparison *c, int case_at, int a, int b, int target)
{
    const struct source *s = c->source;
    struct arrival *x = xcalloc((size_t)s->count + 1, sizeof *x),
                   *y = xcalloc((size_t)s->count + 1, sizeof *y);
    uint64_t key = random_mix(random_mix((uint64_t)case_at) ^ (uint64_t)target) ^
                   (uint64_t)(a * s->settings.count + b);
    struct paired p = statistics_paired(x, arrivals_of(c, case_at, a, target, x), y,
                                        arrivals_of(c, case_at, b, target, y), key);
    xfree(x);
    xfree(y);
    if (!p.pairs)
        return;
    struct number *n = add(c, MEASURE_BEFORE, case_at, a);
    n->other = s->settings.name[b];
    n->target = s->target[target];
    n->value = p.probable;
    n->count = p.before;
    n->of = p.pairs;
    n->sign_p = p.sign_p;
    n->cut_short = p.cut_short;
    if (isnan(p.log_ratio))
        return;
    n = add(c, MEASURE_RATIO, case_at, a);
    n->other = s->settings.name[b];
    n->target = s->target[target];
    n->value = exp(p.log_ratio);
    n->interval = (struct interval){exp(p.interval.low), exp(p.interval.high), p.interval.coverage};
    n->count = p.pairs - p.neither;
    n->of = p.pairs;
    n->cut_short = p.cut_short;
}

/* Each pair once; the baseline is always the other. */
static void add_pairs(const struct comparison *c, int case_at, int baseline)
{
    int settings = c->source->settings.count;
    for (int t = 0; t < c->source->targets; t++)
        for (int a = 0; a < settings; a++)
            for (int b = 0; b < settings; b++)
                if (a != b && (b == baseline || (a != baseline && b < a)))
                    add_pair(c, case_at, a, b, t);
}

/* --- over the cases --- */

static int scores_of(const struct comparison *c, int case_at, int setting, double *list)
{
    int count = comparison_runs(c->source, case_at, setting, c->runs), known = 0;
    for (int i = 0; i < count; i++)
        if (!isnan(c->runs[i]->number[RUN_TOP1]))
            list[known++] = c->runs[i]->number[RUN_TOP1];
    return known;
}

static void add_iqm(const struct comparison *c, int case_at, int setting, const struct scores *list,
                    int count)
{
    struct interquartile_mean m = statistics_interquartile_mean(
        list, count, (uint64_t)(setting * c->source->cases.count + case_at + 1));
    if (!m.count)
        return;
    struct number *n = add(c, MEASURE_IQM, case_at, setting);
    n->value = m.mean;
    n->interval = m.interval;
    n->count = m.count;
}

static bool all_have_scores(const struct comparison *c, int case_at)
{
    for (int k = 0; k < c->source->settings.count; k++)
        if (!scores_of(c, case_at, k, c->list))
            return false;
    return true;
}

static void add_iqms(const struct comparison *c, int setting)
{
    const struct source *s = c->source;
    double *list = xcalloc((size_t)s->count + 1, sizeof *list), *at = list;
    struct scores *strata = xcalloc((size_t)s->cases.count, sizeof *strata);
    int count = 0;
    for (int i = 0; i < s->cases.count; i++) {
        struct scores one = {.score = at, .count = scores_of(c, i, setting, at)};
        at += one.count;
        add_iqm(c, i, setting, &one, 1);
        if (all_have_scores(c, i))
            strata[count++] = one;
    }
    if (s->cases.count > 1)
        add_iqm(c, -1, setting, strata, count);
    xfree(list);
    xfree(strata);
}

int comparison_medians(const struct source *s, int target, double *seconds, bool *has_all)
{
    const struct run **runs = xcalloc((size_t)s->count + 1, sizeof *runs);
    double *list = xcalloc((size_t)s->count + 1, sizeof *list);
    int cases = 0;
    for (int c = 0; c < s->cases.count; c++) {
        has_all[c] = true;
        for (int k = 0; k < s->settings.count; k++) {
            int count = comparison_runs(s, c, k, runs), known = 0;
            for (int i = 0; i < count; i++)
                if (!isnan(runs[i]->tta[target]))
                    list[known++] = runs[i]->tta[target];
            statistics_sort(list, known);
            seconds[c * s->settings.count + k] = statistics_median(list, known);
            has_all[c] = has_all[c] && known;
        }
        cases += has_all[c];
    }
    xfree(runs);
    xfree(list);
    return cases;
}

/* Cases of a profile in which the setting's median rests on runs that were cut short. */
static int cases_cut_short(const struct comparison *c, const bool *has_all, int setting, int target)
{
    const struct source *s = c->source;
    int cut_short = 0;
    for (int i = 0; i < s->cases.count; i++) {
        const struct number *n = numbers_find(c->numbers, MEASURE_TTA, s->cases.name[i],
                                              s->settings.name[setting], NULL, s->target[target]);
        cut_short += has_all[i] && n && n->cut_short;
    }
    return cut_short;
}

static void add_profile(const struct comparison *c, const double *ratio, int cases, int target,
                        const bool *has_all)
{
    static const double within[] = {1, 1.1, 1.25, 1.5, 2, 3, 4};
    const int settings = c->source->settings.count;
    double *of_setting = xcalloc((size_t)cases, sizeof *of_setting);
    for (int k = 0; k < settings; k++) {
        int cut_short = cases_cut_short(c, has_all, k, target);
        for (size_t i = 0; i < sizeof within / sizeof *within; i++) {
            struct number *n = add(c, MEASURE_PROFILE, -1, k);
            n->target = c->source->target[target];
            n->at = within[i];
            n->value = statistics_profile(ratio, cases, settings, k, within[i]);
            n->count = (int)lround(n->value * cases);
            n->of = cases;
            n->cut_short = cut_short;
        }
        for (int i = 0; i < cases; i++)
            of_setting[i] = ratio[i * settings + k];
        struct geometric_mean g = statistics_geometric_mean(of_setting, cases);
        struct number *n = add(c, MEASURE_GEOMETRIC, -1, k);
        n->target = c->source->target[target];
        n->value = g.mean;
        n->count = g.count;
        n->of = cases;
        n->cut_short = cut_short;
    }
    xfree(of_setting);
}

static void add_profiles(const struct comparison *c)
{
    const struct source *s = c->source;
    int settings = s->settings.count, room = s->cases.count * settings;
    double *seconds = xcalloc((size_t)room, sizeof *seconds),
           *ratio = xcalloc((size_t)room, sizeof *ratio);
    bool *has_all = xcalloc((size_t)s->cases.count, sizeof *has_all);
    for (int t = 0; t < s->targets; t++) {
        int cases = comparison_medians(s, t, seconds, has_all), kept = 0;
        for (int i = 0; i < s->cases.count; i++)
            if (has_all[i])
                memmove(seconds + kept++ * settings, seconds + i * settings,
                        (size_t)settings * sizeof *seconds);
        if (!cases)
            continue;
        statistics_ratios(seconds, cases, settings, ratio);
        add_profile(c, ratio, cases, t, has_all);
    }
    xfree(seconds);
    xfree(ratio);
    xfree(has_all);
}

static void add_count(const struct comparison *c, int case_at, int setting)
{
    int cells = 0, ended = 0;
    for (int i = 0; i < c->source->count; i++) {
        const struct run *r = &c->source->runs[i];
        if (r->case_at != case_at || r->setting_at != setting)
            continue;
        cells++;
        ended += run_has_ended(r);
    }
    struct number *n = add(c, MEASURE_RUNS, case_at, setting);
    n->value = n->count = ended;
    n->of = cells;
}

static void add_cell(const struct comparison *c, int case_at, int setting)
{
    int count = comparison_runs(c->source, case_at, setting, c->runs);
    add_count(c, case_at, setting);
    add_times(c, case_at, setting, count);
    add_plain(c, case_at, setting, count);
    if (c->source->is_study) {
        add_at(c, MEASURE_TOP1_AT_SECONDS, CURVE_SECONDS, case_at, setting, count);
        add_at(c, MEASURE_TOP1_AT_SAMPLES, CURVE_SAMPLES, case_at, setting, count);
    }
    add_shares(c, case_at, setting, count);
}

void comparison_fill(struct numbers *n, const struct source *s, int baseline)
{
    struct comparison c = {.numbers = n,
                           .source = s,
                           .runs = xcalloc((size_t)s->count + 1, sizeof(struct run *)),
                           .list = xcalloc((size_t)s->count + 1, sizeof(double))};
    for (int i = 0; i < s->cases.count; i++)
        for (int k = 0; k < s->settings.count; k++)
            add_cell(&c, i, k);
    for (int i = 0; s->is_study && i < s->cases.count; i++)
        add_pairs(&c, i, baseline);
    for (int k = 0; s->is_study && k < s->settings.count; k++)
        add_iqms(&c, k);
    if (s->is_study)
        add_profiles(&c);
    xfree(c.runs);
    xfree(c.list);
}

int numbers_baseline(const struct source *s, const char *baseline)
{
    int first = 0;
    for (int k = 0; k < s->settings.count; k++)
        if (baseline && !strcmp(s->settings.name[k], baseline))
            return k;
    if (baseline)
        fatal("report --baseline %s: no setting of %s has that name; its first is %s", baseline,
              s->folder, s->settings.name[0]);
    char scheme[100];
    for (int i = s->count; i-- > 0;)
        if (!strcmp(head_value(s->runs[i].head, "scheme", scheme, sizeof scheme), "ssgd"))
            first = s->runs[i].setting_at;
    return first;
}
