#include "report/source.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/text.h"
#include "report/run_files.h"

const char *const run_number_names[RUN_NUMBERS] = {
    [RUN_SECONDS] = "seconds",
    [RUN_SAMPLES] = "samples",
    [RUN_UPDATES] = "updates",
    [RUN_TOP1] = "top1",
    [RUN_BEST_TOP1] = "best_top1",
    [RUN_TEST_TOP1] = "test_top1",
    [RUN_LOSS] = "loss",
    [RUN_IMAGES_PER_S] = "images_per_s",
    [RUN_STALENESS] = "staleness_mean",
    [RUN_MINIBATCHES] = "minibatches_per_update",
    [RUN_MINIBATCHES_HARMONIC] = "minibatches_per_update_harmonic",
    [RUN_LEAST_USE] = "least_use",
    [RUN_SHARES] = "useful_share",
    [RUN_SHARES + 1] = "aborted_share",
    [RUN_SHARES + 2] = "dropped_share",
    [RUN_SHARES + 3] = "delay_share",
    [RUN_SHARES + 4] = "update_share",
    [RUN_SHARES + 5] = "transfer_share",
    [RUN_SHARES + 6] = "wait_share",
    [RUN_SHARES + 7] = "other_share",
};

const char *const share_words[SHARES] = {"useful",      "aborted",  "dropped", "delayed",
                                         "vector work", "transfer", "waiting", "other"};

bool run_has_ended(const struct run *r)
{
    return !strcmp(r->status, "done") || !strcmp(r->status, "diverged");
}

/* A name is a folder's, a field of CSV, a word in figures and tables: as `nbsgd study` has them. */
static bool is_name(const char *text)
{
    static const char taken[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return *text && *text != '.' && text[strspn(text, taken)] == '\0' && strlen(text) < 200;
}

static int place_of(struct names *list, const char *name)
{
    for (int i = 0; i < list->count; i++)
        if (!strcmp(list->name[i], name))
            return i;
    list->name[list->count] = name;
    return list->count++;
}

/* --- a study --- */

static void read_targets(struct source *s)
{
    for (int i = 0; i < s->rows->columns; i++) {
        const char *name = s->rows->fields[i];
        char *end;
        if (strncmp(name, "tta_", 4))
            continue;
        double target = strtod(name + 4, &end);
        if (*end || !(target > 0 && target <= 100) || s->targets == REPORT_TARGETS)
            fatal("%s/study.csv: the column %s is no threshold, or one of more than %d", s->folder,
                  name, REPORT_TARGETS);
        s->target[s->targets++] = target;
    }
}

static int needed_column(const struct source *s, const char *name)
{
    int column = csv_column(s->rows, name);
    if (column < 0)
        fatal("%s/study.csv has no column %s: another program's, or another version's; run "
              "`nbsgd study` on it again",
              s->folder, name);
    return column;
}

static const char *needed_name(const struct source *s, int row, const char *column)
{
    const char *name = csv_text(s->rows, row, needed_column(s, column));
    if (!is_name(name))
        fatal("%s/study.csv, row %d: the %s '%s' is no name of letters, digits, . _ -", s->folder,
              row + 1, column, name);
    return name;
}

static const char *status_of(const struct source *s, int row)
{
    static const char *const known[] = {"done", "diverged", "failed", "missing"};
    const char *status = csv_text(s->rows, row, needed_column(s, "status"));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(status, known[i]))
            return known[i];
    fatal("%s/study.csv, row %d: the status '%s' is none of this version: done, diverged, failed, "
          "missing",
          s->folder, row + 1, status);
}

static void read_cell(struct source *s, int row)
{
    struct run *r = &s->runs[row];
    char name[40], path[REPORT_PATH];
    const char *case_name = needed_name(s, row, "case"), *setting = needed_name(s, row, "setting"),
               *seed = csv_text(s->rows, row, needed_column(s, "seed"));
    char *end;
    r->case_at = place_of(&s->cases, case_name);
    r->setting_at = place_of(&s->settings, setting);
    r->seed = strtoll(seed, &end, 10);
    if (!*seed || *end)
        fatal("%s/study.csv, row %d: the seed '%s' is no number", s->folder, row + 1, seed);
    snprintf(path, sizeof path, "%s/cells/%s/%s/seed-%s", s->folder, case_name, setting, seed);
    r->folder = strdup(path);
    r->status = status_of(s, row);
    for (int i = 0; i < RUN_NUMBERS; i++)
        r->number[i] = csv_number(s->rows, row, csv_column(s->rows, run_number_names[i]));
    for (int i = 0; i < s->targets; i++) {
        snprintf(name, sizeof name, "tta_%g", s->target[i]);
        r->tta[i] = csv_number(s->rows, row, csv_column(s->rows, name));
    }
    if (run_has_ended(r))
        run_read_rows(r);
    else
        r->head = strdup("");
}

