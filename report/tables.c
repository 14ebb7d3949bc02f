#define _GNU_SOURCE /* asprintf */
#include "report/tables.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

enum { MOST_TABLES = 2000 };

static char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *text_of(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    CHECK(vasprintf(&text, format, args) >= 0, "no memory for a table");
    va_end(args);
    return text;
}

const char *number_text(char text[NUMBER_TEXT], double value, int decimals)
{
    if (isnan(value))
        snprintf(text, NUMBER_TEXT, "-");
    else if (isinf(value))
        snprintf(text, NUMBER_TEXT, value > 0 ? "never" : "-inf");
    else
        snprintf(text, NUMBER_TEXT, "%.*f", decimals, value);
    return text;
}

/* --- building --- */

static struct table *begin(struct report *r, char *title, char *words)
{
    CHECK(r->tables.count < MOST_TABLES, "more than %d tables", MOST_TABLES);
    struct table *t = &r->tables.list[r->tables.count++];
    *t = (struct table){.title = title, .words = words};
    return t;
}

static void head(struct table *t, char *text)
{
    char **heads = xcalloc((size_t)t->columns + 1, sizeof *heads);
    if (t->columns)
        memcpy(heads, t->heads, (size_t)t->columns * sizeof *heads);
    xfree(t->heads);
    t->heads = heads;
    t->heads[t->columns++] = text;
}

static struct cell *put(struct table *t, int column, double value, char *text)
{
    CHECK(column < t->columns, "column %d of a table of %d", column, t->columns);
    struct cell *c = &t->cells[(int64_t)(t->rows - 1) * t->columns + column];
    free(c->text);
    *c = (struct cell){text, value};
    return c;
}

/* All heads are known by now. */
static void begin_row(struct table *t)
{
    if (t->rows == t->room) {
        int room = t->room ? 2 * t->room : 16;
        struct cell *cells = xcalloc((size_t)room * (size_t)t->columns, sizeof *cells);
        if (t->rows)
            memcpy(cells, t->cells, (size_t)t->rows * (size_t)t->columns * sizeof *cells);
        xfree(t->cells);
        t->cells = cells;
        t->room = room;
    }
    t->rows++;
    for (int k = 0; k < t->columns; k++)
        put(t, k, NAN, strdup(""));
}

/* "12.3 [10.1, 15.0]" */
static void put_interval(struct table *t, int column, const struct number *n, int decimals)
{
    char value[NUMBER_TEXT], low[NUMBER_TEXT], high[NUMBER_TEXT];
    if (!n)
        return;
    number_text(value, n->value, decimals);
    number_text(low, n->interval.low, decimals);
    number_text(high, n->interval.high, decimals);
    if (n->measure == MEASURE_RATIO && isinf(n->value))
        snprintf(value, sizeof value, "inf");
    if (n->measure == MEASURE_RATIO && isinf(n->interval.high))
        snprintf(high, sizeof high, "inf");
    if (isnan(n->interval.low) || n->interval.low == n->interval.high)
        put(t, column, n->value, strdup(value));
    else
        put(t, column, n->value, text_of("%s [%s, %s]", value, low, high));
}

/* The same, and of how many it is, always or where not of all; and how many were cut short. */
static void put_counted(struct table *t, int column, const struct number *n, int decimals,
                        bool always)
{
    char of[40] = "", cut_short[40] = "";
    put_interval(t, column, n, decimals);
    if (!n)
        return;
    struct cell *c = &t->cells[(int64_t)(t->rows - 1) * t->columns + column];
    if (always || n->count < n->of)
        snprintf(of, sizeof of, ", %d of %d", n->count, n->of);
    if (n->cut_short)
        snprintf(cut_short, sizeof cut_short, ", %d cut short", n->cut_short);
    put(t, column, n->value, text_of("%s%s%s", c->text, of, cut_short));
}

/* --- of a case --- */

static const struct number *find(const struct report *r, enum measure m, int case_at, int setting)
{
    const struct source *s = r->source;
    return numbers_find(r->numbers, m, case_at < 0 ? "" : s->cases.name[case_at],
                        s->settings.name[setting], NULL, NAN);
}

