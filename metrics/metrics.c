/* Rows and lines: what rank 0 writes while a run goes on. The closing files are in
 * metrics/summary.c.
 *
 * A CSV begins with the run's configuration as "# name: value" lines, so that a row can always be
 * traced to its run. */
#include "metrics/metrics.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "metrics/results.h"

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

static double wall_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void results_flush(struct results *r, FILE *f, const char *name)
{
    if ((!f || fflush(f) || ferror(f)) && !r->full) {
        r->full = true;
        fprintf(stderr,
                "nbsgd: cannot write %s/%s (%s): rows are lost from here on, training goes on\n",
                r->folder, name, strerror(errno));
    }
}

FILE *results_file(struct results *r, const char *name, bool head)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", r->folder, name);
    FILE *f = fopen(path, "w");
    if (f && head)
        fputs(r->head, f);
    results_flush(r, f, name);
    return f;
}

static void make_folder(const char *path)
{
    char part[4096];
    snprintf(part, sizeof part, "%s", path);
    for (char *c = part + 1; *c; c++)
        if (*c == '/') {
            *c = 0;
            mkdir(part, 0777);
            *c = '/';
        }
    if (mkdir(part, 0777) && errno != EEXIST)
        fatal("--results: cannot make the folder %s (%s)", path, strerror(errno));
    struct stat s;
    if (!stat(path, &s) && !S_ISDIR(s.st_mode))
        fatal("--results: %s is no folder; name one, or a new one", path);
}

static void read_thresholds(struct results *r, const char *text)
{
    char *copy = strdup(text), *save = NULL, *end;
    for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        double value = strtod(word, &end);
        if (*end || !(value > 0 && value <= 100) || r->thresholds == MAX_THRESHOLDS)
            fatal("--thresholds: '%s' is not a list of at most %d percentages like 80,90,93", text,
                  MAX_THRESHOLDS);
        r->threshold[r->thresholds++] = value;
    }
    free(copy);
}

/* What an earlier run left at its end must not be taken for this one's, should this one be
 * killed. */
static void remove_end(const struct results *r)
{
    static const char *const names[] = {"ranks.csv",      "histograms.csv", "summary.json",
                                        "candidates.csv", "partition.csv",  "partition.png",
                                        "figure.png"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[4096];
        struct stat s;
        snprintf(path, sizeof path, "%s/%s", r->folder, names[i]);
        if (!lstat(path, &s) && S_ISREG(s.st_mode))
            unlink(path);
    }
}

/* The first file: where it cannot be made, none can. */
static void write_config(struct results *r, const char *text)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/config.ini", r->folder);
    FILE *f = fopen(path, "w");
    if (!f)
        fatal("--results: cannot write into %s (%s)", r->folder, strerror(errno));
    fputs(text, f);
    results_flush(r, f, "config.ini");
    fclose(f);
}

struct results *results_open(const struct results_options *o)
{
    struct results *r = xcalloc(1, sizeof *r);
    read_thresholds(r, o->thresholds);
    make_folder(o->folder);
    r->folder = strdup(o->folder);
    remove_end(r);
    r->head = strdup(o->head);
    r->report_s = o->report_s;
    r->live = o->live;
    r->quiet = o->quiet;
    r->started_s = r->reported_s = wall_s();
    write_config(r, o->config);
    r->rows = results_file(r, "eval.csv", true);
    r->events = results_file(r, "events.jsonl", false);
    if (r->rows)
        fputs("seconds,samples,updates,epoch,loss,top1,top5,training_loss\n", r->rows);
    results_flush(r, r->rows, "eval.csv");
    return r;
}

void results_partition(struct results *r, int ranks, int workers, int classes,
                       const int64_t *samples)
{
    FILE *f = r ? results_file(r, "partition.csv", true) : NULL;
    if (!f)
        return;
    fputs("worker,rank,samples", f);
    for (int c = 0; c < classes; c++)
        fprintf(f, ",class_%d", c);
    for (int w = 0; w < workers; w++) {
        const int64_t *mine = samples + (int64_t)w * classes;
        int64_t sum = 0;
        for (int c = 0; c < classes; c++)
            sum += mine[c];
        fprintf(f, "\n%d,%d,%lld", w, ranks == 1 ? 0 : ranks - workers + w, (long long)sum);
        for (int c = 0; c < classes; c++)
            fprintf(f, ",%lld", (long long)mine[c]);
    }
    fputs("\n", f);
    results_flush(r, f, "partition.csv");
    fclose(f);
}

static void clear_line(const struct results *r)
{
    if (r->live)
        fputs("\r\033[K", stdout);
}

void results_evaluation(struct results *r, const struct evaluation *s)
{
    if (!r)
        return;
    if (r->rows && !r->full) {
        fprintf(r->rows, "%.6f,%lld,%lld,%.6f,%.6f,%.4f,%.4f,%.6f\n", s->seconds,
                (long long)s->samples, (long long)s->updates, s->epoch, s->loss, s->top1, s->top5,
                s->training_loss);
        results_flush(r, r->rows, "eval.csv");
    }
    if (r->evaluations == r->room) {
        r->room = r->room ? 2 * r->room : 64;
        r->evaluation = realloc(r->evaluation, (size_t)r->room * sizeof *r->evaluation);
        CHECK(r->evaluation, "no memory for %d evaluations", r->room);
    }
    r->evaluation[r->evaluations++] = *s;
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
    if (!r || r->full)
        return;
    if (!r->candidates) {
        r->candidates = results_file(r, "candidates.csv", true);
        if (!r->candidates)
            return;
        fputs("seconds,samples,updates,of,loss,top1,top5\n", r->candidates);
    }
    fprintf(r->candidates, "%.6f,%lld,%lld,%s,%.6f,%.4f,%.4f\n", e->seconds, (long long)e->samples,
            (long long)e->updates, of, e->loss, e->top1, e->top5);
    results_flush(r, r->candidates, "candidates.csv");
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
    if (!r || !r->events || r->full)
        return;
    json_write(r->events, JSON_FIELDS(JSON_TEXT("event", name), JSON_FIXED("seconds", seconds)),
               fields, false);
    results_flush(r, r->events, "events.jsonl");
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
    if (!r || r->quiet || now - r->reported_s < (r->live ? 0.2 : r->report_s))
        return;
    char left[32];
    double speed = p->seconds > r->last_seconds
                       ? (double)(p->samples - r->last_samples) / (p->seconds - r->last_seconds)
                       : 0;
    clock_text(left, sizeof left, p->done > 0 ? p->seconds * (1 - p->done) / p->done : INFINITY);
    clear_line(r);
    printf("%6.1f s  update %lld  %lld/%lld samples (%.0f %%)  loss %.4f  %.0f images/s  "
           "staleness %.2f  lr %.4g  time left %s%s",
           p->seconds, (long long)p->version, (long long)p->samples, (long long)p->samples_wanted,
           100 * p->done, p->loss, speed, p->staleness, p->lr, left, r->live ? "" : "\n");
    fflush(stdout);
    r->reported_s = now;
    if (!r->live || p->seconds - r->last_seconds > 5) {
        r->last_seconds = p->seconds;
        r->last_samples = p->samples;
    }
}

void results_close(struct results *r)
{
    if (!r)
        return;
    FILE *files[] = {r->rows, r->events, r->candidates};
    for (int i = 0; i < 3; i++)
        if (files[i])
            fclose(files[i]);
    free(r->evaluation);
    free(r->folder);
    free(r->head);
    xfree(r);
}
