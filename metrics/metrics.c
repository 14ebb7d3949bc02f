/* Rows and lines: what rank 0 writes while a run goes on. The closing files are in
 * metrics/summary.c.
 *
 * A CSV begins with the run's configuration as "# name: value" lines, so that a row can always be
 * traced to its run. */
#include "metrics/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/wall_clock.h"
#include "metrics/results.h"
#include "metrics/tensorboard.h"

void histogram_add(struct histogram *h, int64_t value)
{
    h->bin[value < 0 ? 0 : value < HISTOGRAM - 1 ? value : HISTOGRAM - 1]++;
    h->count++;
    h->sum += (double)value;
    if (value <= 0)
        return;
    h->positive++;
    h->inverses += 1 / (double)value;
}

double histogram_mean(const struct histogram *h)
{
    return h->count ? h->sum / (double)h->count : 0;
}

double histogram_harmonic_mean(const struct histogram *h)
{
    return h->positive ? (double)h->positive / h->inverses : 0;
}

void moments_add(struct moments *m, double value)
{
    m->sum += m->count ? value : 0;
    m->squares += m->count ? value * value : 0;
    m->count++;
}

double moments_deviation(const struct moments *m)
{
    double count = (double)m->count - 1, mean = m->sum / count;
    return count > 0 ? sqrt(fmax(0, m->squares / count - mean * mean)) : 0;
}

double moments_mean(const struct moments *m)
{
    return m->count > 1 ? m->sum / ((double)m->count - 1) : NAN;
}

/* Returns how many there are. */
static int read_thresholds(const char *text, double threshold[MAX_THRESHOLDS])
{
    char *copy = strdup(text), *save = NULL, *end;
    int count = 0;
    for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        double value = strtod(word, &end);
        if (*end || !(value > 0 && value <= 100) || count == MAX_THRESHOLDS)
            fatal("--thresholds: '%s' is not a list of at most %d percentages like 80,90,93", text,
                  MAX_THRESHOLDS);
        threshold[count++] = value;
    }
    free(copy);
    return count;
}

void results_check(const char *thresholds)
{
    double unused[MAX_THRESHOLDS];
    read_thresholds(thresholds, unused);
}

/* What an earlier run left at its end must not be taken for this one's, should this one be killed.
 * Weights stay until better ones replace them. */
static void remove_end(const struct results *r, bool goes_on)
{
    static const char *const names[] = {
        "trace.json",     "trace.csv",     "gantt.png",        "ranks.csv",  "histograms.csv",
        "summary.json",   "partition.csv", "partition.png",    "figure.png", "confusion.csv",
        "candidates.csv", "workers.csv",   "worker_losses.csv"};
    size_t count = sizeof names / sizeof *names - (goes_on ? 3 : 0); /* the last are rows */
    for (size_t i = 0; i < count; i++) {
        char path[PATH_SIZE];
        struct stat s;
        results_path(r, names[i], path, sizeof path);
        if (!lstat(path, &s) && S_ISREG(s.st_mode))
            unlink(path);
    }
}

static void write_text(FILE *f, const void *text)
{
    fputs(text, f);
}

/* From here on the folder is written to. */
static void begin(struct results *r)
{
    if (r->has_earlier)
        remove_end(r, r->resume);
    if (r->has_earlier && !r->resume)
        tensorboard_forget(r);
    rows_write(r, "config.ini", false, write_text, r->config);
    rows_open(r, r->resume);
    tensorboard_begin(r->tensorboard);
}

struct results *results_open(const struct results_options *o)
{
    struct results *r = xcalloc(1, sizeof *r);
    if (o->resume)
        rows_check(o->resume);
    r->thresholds = read_thresholds(o->thresholds, r->threshold);
    r->folder = strdup(o->folder);
    r->saved = o->saved ? strdup(o->saved) : NULL;
    r->head = strdup(o->head);
    r->report_s = o->report_s;
    r->live = o->live;
    r->quiet = o->quiet;
    r->started_s = r->reported_s = wall_s();
    r->has_earlier = o->has_earlier;
    r->resume = o->resume;
    r->config = strdup(o->config);
    r->forwards = o->forwards;
    r->tensorboard = tensorboard_open(r, o->tensorboard);
    r->disk = o->disk;
    if (!r->forwards)
        begin(r);
    return r;
}

void results_arrived(struct results *r)
{
    if (!r || !r->forwards)
        return;
    r->forwards = false;
    begin(r);
}

const char *results_saved(const struct results *r)
{
    return r ? r->saved : NULL;
}

static void clear_line(const struct results *r)
{
    if (r->live)
        fputs("\r\033[K", stdout);
}

static void take_evaluation(struct results *r, const struct evaluation *e)
{
    if (r->evaluations == r->room) {
        r->room = r->room ? 2 * r->room : 64;
        r->evaluation = realloc(r->evaluation, (size_t)r->room * sizeof *r->evaluation);
        CHECK(r->evaluation, "no memory for %d evaluations", r->room);
    }
    r->evaluation[r->evaluations++] = *e;
}