/* What the intervals of a case's medians cover: a sentence, in text[], which is returned. */
enum { COVERAGE_TEXT = 120 };
static const char *coverage_text(char text[COVERAGE_TEXT], const struct report *r, int case_at)
{
    static const char few[] = ": fewer than six runs";
    double least = 2, most = 0;
    for (int i = 0; i < r->numbers->count; i++) {
        const struct number *n = &r->numbers->list[i];
        bool of_median = n->measure == MEASURE_TTA || n->measure == MEASURE_TOP1 ||
                         n->measure == MEASURE_IMAGES_PER_S;
        if (!of_median || !(n->interval.coverage > 0) ||
            strcmp(n->case_name, r->source->cases.name[case_at]) != 0)
            continue;
        least = fmin(least, n->interval.coverage);
        most = fmax(most, n->interval.coverage);
    }
    *text = '\0';
    if (most > least)
        snprintf(text, COVERAGE_TEXT, " An interval covers %.3g to %.3g %%, by its runs%s.",
                 100 * least, 100 * most, least < 0.95 ? "; below 95 %: fewer than six" : "");
    else if (most > 0)
        snprintf(text, COVERAGE_TEXT, " An interval covers %.3g %%%s.", 100 * most,
                 most < 0.95 ? few : "");
    return text;
}

static void times_of_case(struct report *r, int case_at)
{
    char covers[COVERAGE_TEXT];
    const struct source *s = r->source;
    bool many = s->is_study;
    struct table *t = begin(
        r,
        text_of("%s%sseconds to a top-1, and top-1", many ? s->cases.name[case_at] : "",
                many ? ": " : ""),
        text_of(
            "Seconds of the training clock to the first crossing that the next evaluation "
            "confirms: median [interval], and how many runs got there where not all did; never "
            "is infinity and stays in the median; cut short: so many ended before the median, or, "
            "where it is never, before the last run of the case got there. Top-1 in percent: of "
            "the last evaluation, at equal time and after equal samples (report.csv has at "
            "which).%s%s",
            source_has_test(s)
                ? " These are of held-out images; those of the test images were judged once, at "
                  "the end, and decided nothing."
                : "",
            coverage_text(covers, r, case_at)));
    head(t, strdup("setting"));
    head(t, strdup("runs"));
    for (int k = 0; k < s->targets; k++)
        head(t, text_of("to %g %%, s", s->target[k]));
    head(t, strdup("images/s"));
    head(t, strdup("top-1 at the end"));
    if (many) {
        head(t, strdup("at equal time"));
        head(t, strdup("at equal samples"));
    }
    if (source_has_test(s))
        head(t, strdup("test images"));
    for (int k = 0; k < s->settings.count; k++) {
        const struct number *runs = find(r, MEASURE_RUNS, case_at, k);
        if (!runs || !runs->of)
            continue;
        begin_row(t);
        put(t, 0, NAN, strdup(s->settings.name[k]));
        put(t, 1, runs->value, text_of("%d of %d", runs->count, runs->of));
        for (int i = 0; i < s->targets; i++)
            put_counted(t, 2 + i,
                        numbers_find(r->numbers, MEASURE_TTA, s->cases.name[case_at],
                                     s->settings.name[k], NULL, s->target[i]),
                        1, false);
        put_interval(t, 2 + s->targets, find(r, MEASURE_IMAGES_PER_S, case_at, k), 0);
        put_interval(t, 3 + s->targets, find(r, MEASURE_TOP1, case_at, k), 2);
        if (source_has_test(s))
            put_interval(t, t->columns - 1, find(r, MEASURE_TEST_TOP1, case_at, k), 2);
        if (!many)
            continue;
        put_interval(t, 4 + s->targets, find(r, MEASURE_TOP1_AT_SECONDS, case_at, k), 2);
        put_interval(t, 5 + s->targets, find(r, MEASURE_TOP1_AT_SAMPLES, case_at, k), 2);
    }
}

