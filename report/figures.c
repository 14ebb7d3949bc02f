/* Rows of each figure, and gnuplot twice: SVG, PNG. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/child.h"
#include "base/file.h"
#include "base/paths.h"
#include "base/text.h"
#include "report/figure_rows.h"
#include "report/report.h"

struct drawn {
    const struct report *report;
    const struct figure *figure;
};

static const struct kind {
    const char *script, *title;
    void (*rows)(FILE *f, const struct report *r);
    void (*case_rows)(FILE *f, const struct report *r, int case_at); /* a figure a case */
    bool of_study, of_targets;
    const char *of_folder; /* a figure a case, of the folder of its first run that has this file:
                              no rows of its own */
    bool (*wanted)(const struct report *r);
} kinds[] = {
    {.script = "tta",
     .title = "time to accuracy",
     .rows = tta_rows,
     .of_study = true,
     .of_targets = true},
    {.script = "accuracy", .title = "accuracy", .case_rows = accuracy_rows},
    {.script = "profile",
     .title = "performance profile over all cases",
     .rows = profile_rows,
     .of_study = true,
     .of_targets = true},
    {.script = "time",
     .title = "where the seconds went",
     .rows = time_rows,
     .wanted = time_has_rows},
    {.script = "updates",
     .title = "staleness, and mini-batches an update",
     .case_rows = update_rows},
    {.script = "throughput",
     .title = "throughput against the straggler's factor",
     .rows = throughput_rows,
     .of_study = true,
     .wanted = throughput_has_rows},
    {.script = "sensitivity",
     .title = "sensitivity to the learning rate",
     .rows = sensitivity_rows,
     .of_study = true,
     .wanted = sensitivity_has_rows},
    {.script = "confusion",
     .title = "confusion matrix",
     .rows = confusion_rows,
     .wanted = confusion_has_rows},
    {.script = "workers",
     .title = "losses of the workers",
     .rows = worker_losses_rows,
     .wanted = worker_losses_has_rows},
    {.script = "partition",
     .title = "classes that each worker draws from",
     .of_folder = "partition.csv"},
    {.script = "gantt", .title = "what each rank did when", .of_folder = "trace.csv"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const struct kind *kind_of(const char *script)
{
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(kinds[i].script, script))
            return &kinds[i];
    return NULL;
}

static bool is_wanted(const struct report *r, const struct kind *k)
{
    const struct source *s = r->source;
    return !(k->of_study && !s->is_study) && !(k->of_targets && !s->targets) &&
           !(k->wanted && !k->wanted(r));
}

/* NULL: no run of the case has one. */
static const struct run *run_with(const struct source *s, int case_at, const char *file)
{
    char path[REPORT_PATH];
    for (int i = 0; i < s->count; i++) {
        snprintf(path, sizeof path, "%s/%s", s->runs[i].folder, file);
        if (s->runs[i].case_at == case_at && *s->runs[i].head && !access(path, R_OK))
            return &s->runs[i];
    }
    return NULL;
}

int figures_list(const struct report *r, struct figure list[MOST_FIGURES])
{
    const struct source *s = r->source;
    int count = 0;
    for (int i = 0; i < KINDS; i++) {
        const struct kind *k = &kinds[i];
        bool by_case = k->case_rows || k->of_folder;
        int many = by_case ? s->cases.count : 1;
        for (int c = 0; is_wanted(r, k) && c < many && count < MOST_FIGURES; c++) {
            if (k->of_folder && !run_with(s, c, k->of_folder))
                continue;
            struct figure *f = &list[count++];
            const char *of = by_case && s->is_study ? s->cases.name[c] : "";
            f->script = k->script;
            f->case_at = by_case ? c : -1;
            snprintf(f->name, sizeof f->name, "%s%s%s", k->script, *of ? "-" : "", of);
            snprintf(f->title, sizeof f->title, "%s%s%s", k->title, *of ? ": " : "", of);
        }
    }
    return count;
}

static bool write_rows(FILE *f, void *self)
{
    const struct drawn *d = self;
    const struct source *s = d->report->source;
    const struct kind *k = kind_of(d->figure->script);
    char footer[REPORT_WORDS * 4];
    source_footer(s, d->figure->case_at, footer, sizeof footer);
    fprintf(f, "# title: %.*s: %s\n# footer: %s\n# evaluate: %s\n", (int)text_whole(s->title, 200),
            s->title, d->figure->title, footer, s->judged);
    if (k->rows)
        k->rows(f, d->report);
    else
        k->case_rows(f, d->report, d->figure->case_at);
    return !ferror(f);
}

static bool draw(const struct report *r, const struct figure *f, const char *ending)
{
    char script[REPORT_PATH], name[300], rows[REPORT_PATH], image[REPORT_PATH];
    snprintf(name, sizeof name, "plots/%s.gp", f->script);
    const char *file = kind_of(f->script)->of_folder;
    if (file)
        snprintf(rows, sizeof rows, "%s", run_with(r->source, f->case_at, file)->folder);
    else
        snprintf(rows, sizeof rows, "%s/figures/%s.csv", r->options->folder, f->name);
    snprintf(image, sizeof image, "%s/figures/%s.%s", r->options->folder, f->name, ending);
    bool found = data_path(script, sizeof script, name);
    char *const words[] = {"gnuplot", "-c", found ? script : name, image, rows, NULL};
    enum child_end end = found ? child_run(words, r->options->longest_s) : CHILD_BADLY;
    if (end == CHILD_WELL)
        return true;
    unlink(image);
    printf("no figure: %s; draw it with gnuplot -c %s %s %s\n",
           !found                ? "plots/ is not where it belongs (NBSGD_DATADIR)"
           : end == CHILD_KILLED ? "gnuplot took too long"
                                 : "gnuplot is missing or failed",
           words[2], image, rows);
    return false;
}

/* "tta.svg", "accuracy-even.csv", ..: of this report or of one before. */
static bool is_ours(const char *name)
{
    const char *ending = strrchr(name, '.');
    if (!ending || (strcmp(ending, ".csv") && strcmp(ending, ".svg") && strcmp(ending, ".png")))
        return false;
    for (int i = 0; i < KINDS; i++) {
        size_t length = strlen(kinds[i].script);
        if (!strncmp(name, kinds[i].script, length) && (name[length] == '-' || name[length] == '.'))
            return true;
    }
    return false;
}

/* Nothing that is drawn no more stays beside what is. */
static void remove_old(const char *folder)
{
    char path[REPORT_PATH + 300];
    DIR *d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (is_ours(e->d_name))
            unlink(path);
    }
    if (d)
        closedir(d);
}

void figures_write(const struct report *r)
{
    struct figure list[MOST_FIGURES];
    char path[REPORT_PATH];
    int count = r->options->no_figures ? 0 : figures_list(r, list);
    snprintf(path, sizeof path, "%s/figures", r->options->folder);
    CHECK(!count || !mkdir(path, 0777) || errno == EEXIST, "cannot make %s (%s)", path,
          strerror(errno));
    if (!r->options->no_figures) {
        remove_old(path);
        sensitivity_say(r);
    }
    for (int i = 0; i < count; i++) {
        struct drawn d = {.report = r, .figure = &list[i]};
        snprintf(path, sizeof path, "%s/figures/%s.csv", r->options->folder, list[i].name);
        bool written = kind_of(list[i].script)->of_folder || file_write_whole(path, write_rows, &d);
        CHECK(written, "cannot write %s (%s)", path, strerror(errno));
        if (draw(r, &list[i], "svg"))
            draw(r, &list[i], "png");
    }
}