static void read_study(struct source *s)
{
    read_targets(s);
    head_value(s->rows->head, "title", s->title, sizeof s->title);
    head_value(s->rows->head, "program", s->program, sizeof s->program);
    if (!s->rows->rows)
        fatal("%s/study.csv has no row: run `nbsgd study` first", s->folder);
    s->count = s->rows->rows;
    for (int i = 0; i < s->count; i++)
        read_cell(s, i);
}

/* --- a run --- */

static void read_run(struct source *s)
{
    struct run *r = s->runs;
    char scheme[REPORT_WORDS] = "run";
    s->count = 1;
    r->folder = strdup(s->folder);
    run_read_rows(r);
    head_value(r->head, "scheme", scheme, sizeof scheme);
    head_value(r->head, "commit", s->program, sizeof s->program);
    s->targets = run_read_targets(r, s->target);
    run_read_summary(r);
    head_value(r->head, "seed", s->title, sizeof s->title);
    r->seed = strtoll(s->title, NULL, 10);
    size_t end = strlen(s->folder);
    while (end > 1 && s->folder[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && s->folder[begin - 1] != '/')
        begin--;
    snprintf(s->title, sizeof s->title, "%.*s",
             (int)text_whole(s->folder + begin,
                             end - begin < REPORT_WORDS ? end - begin : REPORT_WORDS - 1),
             s->folder + begin);
    for (char *c = s->title; *c; c++)
        if (iscntrl((unsigned char)*c)) /* it stands in lines */
            *c = '_';
    place_of(&s->cases, "run");
    place_of(&s->settings, strdup(is_name(scheme) ? scheme : "run"));
}

static void note_judged(struct source *s)
{
    char value[32];
    for (int i = 0; i < s->count; i++) {
        head_value(s->runs[i].head, "evaluate", value, sizeof value);
        if (*value && *s->judged && strcmp(s->judged, value))
            snprintf(s->judged, sizeof s->judged, "test or val");
        else if (*value)
            snprintf(s->judged, sizeof s->judged, "%s", value);
    }
}

const char *source_judged(const struct source *s)
{
    return !strcmp(s->judged, "val")           ? "held-out"
           : !strcmp(s->judged, "test or val") ? "test or held-out"
                                               : "test";
}

bool source_has_test(const struct source *s)
{
    return *s->judged && strcmp(s->judged, "test") != 0;
}

struct source *source_open(const char *folder)
{
    struct source *s = xcalloc(1, sizeof *s);
    char path[REPORT_PATH], why[REPORT_PATH + 100];
    s->folder = folder;
    snprintf(path, sizeof path, "%s/study.csv", folder);
    s->is_study = !access(path, F_OK);
    if (s->is_study) {
        s->rows = csv_read(path, why, sizeof why);
        if (!s->rows)
            fatal("report: %s", why);
    }
    snprintf(path, sizeof path, "%s/eval.csv", folder);
    if (!s->is_study && access(path, F_OK))
        fatal("report: %s holds neither study.csv (of `nbsgd study`) nor a run's eval.csv; name a "
              "folder of results",
              folder);
    size_t most = s->is_study ? (size_t)s->rows->rows : 1;
    s->runs = xcalloc(most + 1, sizeof *s->runs);
    s->cases.name = xcalloc(most + 1, sizeof *s->cases.name);
    s->settings.name = xcalloc(most + 1, sizeof *s->settings.name);
    if (s->is_study)
        read_study(s);
    else
        read_run(s);
    note_judged(s);
    return s;
}

void source_close(struct source *s)
{
    for (int i = 0; i < s->count; i++)
        run_close(&s->runs[i]);
    if (!s->is_study)
        free((char *)s->settings.name[0]);
    csv_close(s->rows);
    xfree(s->runs);
    xfree(s->cases.name);
    xfree(s->settings.name);
    xfree(s);
}
