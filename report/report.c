#include "report/report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/file.h"
#include "report/tables.h"

struct whole {
    const struct report *report;
    void (*write)(FILE *f, const struct report *r);
};

static bool write_whole(FILE *f, void *self)
{
    const struct whole *w = self;
    w->write(f, w->report);
    return !ferror(f);
}

void report_file(const struct report *r, const char *name,
                 void (*write)(FILE *f, const struct report *r))
{
    char path[REPORT_PATH];
    struct whole w = {r, write};
    snprintf(path, sizeof path, "%s/%s", r->options->folder, name);
    CHECK(file_write_whole(path, write_whole, &w), "cannot write %s (%s)", path, strerror(errno));
}

/* The lines that one reads in the terminal. */
static void say(const struct report *r)
{
    const struct source *s = r->source;
    int ended = 0;
    char footer[REPORT_WORDS * 4];
    for (int i = 0; i < s->count; i++)
        ended += run_has_ended(&s->runs[i]);
    source_footer(s, -1, footer, sizeof footer);
    printf("%s: %d of %d runs have ended; %s\n", *s->title ? s->title : s->folder, ended, s->count,
           footer);
    printf("report: %s/report.html, .md, .csv, .json\n", s->folder);
}

void report_write(const struct report_options *o)
{
    struct source *s = source_open(o->folder);
    struct numbers n = {0};
    struct report r = {.options = o, .source = s, .numbers = &n};
    r.baseline = numbers_baseline(s, o->baseline);
    comparison_fill(&n, s, r.baseline);
    if (!s->is_study) {
        rank_seconds_fill(&n, &s->runs[0]);
        confusion_fill(&n, &s->runs[0]);
    }
    tables_fill(&r);
    report_file(&r, "report.csv", write_csv);
    report_file(&r, "report.json", write_json);
    figures_write(&r);
    report_file(&r, "report.md", write_markdown);
    report_file(&r, "report.html", write_html);
    say(&r);
    tables_close(&r.tables);
    numbers_close(&n);
    source_close(s);
}
