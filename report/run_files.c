#include "report/run_files.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/json_reader.h"
#include "metrics/metrics.h"

const char *const axis_names[CURVE_AXES] = {"seconds", "samples", "updates"};

static double *read_column(const struct csv *c, const char *path, const char *name, bool needed)
{
    int column = csv_column(c, name);
    double *list = xcalloc((size_t)c->rows + 1, sizeof *list);
    if (column < 0 && needed)
        fatal("report: %s has no column %s: of another program, or a version that is too old", path,
              name);
    for (int i = 0; i < c->rows; i++)
        list[i] = csv_number(c, i, column);
    return list;
}

static void check_axis(const double *list, int count, const char *path, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!isfinite(list[i]) || list[i] < (i ? list[i - 1] : 0))
            fatal("report: %s, row %d: %s are no numbers that rise", path, i + 1, name);
}

static void read_curve(struct run *r, const struct csv *c, const char *path)
{
    struct curve *curve = &r->curve;
    curve->count = c->rows;
    for (int a = 0; a < CURVE_AXES; a++) {
        curve->axis[a] = read_column(c, path, axis_names[a], true);
        check_axis(curve->axis[a], c->rows, path, axis_names[a]);
    }
    curve->top1 = read_column(c, path, "top1", true);
    curve->loss = read_column(c, path, "loss", true);
    curve->training_loss = read_column(c, path, "training_loss", false);
    curve->weight_norm = read_column(c, path, "weight_norm", false);
}

static void add_to_histogram(struct run *r, const char *name, double value, double count)
{
    double *bins = !strcmp(name, "staleness") || !strcmp(name, "stale") ? r->staleness
                   : !strcmp(name, "minibatches_per_update") || !strcmp(name, "effective")
                       ? r->minibatches
                       : NULL;
    if (bins && value >= 0 && value < REPORT_BINS && isfinite(count))
        bins[(int)value] += count;
}

static void read_histograms(struct run *r)
{
    char path[REPORT_PATH], why[REPORT_PATH + 100];
    snprintf(path, sizeof path, "%s/histograms.csv", r->folder);
    if (access(path, F_OK))
        return;
    struct csv *c = csv_read(path, why, sizeof why);
    if (!c)
        fatal("report: %s", why);
    int name = csv_column(c, "histogram"), value = csv_column(c, "value"),
        count = csv_column(c, "count");
    for (int i = 0; i < c->rows; i++)
        add_to_histogram(r, csv_text(c, i, name), csv_number(c, i, value), csv_number(c, i, count));
    csv_close(c);
}

void run_read_rows(struct run *r)
{
    char path[REPORT_PATH], why[REPORT_PATH + 100];
    snprintf(path, sizeof path, "%s/eval.csv", r->folder);
    struct csv *c = csv_read(path, why, sizeof why);
    if (!c)
        fatal("report: %s", why);
    r->head = strdup(c->head);
    read_curve(r, c, path);
    csv_close(c);
    read_histograms(r);
}

int run_read_targets(struct run *r, double target[REPORT_TARGETS])
{
    char text[REPORT_WORDS], *at = text, *end;
    int count = 0;
    head_value(r->head, "thresholds", text, sizeof text);
    while (*at && count < REPORT_TARGETS) {
        double value = strtod(at, &end);
        if (end == at || !(value > 0 && value <= 100))
            break;
        target[count++] = value;
        at = end + (*end == ',');
    }
    struct evaluation *list = xcalloc((size_t)r->curve.count + 1, sizeof *list);
    for (int i = 0; i < r->curve.count; i++)
        list[i] = (struct evaluation){.seconds = r->curve.axis[CURVE_SECONDS][i],
                                      .updates = (int64_t)r->curve.axis[CURVE_UPDATES][i],
                                      .top1 = r->curve.top1[i]};
    for (int i = 0; i < count; i++) {
        double at_s = time_to_accuracy(list, r->curve.count, target[i]).confirmed_s;
        r->tta[i] = isnan(at_s) ? INFINITY : at_s;
    }
    xfree(list);
    return count;
}

