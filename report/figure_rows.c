#include "report/figure_rows.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

enum { GRID = 100, STEPS = 300 };
static const double widest_ratio = 4;

static void end_block(FILE *f)
{
    fputs("\n\n", f);
}

void figure_names(FILE *f, const char *what, const struct names *names)
{
    fprintf(f, "# %s:", what);
    for (int i = 0; i < names->count; i++)
        fprintf(f, " %s", names->name[i]);
    fputs("\n", f);
}

static void write_targets(FILE *f, const struct source *s)
{
    fputs("# targets:", f);
    for (int i = 0; i < s->targets; i++)
        fprintf(f, " %g", s->target[i]);
    fputs("\n", f);
}

/* --- accuracy --- */

static const double *values_of(const struct run *r, bool loss)
{
    return loss ? r->curve.loss : r->curve.top1;
}

static double end_of(const struct run *r, enum curve_axis axis)
{
    return r->curve.count ? r->curve.axis[axis][r->curve.count - 1] : 0;
}

/* Median and interval of the runs at GRID + 1 places, up to the median end; a run that has ended
 * keeps its last value. */
static void median_block(FILE *f, const struct run *const *runs, int count, enum curve_axis axis,
                         bool loss)
{
    double *list = xcalloc((size_t)count + 1, sizeof *list);
    for (int i = 0; i < count; i++)
        list[i] = end_of(runs[i], axis);
    statistics_sort(list, count);
    double end = count ? statistics_median(list, count) : 0;
    for (int g = 0; g <= GRID; g++) {
        double at = end * g / GRID;
        int known = 0;
        for (int i = 0; i < count; i++) {
            double value =
                statistics_curve_at(runs[i]->curve.axis[axis], values_of(runs[i], loss),
                                    runs[i]->curve.count, fmin(at, end_of(runs[i], axis)));
            if (!isnan(value))
                list[known++] = value;
        }
        statistics_sort(list, known);
        struct interval band = statistics_order_interval(list, known);
        fprintf(f, "%.9g,%.6g,%.6g,%.6g\n", at, statistics_median(list, known), band.low,
                band.high);
    }
    xfree(list);
    end_block(f);
}

static void run_block(FILE *f, const struct run *r)
{
    const struct curve *c = &r->curve;
    for (int i = 0; i < c->count; i++)
        fprintf(f, "%.9g,%.9g,%.9g,%.6g,%.6g\n", c->axis[CURVE_SECONDS][i],
                c->axis[CURVE_SAMPLES][i], c->axis[CURVE_UPDATES][i], c->top1[i], c->loss[i]);
    if (!c->count)
        fputs("NaN,NaN,NaN,NaN,NaN\n", f);
    end_block(f);
}

void accuracy_rows(FILE *f, const struct report *r, int case_at)
{
    const struct source *s = r->source;
    const struct run **runs = xcalloc((size_t)s->count + 1, sizeof *runs);
    figure_names(f, "settings", &s->settings);
    fputs("# runs:", f);
    for (int k = 0; k < s->settings.count; k++)
        for (int i = comparison_runs(s, case_at, k, runs); i > 0; i--)
            fprintf(f, " %d", k + 1);
    fputs("\n# columns: x,median,low,high; then, a block a run, "
          "seconds,samples,updates,top1,loss\n",
          f);
    for (int panel = 0; panel <= CURVE_AXES; panel++) /* the last is the loss */
        for (int k = 0; k < s->settings.count; k++)
            median_block(f, runs, comparison_runs(s, case_at, k, runs), panel % CURVE_AXES,
                         panel == CURVE_AXES);
    for (int k = 0; k < s->settings.count; k++) {
        int count = comparison_runs(s, case_at, k, runs);
        for (int i = 0; i < count; i++)
            run_block(f, runs[i]);
    }
    xfree(runs);
}

/* --- times to accuracy, profiles --- */

/* A height above all that is finite, for what never ends. */
static double top_of(const struct report *r)
{
    double most = 0;
    for (int i = 0; i < r->numbers->count; i++) {
        const struct number *n = &r->numbers->list[i];
        const double ends[] = {n->value, n->interval.high};
        for (int k = 0; k < 2 && n->measure == MEASURE_TTA; k++)
            most = isfinite(ends[k]) ? fmax(most, ends[k]) : most;
    }
    return 1.1 * (most > 0 ? most : 1);
}