static void pairs_of_case(struct report *r, int case_at)
{
    const struct source *s = r->source;
    const char *base = s->settings.name[r->baseline], *in = s->cases.name[case_at];
    struct table *t = begin(
        r, text_of("%s: against %s, paired by seed", in, base),
        text_of("P: that the setting gets to the threshold before %s, ties as one half, and the "
                "two-sided sign test's p. Ratio of its time to %s's: median, with the interval "
                "of a paired bootstrap (95 %%, of n pairs at most 1 - 2^(1 - n)), and of how many "
                "pairs: those in which one got there. Cut short: one of the pair ended before the "
                "other got there. Below 1 it is sooner.",
                base, base));
    head(t, strdup("setting"));
    for (int i = 0; i < s->targets; i++) {
        head(t, text_of("P, %g %%", s->target[i]));
        head(t, text_of("ratio, %g %%", s->target[i]));
    }
    for (int k = 0; k < s->settings.count; k++) {
        if (k == r->baseline || !find(r, MEASURE_BEFORE, case_at, k))
            continue;
        begin_row(t);
        put(t, 0, NAN, strdup(s->settings.name[k]));
        for (int i = 0; i < s->targets; i++) {
            const struct number *p = numbers_find(r->numbers, MEASURE_BEFORE, in,
                                                  s->settings.name[k], base, s->target[i]);
            if (p)
                put(t, 1 + 2 * i, p->value,
                    text_of("%.2f (%d of %d, p %.3f)%s", p->value, p->count, p->of, p->sign_p,
                            p->cut_short ? ", some cut short" : ""));
            put_counted(t, 2 + 2 * i,
                        numbers_find(r->numbers, MEASURE_RATIO, in, s->settings.name[k], base,
                                     s->target[i]),
                        3, true);
        }
    }
}

static void shares_of_case(struct report *r, int case_at)
{
    const struct source *s = r->source;
    char covers[COVERAGE_TEXT];
    struct table *t =
        begin(r,
              text_of("%s%swhere the workers' time went", s->is_study ? s->cases.name[case_at] : "",
                      s->is_study ? ": " : ""),
              text_of("In percent of the workers' time, mean over the runs; then medians of mean "
                      "staleness in updates, and of mini-batches an update.%s",
                      coverage_text(covers, r, case_at)));
    head(t, strdup("setting"));
    for (int k = 0; k < SHARES; k++)
        head(t, strdup(share_words[k]));
    head(t, strdup("staleness"));
    head(t, strdup("mini-batches an update"));
    head(t, strdup("harmonic"));
    for (int k = 0; k < s->settings.count; k++) {
        if (!find(r, MEASURE_TOP1, case_at, k))
            continue;
        begin_row(t);
        put(t, 0, NAN, strdup(s->settings.name[k]));
        for (int i = 0; i < SHARES; i++) {
            const struct number *n = numbers_find(r->numbers, MEASURE_SHARE, s->cases.name[case_at],
                                                  s->settings.name[k], share_words[i], NAN);
            if (n)
                put(t, 1 + i, n->value, text_of("%.1f", 100 * n->value));
        }
        put_interval(t, 1 + SHARES, find(r, MEASURE_STALENESS, case_at, k), 2);
        put_interval(t, 2 + SHARES, find(r, MEASURE_MINIBATCHES, case_at, k), 2);
        put_interval(t, 3 + SHARES, find(r, MEASURE_MINIBATCHES_HARMONIC, case_at, k), 2);
    }
}

/* --- over all cases --- */

static void over_cases(struct report *r)
{
    const struct source *s = r->source;
    struct table *t = begin(
        r, strdup("Over all cases"),
        strdup(
            "Interquartile mean of the last top-1, with the interval of a bootstrap "
            "stratified by case: 95 %, of n runs at most 1 - 2^(1 - n). For each threshold the "
            "geometric mean of the ratio of the "
            "setting's median time to the best setting's, over the cases in which it gets "
            "there: how many, of those in which every setting has runs; cut short: in how many the "
            "setting's median rests on runs that ended before."));
    head(t, strdup("setting"));
    head(t, strdup("top-1, interquartile mean"));
    for (int i = 0; i < s->targets; i++)
        head(t, text_of("ratio to best, %g %%", s->target[i]));
    for (int k = 0; k < s->settings.count; k++) {
        begin_row(t);
        put(t, 0, NAN, strdup(s->settings.name[k]));
        put_interval(t, 1, find(r, MEASURE_IQM, -1, k), 2);
        for (int i = 0; i < s->targets; i++) {
            const struct number *n = numbers_find(r->numbers, MEASURE_GEOMETRIC, "",
                                                  s->settings.name[k], NULL, s->target[i]);
            put_counted(t, 2 + i, n, 2, true);
        }
    }
}