/* --- summary.json --- */

struct field {
    char name[64], text[128];
};

/* The next field of an object, whose '{' was taken; false after the last. Objects within are passed
 * over, and have no text. */
static bool next_field(struct json *j, struct field *f, bool first)
{
    f->text[0] = '\0';
    if (json_accept(j, '}') || (!first && !json_expect(j, ',')) ||
        !json_string(j, f->name, sizeof f->name) || !json_expect(j, ':'))
        return false;
    if (!json_accept(j, '{')) {
        char text[4096] = "";
        bool taken = json_scalar(j, text, sizeof text);
        snprintf(f->text, sizeof f->text, "%.127s", text);
        return taken;
    }
    struct field inner;
    for (bool begin = true; !json_accept(j, '}'); begin = false)
        if ((!begin && !json_expect(j, ',')) || !json_string(j, inner.name, sizeof inner.name) ||
            !json_expect(j, ':') || !json_scalar(j, inner.text, sizeof inner.text))
            return false;
    return true;
}

static void take_field(struct run *r, const struct field *f)
{
    char *end;
    double value = strtod(f->text, &end);
    for (int i = 0; i < RUN_NUMBERS; i++)
        if (!strcmp(f->name, run_number_names[i]) && *f->text && !*end)
            r->number[i] = value;
    if (!strcmp(f->name, "status"))
        r->status = !strcmp(f->text, "finished") ? "done"
                    : !strcmp(f->text, "nan")    ? "diverged"
                                                 : "partial";
}

static void numbers_of_rows(struct run *r)
{
    int last = r->curve.count - 1;
    for (int i = 0; i < RUN_NUMBERS; i++)
        r->number[i] = NAN;
    if (last < 0)
        return;
    for (int a = 0; a < CURVE_AXES; a++)
        r->number[RUN_SECONDS + a] = r->curve.axis[a][last];
    r->number[RUN_TOP1] = r->curve.top1[last];
    r->number[RUN_LOSS] = r->curve.loss[last];
    r->number[RUN_BEST_TOP1] = r->curve.top1[0];
    for (int i = 0; i <= last; i++)
        r->number[RUN_BEST_TOP1] = fmax(r->number[RUN_BEST_TOP1], r->curve.top1[i]);
}

void run_read_summary(struct run *r)
{
    char path[REPORT_PATH], why[REPORT_PATH + 100];
    snprintf(path, sizeof path, "%s/summary.json", r->folder);
    numbers_of_rows(r);
    r->status = "partial";
    char *text = text_read(path, why, sizeof why);
    if (!text) {
        printf("report: %s has no summary: killed, or running still; reported as far as it is\n",
               r->folder);
        text = xcalloc(4, 1);
        memcpy(text, "{}", 3);
    }
    struct json j = {.begin = (uint8_t *)text,
                     .at = (uint8_t *)text,
                     .end = (uint8_t *)text + strlen(text),
                     .why = why,
                     .why_size = sizeof why};
    struct field f;
    bool first = true;
    if (json_expect(&j, '{'))
        for (; next_field(&j, &f, first); first = false)
            take_field(r, &f);
    xfree(text);
    if (j.failed)
        fatal("report: %s/summary.json: %s", r->folder, why);
    for (int i = 0; i < REPORT_TARGETS && !run_has_ended(r); i++)
        if (isinf(r->tta[i])) /* it might have got there */
            r->tta[i] = NAN;
}

void run_close(struct run *r)
{
    for (int a = 0; a < CURVE_AXES; a++)
        xfree(r->curve.axis[a]);
    xfree(r->curve.top1);
    xfree(r->curve.loss);
    xfree(r->curve.training_loss);
    xfree(r->curve.weight_norm);
    free(r->folder);
    free(r->head);
}