void results_evaluation(struct results *r, const struct evaluation *s)
{
    if (!r)
        return;
    take_evaluation(r, s);
    if (r->forwards)
        return;
    tensorboard_evaluation(r->tensorboard, s);
    FILE *f = rows_begin(r, ROWS_EVALUATIONS);
    if (f)
        fprintf(f, "%.6f,%lld,%lld,%.6f,%.6f,%.4f,%.4f,%.6f,%.6g\n", s->seconds,
                (long long)s->samples, (long long)s->updates, s->epoch, s->loss, s->top1, s->top5,
                s->training_loss, s->weight_norm);
    rows_end(r, ROWS_EVALUATIONS);
    if (r->quiet)
        return;
    clear_line(r);
    printf("evaluated at %8.1f s  %8lld samples  %6lld updates  loss %.4f  top-1 %.2f %%  top-5 "
           "%.2f %%\n",
           s->seconds, (long long)s->samples, (long long)s->updates, s->loss, s->top1, s->top5);
    fflush(stdout);
}

void results_candidate(struct results *r, const char *of, const struct evaluation *e)
{
    if (!r || r->forwards)
        return;
    FILE *f = rows_begin(r, ROWS_CANDIDATES);
    if (f)
        fprintf(f, "%.6f,%lld,%lld,%s,%.6f,%.4f,%.4f\n", e->seconds, (long long)e->samples,
                (long long)e->updates, of, e->loss, e->top1, e->top5);
    rows_end(r, ROWS_CANDIDATES);
}

/* A cell; empty where there is no number. */
static void write_number(FILE *f, double number)
{
    if (isnan(number))
        fputs(",", f);
    else
        fprintf(f, ",%.6g", number);
}

void results_workers(struct results *r, const struct workers_result *w)
{
    if (!r)
        return;
    r->workers = *w;
    r->has_workers = true;
    if (r->forwards)
        return;
    const double numbers[] = {w->distance,  w->farthest,           w->pairwise,
                              w->norm,      w->distance / w->norm, w->pairwise / w->norm,
                              w->best_top1, w->worst_top1,         w->mean_top1};
    FILE *f = rows_begin(r, ROWS_WORKERS);
    if (f) {
        fprintf(f, "%.6f,%lld,%lld", w->seconds, (long long)w->samples, (long long)w->updates);
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            write_number(f, numbers[i]);
        fputs("\n", f);
    }
    rows_end(r, ROWS_WORKERS);
}

void results_worker_losses(struct results *r, const struct worker_losses *l)
{
    FILE *f = NULL;
    for (int i = 0; i < l->workers && r && !r->forwards; i++) {
        if (!l->used[i])
            continue;
        f = rows_begin(r, ROWS_LOSSES);
        if (!f)
            return;
        fprintf(f, "%.6f,%lld,%lld,%d,%d,%lld,%.6f\n", l->seconds, (long long)l->samples,
                (long long)l->updates, i, l->ranks == 1 ? 0 : l->ranks - l->workers + i,
                (long long)l->used[i], l->loss[i] / (double)l->used[i]);
    }
    if (f)
        rows_end(r, ROWS_LOSSES);
}

const struct evaluation *results_evaluations(const struct results *r, int *count)
{
    *count = r ? r->evaluations : 0;
    return r ? r->evaluation : NULL;
}

void results_restore(struct results *r, const struct evaluation *list, int count)
{
    r->evaluations = 0;
    for (int i = 0; i < count; i++)
        take_evaluation(r, &list[i]);
}

double results_best(const struct results *r)
{
    double best = 0;
    for (int i = 0; r && i < r->evaluations; i++)
        best = r->evaluation[i].top1 > best ? r->evaluation[i].top1 : best;
    return best;
}

void results_event(struct results *r, const char *name, double seconds,
                   const struct json_field *fields)
{
    FILE *f = r && !r->forwards ? rows_begin(r, ROWS_EVENTS) : NULL;
    if (!f)
        return;
    json_write(f, JSON_FIELDS(JSON_TEXT("event", name), JSON_FIXED("seconds", seconds)), fields,
               false);
    rows_end(r, ROWS_EVENTS);
}

static void clock_text(char *to, size_t size, double s)
{
    if (!isfinite(s) || s > 3.6e6)
        snprintf(to, size, "?");
    else if (s >= 3600)
        snprintf(to, size, "%d:%02d:%02d", (int)s / 3600, (int)s / 60 % 60, (int)s % 60);
    else
        snprintf(to, size, "%d:%02d", (int)s / 60, (int)s % 60);
}

void results_progress(struct results *r, const struct progress *p)
{
    double now = wall_s();
    if (r)
        tensorboard_update(r->tensorboard, p);
    if (!r || r->quiet || r->forwards || now - r->reported_s < (r->live ? 0.2 : r->report_s))
        return;
    char left[32];
    double speed = p->seconds > r->last.seconds
                       ? (double)(p->samples - r->last.samples) / (p->seconds - r->last.seconds)
                       : 0;
    clock_text(left, sizeof left, p->done > 0 ? p->seconds * (1 - p->done) / p->done : INFINITY);
    clear_line(r);
    printf("%6.1f s  update %lld  %lld/%lld samples (%.0f %%)  loss %.4f  %.0f images/s  "
           "staleness %.2f  lr %.4g  time left %s%s",
           p->seconds, (long long)p->version, (long long)p->samples, (long long)p->samples_wanted,
           100 * p->done, p->loss, speed, p->staleness, p->lr, left, r->live ? "" : "\n");
    fflush(stdout);
    r->reported_s = now;
    if (!r->live || p->seconds - r->last.seconds > 5) {
        r->last.seconds = p->seconds;
        r->last.samples = p->samples;
    }
}

void results_close(struct results *r)
{
    if (!r)
        return;
    rows_close(r);
    tensorboard_close(r->tensorboard);
    free(r->evaluation);
    free(r->folder);
    free(r->saved);
    free(r->config);
    free(r->head);
    free(r->unwritten);
    xfree(r);
}