static void all_runs(struct report *r)
{
    const struct source *s = r->source;
    static const char *const columns[] = {"case",    "setting",          "seed",
                                          "status",  "seconds",          "samples",
                                          "updates", "top-1 at the end", "best"};
    static const enum run_number shown[] = {RUN_SECONDS, RUN_SAMPLES, RUN_UPDATES, RUN_TOP1,
                                            RUN_BEST_TOP1};
    char text[NUMBER_TEXT];
    struct table *t = begin(r, strdup("All runs"), strdup("Nothing is left out."));
    t->is_long = true;
    for (int k = 0; k < 9; k++)
        head(t, strdup(columns[k]));
    for (int i = 0; i < s->targets; i++)
        head(t, text_of("to %g %%, s", s->target[i]));
    if (source_has_test(s))
        head(t, strdup("test images"));
    for (int i = 0; i < s->count; i++) {
        const struct run *run = &s->runs[i];
        begin_row(t);
        put(t, 0, NAN, strdup(s->cases.name[run->case_at]));
        put(t, 1, NAN, strdup(s->settings.name[run->setting_at]));
        put(t, 2, (double)run->seed, text_of("%lld", (long long)run->seed));
        put(t, 3, NAN, strdup(run->status));
        for (int k = 0; k < 5; k++) {
            double value = run->number[shown[k]];
            int decimals = k == 1 || k == 2 ? 0 : 2;
            put(t, 4 + k, value, strdup(number_text(text, value, decimals)));
        }
        for (int k = 0; k < s->targets; k++)
            put(t, 9 + k, run->tta[k], strdup(number_text(text, run->tta[k], 1)));
        if (source_has_test(s)) {
            double value = run->number[RUN_TEST_TOP1];
            put(t, t->columns - 1, value, strdup(number_text(text, value, 2)));
        }
    }
}

static void ranks(struct report *r)
{
    struct table *t = NULL;
    int rank = -1;
    for (int i = 0; i < r->numbers->count; i++) {
        const struct number *n = &r->numbers->list[i];
        if (n->measure != MEASURE_RANK_SECONDS)
            continue;
        if (!t) {
            t = begin(r, strdup("Where each rank's seconds went"),
                      strdup("Seconds of the training clock. A worker's add to its clock."));
            head(t, strdup("rank"));
            for (int k = 0; k < SHARES; k++)
                head(t, strdup(share_words[k]));
        }
        if (n->item != rank) {
            begin_row(t);
            rank = n->item;
            put(t, 0, rank, text_of("%d", rank));
        }
        for (int k = 0; k < SHARES; k++)
            if (!strcmp(n->other, share_words[k]))
                put(t, 1 + k, n->value, text_of("%.2f", n->value));
    }
}

static void classes(struct report *r)
{
    static const char *const heads[] = {"class", "images", "recall, %", "precision, %", "F1, %"};
    struct table *t = NULL;
    for (int i = 0; i < r->numbers->count; i++) {
        const struct number *n = &r->numbers->list[i];
        if (n->measure < MEASURE_RECALL || n->measure > MEASURE_F1)
            continue;
        if (!t) {
            t = begin(
                r, strdup("Each class"),
                strdup("Of the last evaluation. Recall: of the class's images those that were "
                       "said to be of it. Precision: of those said to be of it those that are."));
            for (int k = 0; k < 5; k++)
                head(t, strdup(heads[k]));
        }
        if (n->measure == MEASURE_RECALL) {
            begin_row(t);
            put(t, 0, n->item, text_of("%d", n->item));
            put(t, 1, n->of, text_of("%d", n->of));
        }
        put_interval(t, 2 + (int)n->measure - MEASURE_RECALL, n, 2);
    }
}

void tables_fill(struct report *r)
{
    const struct source *s = r->source;
    r->tables.list = xcalloc(MOST_TABLES, sizeof *r->tables.list);
    if (s->is_study && s->cases.count > 1)
        over_cases(r);
    for (int c = 0; c < s->cases.count; c++) {
        times_of_case(r, c);
        if (s->is_study && s->targets)
            pairs_of_case(r, c);
        shares_of_case(r, c);
    }
    ranks(r);
    classes(r);
    all_runs(r);
}

void tables_close(struct tables *tables)
{
    for (int i = 0; i < tables->count; i++) {
        struct table *t = &tables->list[i];
        for (int64_t k = 0; k < (int64_t)t->rows * t->columns; k++)
            free(t->cells[k].text);
        for (int k = 0; k < t->columns; k++)
            free(t->heads[k]);
        free(t->title);
        free(t->words);
        xfree(t->heads);
        xfree(t->cells);
    }
    xfree(tables->list);
}