static void time_row(FILE *f, const struct number *n, int setting, double top)
{
    if (!n)
        return;
    fprintf(f, "%d,%.6g,%.6g,%.6g,", setting, fmin(n->value, top), fmin(n->interval.low, top),
            fmin(n->interval.high, top));
    if (n->count < n->of)
        fprintf(f, "%d/%d", n->count, n->of);
    fputs("\n", f);
}

void tta_rows(FILE *f, const struct report *r)
{
    const struct source *s = r->source;
    double top = top_of(r);
    figure_names(f, "cases", &s->cases);
    figure_names(f, "settings", &s->settings);
    write_targets(f, s);
    fprintf(f, "# top: %.6g\n# columns: setting,median,low,high,reached of all where not all did\n",
            top);
    for (int c = 0; c < s->cases.count; c++)
        for (int t = 0; t < s->targets; t++) {
            fputs("NaN,NaN,NaN,NaN,\n", f);
            for (int k = 0; k < s->settings.count; k++)
                time_row(f,
                         numbers_find(r->numbers, MEASURE_TTA, s->cases.name[c],
                                      s->settings.name[k], NULL, s->target[t]),
                         k, top);
            end_block(f);
        }
}

static void profile_blocks(FILE *f, const struct source *s, const double *ratio, int cases)
{
    for (int k = 0; k < s->settings.count; k++) {
        double last = -1;
        for (int g = 0; g <= STEPS; g++) { /* dashes want long lines: steps alone */
            double within = 1 + (widest_ratio - 1) * g / STEPS,
                   part = statistics_profile(ratio, cases, s->settings.count, k, within);
            if (part != last || g == STEPS)
                fprintf(f, "%.6g,%.6g\n", within, part);
            last = part;
        }
        end_block(f);
    }
}

void profile_rows(FILE *f, const struct report *r)
{
    const struct source *s = r->source;
    int settings = s->settings.count;
    double *seconds = xcalloc((size_t)(s->cases.count * settings), sizeof *seconds),
           *ratio = xcalloc((size_t)(s->cases.count * settings), sizeof *ratio);
    bool *has_all = xcalloc((size_t)s->cases.count, sizeof *has_all);
    figure_names(f, "settings", &s->settings);
    write_targets(f, s);
    fputs("# columns: ratio to the best,part of the cases\n", f);
    for (int t = 0; t < s->targets; t++) {
        int cases = 0;
        comparison_medians(s, t, seconds, has_all);
        for (int c = 0; c < s->cases.count; c++)
            if (has_all[c])
                memmove(seconds + cases++ * settings, seconds + c * settings,
                        (size_t)settings * sizeof *seconds);
        statistics_ratios(seconds, cases, settings, ratio);
        profile_blocks(f, s, ratio, cases);
    }
    xfree(seconds);
    xfree(ratio);
    xfree(has_all);
}

/* --- seconds --- */

static void share_row(FILE *f, const struct report *r, int case_at, int setting)
{
    const struct source *s = r->source;
    for (int k = 0; k < SHARES; k++) {
        const struct number *n = numbers_find(r->numbers, MEASURE_SHARE, s->cases.name[case_at],
                                              s->settings.name[setting], share_words[k], NAN);
        fprintf(f, ",%.6g", n ? 100 * n->value : NAN);
    }
    fputs("\n", f);
}

static void rank_rows(FILE *f, const struct report *r)
{
    int rank = -1;
    for (int i = 0; i < r->numbers->count; i++) { /* all kinds of a rank, then the next */
        const struct number *n = &r->numbers->list[i];
        if (n->measure != MEASURE_RANK_SECONDS)
            continue;
        if (n->item != rank)
            fprintf(f, "%s%d", rank < 0 ? "" : "\n", n->item);
        rank = n->item;
        fprintf(f, ",%.6g", n->value);
    }
    fputs("\n", f);
}

