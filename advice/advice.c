#include "advice/advice.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "advice/private.h"
#include "base/alloc.h"
#include "base/check.h"

static void open_study(struct advice *a)
{
    char path[REPORT_PATH];
    snprintf(path, sizeof path, "%s/study.csv", a->request->study);
    if (access(path, R_OK))
        fatal("advise: %s holds no study.csv: name the folder of a study (--study DIR), which "
              "`nbsgd study FILE.ini --results DIR` makes",
              a->request->study);
    a->source = source_open(a->request->study);
    a->cases = a->source->cases.count;
    a->settings = a->source->settings.count;
}

/* The setting that is named; else the first whose runs are ssgd's. */
static void take_baseline(struct advice *a)
{
    const struct source *s = a->source;
    const char *wanted = a->request->baseline;
    char scheme[40];
    a->baseline = -1;
    for (int k = 0; k < a->settings && wanted; k++)
        if (!strcmp(s->settings.name[k], wanted))
            a->baseline = k;
    if (wanted && a->baseline < 0)
        fatal("advise --baseline %s: %s has no setting of that name", wanted, s->folder);
    for (int i = 0; i < s->count && a->baseline < 0; i++)
        if (!strcmp(head_value(s->runs[i].head, "scheme", scheme, sizeof scheme), "ssgd"))
            a->baseline = s->runs[i].setting_at;
    if (a->baseline < 0)
        fatal("advise: %s has no runs of ssgd to compare with: name a setting, --baseline NAME",
              s->folder);
}

/* Without the baseline there is nothing to say. */
static void check_baseline(const struct advice *a)
{
    const char *why = "it has no runs";
    if (estimates_at(a, 0)[a->baseline].from >= 0)
        return;
    for (int c = 0; c < a->cases; c++)
        if (*simulated_at(a, 0, a->baseline, c)->why)
            why = simulated_at(a, 0, a->baseline, c)->why;
    fatal("advise: %s cannot be simulated there: %s", setting_name(a, a->baseline), why);
}

static void take_room(struct advice *a)
{
    size_t cells = (size_t)a->cases * (size_t)a->settings, worlds = 1 + (size_t)a->cases;
    a->evidence = xcalloc(cells, sizeof *a->evidence);
    a->run = xcalloc(cells, sizeof *a->run);
    a->simulated = xcalloc(worlds * cells, sizeof *a->simulated);
    a->allowed = xcalloc((size_t)a->settings, sizeof *a->allowed);
    a->estimate = xcalloc(worlds * (size_t)a->settings, sizeof *a->estimate);
}

void advice_print(const struct advice_request *r)
{
    struct advice a = {.request = r};
    open_study(&a);
    take_baseline(&a);
    take_room(&a);
    advice_evidence(&a);
    advice_simulate(&a, 0, 1);
    advice_estimate(&a, 0);
    check_baseline(&a);
    advice_simulate(&a, 1, 1 + a.cases);
    for (int world = 1; world <= a.cases; world++)
        advice_estimate(&a, world);
    advice_judge(&a);
    advice_words_print(&a);
    advice_rows_write(&a);
    xfree(a.evidence);
    xfree(a.run);
    xfree(a.simulated);
    xfree(a.estimate);
    xfree(a.allowed);
    source_close(a.source);
}
