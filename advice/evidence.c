/* What the study has seen: samples and seconds to the threshold, of each setting in each case. */
#include <math.h>
#include <string.h>

#include "advice/private.h"
#include "base/alloc.h"
#include "base/check.h"
#include "metrics/metrics.h"

/* Of a run that has ended; INFINITY: never. */
static double seconds_to(const struct run *r, double target)
{
    const struct curve *c = &r->curve;
    struct evaluation *list = xcalloc((size_t)c->count + 1, sizeof *list);
    for (int i = 0; i < c->count; i++)
        list[i] = (struct evaluation){.seconds = c->axis[CURVE_SECONDS][i],
                                      .updates = (int64_t)c->axis[CURVE_UPDATES][i],
                                      .top1 = c->top1[i]};
    double seconds = time_to_accuracy(list, c->count, target).confirmed_s;
    xfree(list);
    return isnan(seconds) ? INFINITY : seconds;
}

/* At that time, linear between two evaluations, as the time itself is. */
static double samples_at(const struct run *r, double seconds)
{
    const struct curve *c = &r->curve;
    return isinf(seconds) ? INFINITY
                          : statistics_curve_at(c->axis[CURVE_SECONDS], c->axis[CURVE_SAMPLES],
                                                c->count, seconds);
}

/* Between the evaluations around it, of what it is itself; 0 where there is none. */
static double gap_at(const struct run *r, double seconds, double samples)
{
    const struct curve *c = &r->curve;
    int i = 0;
    while (i < c->count && c->axis[CURVE_SECONDS][i] < seconds)
        i++;
    return i == 0 || i == c->count || samples <= 0
               ? 0
               : (c->axis[CURVE_SAMPLES][i] - c->axis[CURVE_SAMPLES][i - 1]) / samples;
}

static double median_of(double *list, int count)
{
    statistics_sort(list, count);
    return statistics_median(list, count);
}

static bool is_of(const struct run *r, int setting, int c)
{
    return r->setting_at == setting && r->case_at == c && run_has_ended(r) && r->curve.count;
}

static struct evidence evidence_of(const struct advice *a, int setting, int c, double target)
{
    const struct source *s = a->source;
    struct evidence e = {0};
    size_t room = (size_t)s->count + 1;
    double *samples = xcalloc(6 * room, sizeof *samples), *seconds = samples + room,
           *staleness = seconds + room, *minibatches = staleness + room,
           *watched_s = minibatches + room, *gap = watched_s + room;
    for (int i = 0; i < s->count; i++) {
        const struct run *r = &s->runs[i];
        if (!is_of(r, setting, c))
            continue;
        seconds[e.runs] = seconds_to(r, target);
        samples[e.runs] = samples_at(r, seconds[e.runs]);
        gap[e.runs] = gap_at(r, seconds[e.runs], samples[e.runs]);
        watched_s[e.runs] = r->number[RUN_SECONDS];
        staleness[e.runs] = r->number[RUN_STALENESS];
        minibatches[e.runs] = r->number[RUN_MINIBATCHES];
        e.reached += !isinf(seconds[e.runs++]);
    }
    e.samples = median_of(samples, e.runs);
    e.interval = statistics_order_interval(samples, e.runs);
    e.seconds = median_of(seconds, e.runs);
    e.gap = median_of(gap, e.runs);
    e.watched_s = median_of(watched_s, e.runs);
    e.staleness = median_of(staleness, e.runs);
    e.minibatches = median_of(minibatches, e.runs);
    xfree(samples);
    return e;
}

/* In the median of its runs, in some case. */
static bool gets_there(const struct advice *a, int setting, double target)
{
    for (int c = 0; c < a->cases; c++)
        if (isfinite(evidence_of(a, setting, c, target).samples))
            return true;
    return false;
}

static bool anybody_gets_there(const struct advice *a, double target)
{
    for (int k = 0; k < a->settings; k++)
        if (gets_there(a, k, target))
            return true;
    return false;
}

/* The study's greatest that the baseline gets to, else that anybody does; 0: none. */
static double choose_target(const struct advice *a)
{
    const struct source *s = a->source;
    double of_baseline = 0, of_anybody = 0;
    for (int i = 0; i < s->targets; i++) {
        if (gets_there(a, a->baseline, s->target[i]))
            of_baseline = fmax(of_baseline, s->target[i]);
        if (anybody_gets_there(a, s->target[i]))
            of_anybody = fmax(of_anybody, s->target[i]);
    }
    return of_baseline > 0 ? of_baseline : of_anybody;
}

static void take_target(struct advice *a)
{
    const struct advice_request *r = a->request;
    double known = choose_target(a);
    a->target = isnan(r->target) ? known : r->target;
    if (isnan(r->target) && !a->source->targets)
        fatal("advise: %s has no targets: write `targets` into its [study] and run `nbsgd study` "
              "again (no cell is), or give --target",
              r->study);
    if (isnan(r->target) && known <= 0)
        fatal("advise: in %s no setting gets to one of its targets in the median of its seeds; "
              "give a lower --target",
              r->study);
    if (!anybody_gets_there(a, a->target) && known > 0)
        fatal("advise: in %s no setting gets to %g %% in the median of its seeds; --target %g was "
              "reached",
              r->study, a->target, known);
    if (!anybody_gets_there(a, a->target))
        fatal("advise: in %s no setting gets to %g %% in the median of its seeds; take a lower "
              "--target",
              r->study, a->target);
}

static void take_runs(struct advice *a)
{
    const struct source *s = a->source;
    int ended = 0;
    for (int i = s->count - 1; i >= 0; i--) {
        const struct run *r = &s->runs[i];
        if (is_of(r, r->setting_at, r->case_at)) {
            a->run[cell_at(a, r->setting_at, r->case_at)] = r;
            ended++;
        }
    }
    if (!ended)
        fatal("advise: no run of %s has ended; `nbsgd study` runs what is missing",
              a->request->study);
}

/* Its summary has it. */
static double least_use_of(const struct run *r)
{
    struct source *alone = r ? source_open(r->folder) : NULL;
    double use = alone ? alone->runs->number[RUN_LEAST_USE] : NAN;
    if (alone)
        source_close(alone);
    return use;
}

void advice_evidence(struct advice *a)
{
    take_runs(a);
    take_target(a);
    for (int k = 0; k < a->settings; k++)
        for (int c = 0; c < a->cases; c++) {
            struct evidence *e = &a->evidence[cell_at(a, k, c)];
            *e = evidence_of(a, k, c, a->target);
            e->least_use = least_use_of(a->run[cell_at(a, k, c)]);
        }
}
