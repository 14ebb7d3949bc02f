/* Which classes each worker draws from: a file with all numbers, and one line that stays readable
 * for any number of workers and classes. And what evaluations said of each class. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/text.h"
#include "metrics/metrics.h"
#include "metrics/results.h"

/* A name of a folder may hold what would end the list, or the line. */
static void write_names(FILE *f, const char *const *names, int classes)
{
    fputs("# class names: ", f);
    for (int c = 0; c < classes; c++) {
        fputs(c ? ", " : "", f);
        for (const char *at = names[c]; *at; at++)
            putc(*at == ',' || iscntrl((unsigned char)*at) ? '_' : *at, f);
    }
    putc('\n', f);
}

static void write_confusion(FILE *f, const void *confusion)
{
    const struct confusion *c = confusion;
    fprintf(f, "# judged at: %.6f\n", c->seconds);
    if (c->class_names)
        write_names(f, c->class_names, c->classes);
    fputs("class,samples", f);
    for (int k = 0; k < c->classes; k++)
        fprintf(f, ",said_%d", k);
    for (int i = 0; i < c->classes; i++) {
        const int64_t *row = c->counts + (int64_t)i * c->classes;
        int64_t samples = 0;
        for (int k = 0; k < c->classes; k++)
            samples += row[k];
        fprintf(f, "\n%d,%lld", i, (long long)samples);
        for (int k = 0; k < c->classes; k++)
            fprintf(f, ",%lld", (long long)row[k]);
    }
    fputs("\n", f);
}

void results_confusion(struct results *r, const struct confusion *c)
{
    if (r && !r->forwards)
        rows_write(r, "confusion.csv", true, write_confusion, c);
}

static int64_t sum_of(const struct partition_result *p, int worker)
{
    int64_t sum = 0;
    for (int c = 0; c < p->classes; c++)
        sum += p->samples[(int64_t)worker * p->classes + c];
    return sum;
}

static void write_rows(FILE *f, const void *partition)
{
    const struct partition_result *p = partition;
    if (p->class_names)
        write_names(f, p->class_names, p->classes);
    fputs("worker,rank,samples", f);
    for (int c = 0; c < p->classes; c++)
        fprintf(f, ",class_%d", c);
    for (int w = 0; w < p->workers; w++) {
        const int64_t *mine = p->samples + (int64_t)w * p->classes;
        fprintf(f, "\n%d,%d,%lld", w, p->ranks == 1 ? 0 : p->ranks - p->workers + w,
                (long long)sum_of(p, w));
        for (int c = 0; c < p->classes; c++)
            fprintf(f, ",%lld", (long long)mine[c]);
    }
    fputs("\n", f);
}

/* The mean over the workers of the total variation distance between a worker's classes and all
 * workers' together: 0 where all are alike, near 1 where each has few of many. */
static double skew(const struct partition_result *p)
{
    double *share = xcalloc((size_t)p->classes, sizeof *share), all = 0, distance = 0;
    for (int w = 0; w < p->workers; w++)
        for (int c = 0; c < p->classes; c++) {
            share[c] += (double)p->samples[(int64_t)w * p->classes + c];
            all += (double)p->samples[(int64_t)w * p->classes + c];
        }
    for (int w = 0; w < p->workers; w++) {
        double sum = (double)sum_of(p, w);
        for (int c = 0; c < p->classes; c++)
            distance +=
                fabs((double)p->samples[(int64_t)w * p->classes + c] / sum - share[c] / all) / 2;
    }
    xfree(share);
    return distance / p->workers;
}

struct span {
    int64_t least, most;
};

static void widen(struct span *s, int64_t value)
{
    if (!s->most || value < s->least)
        s->least = value;
    if (value > s->most)
        s->most = value;
}

static const char *span_text(char *text, size_t size, struct span s)
{
    char least[TEXT_NUMBER], most[TEXT_NUMBER];
    text_number(least, s.least);
    text_number(most, s.most);
    snprintf(text, size, s.least == s.most ? "%s" : "%s to %s", least, most);
    return text;
}

static void say(const struct partition_result *p)
{
    struct span samples = {0}, classes = {0};
    char of_samples[2 * TEXT_NUMBER + 4], of_classes[2 * TEXT_NUMBER + 4];
    for (int w = 0; w < p->workers; w++) {
        int has = 0;
        for (int c = 0; c < p->classes; c++)
            has += p->samples[(int64_t)w * p->classes + c] > 0;
        widen(&samples, sum_of(p, w));
        widen(&classes, has);
    }
    printf("shards: %s samples of %s of %d classes a worker; label skew %.3f (0: all alike)\n",
           span_text(of_samples, sizeof of_samples, samples),
           span_text(of_classes, sizeof of_classes, classes), p->classes, skew(p));
    fflush(stdout);
}

void results_partition(struct results *r, const struct partition_result *p)
{
    if (!r || r->forwards)
        return;
    rows_write(r, "partition.csv", true, write_rows, p);
    if (!r->quiet)
        say(p);
}