/* A block a case and a row a setting; of one run a row a rank. */
void time_rows(FILE *f, const struct report *r)
{
    const struct source *s = r->source;
    bool by_rank = numbers_find(r->numbers, MEASURE_RANK_SECONDS, NULL, NULL, NULL, NAN) != NULL;
    figure_names(f, "cases", &s->cases);
    fprintf(f, "# unit: %s\n# label: %s\n# columns: label",
            by_rank ? "seconds of the training clock" : "percent of the workers' time",
            by_rank ? "rank" : "");
    for (int k = 0; k < SHARES; k++)
        fprintf(f, ",%s", share_words[k]);
    fputs("\n", f);
    if (by_rank) {
        rank_rows(f, r);
        return;
    }
    for (int c = 0; c < s->cases.count; c++) {
        for (int k = 0; k < s->settings.count; k++) {
            fputs(s->settings.name[k], f);
            share_row(f, r, c, k);
        }
        end_block(f);
    }
}

bool time_has_rows(const struct report *r)
{
    return numbers_find(r->numbers, MEASURE_RANK_SECONDS, NULL, NULL, NULL, NAN) ||
           numbers_find(r->numbers, MEASURE_SHARE, NULL, NULL, share_words[0], NAN);
}

/* --- staleness, mini-batches an update --- */

static void histogram_rows(FILE *f, const double *staleness, const double *minibatches)
{
    double all_staleness = 0, all_minibatches = 0;
    int last = 0;
    for (int i = 0; i < REPORT_BINS; i++) {
        all_staleness += staleness[i];
        all_minibatches += minibatches[i];
        if (staleness[i] > 0 || minibatches[i] > 0)
            last = i;
    }
    for (int i = 0; i <= last; i++)
        fprintf(f, "%d,%.6g,%.6g\n", i, all_staleness > 0 ? 100 * staleness[i] / all_staleness : 0,
                all_minibatches > 0 ? 100 * minibatches[i] / all_minibatches : 0);
    end_block(f);
}

/* A block a setting: all its runs together. */
void update_rows(FILE *f, const struct report *r, int case_at)
{
    const struct source *s = r->source;
    const struct run **runs = xcalloc((size_t)s->count + 1, sizeof *runs);
    figure_names(f, "settings", &s->settings);
    fprintf(f,
            "# most: %d\n# columns: value,percent of the pushes by staleness,percent of the "
            "updates by mini-batches\n",
            REPORT_BINS - 1);
    for (int k = 0; k < s->settings.count; k++) {
        double staleness[REPORT_BINS] = {0}, minibatches[REPORT_BINS] = {0};
        int count = comparison_runs(s, case_at, k, runs);
        for (int i = 0; i < count; i++)
            for (int b = 0; b < REPORT_BINS; b++) {
                staleness[b] += runs[i]->staleness[b];
                minibatches[b] += runs[i]->minibatches[b];
            }
        histogram_rows(f, staleness, minibatches);
    }
    xfree(runs);
}

/* --- throughput --- */

/* Of the first run that has rows. */
static double factor_of(const struct source *s, int case_at)
{
    for (int i = 0; i < s->count; i++)
        if (s->runs[i].case_at == case_at && *s->runs[i].head)
            return slow_factor(s->runs[i].head);
    return 1;
}

bool throughput_has_rows(const struct report *r)
{
    for (int c = 1; c < r->source->cases.count; c++)
        if (factor_of(r->source, c) != factor_of(r->source, 0))
            return true;
    return false;
}

/* The case whose factor is next: those of one factor by their order. -1: that was the last. */
static int next_case(const struct source *s, int after)
{
    int next = -1;
    for (int c = 0; c < s->cases.count; c++) {
        double factor = factor_of(s, c), last = after < 0 ? 0 : factor_of(s, after);
        if ((factor > last || (factor == last && c > after)) &&
            (next < 0 || factor < factor_of(s, next)))
            next = c;
    }
    return next;
}

/* A block a setting. Cases of one factor are several rows. */
void throughput_rows(FILE *f, const struct report *r)
{
    const struct source *s = r->source;
    figure_names(f, "settings", &s->settings);
    fputs("# columns: factor,images_per_s,low,high\n", f);
    for (int k = 0; k < s->settings.count; k++) {
        fputs("NaN,NaN,NaN,NaN\n", f);
        for (int c = next_case(s, -1); c >= 0; c = next_case(s, c)) {
            const struct number *n = numbers_find(r->numbers, MEASURE_IMAGES_PER_S,
                                                  s->cases.name[c], s->settings.name[k], NULL, NAN);
            if (n)
                fprintf(f, "%.6g,%.6g,%.6g,%.6g\n", factor_of(s, c), n->value, n->interval.low,
                        n->interval.high);
        }
        end_block(f);
    }
}
