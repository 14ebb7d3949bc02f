/* What the last evaluation of a run said of the images of each class (--per-class). */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "report/figure_rows.h"
#include "report/numbers.h"

enum { MOST_DRAWN = 100 }; /* classes */

/* counts[label][said], [classes][classes]; NULL: the run has none. */
static double *read_counts(const struct run *r, int *classes)
{
    char path[REPORT_PATH], why[REPORT_PATH + 100];
    snprintf(path, sizeof path, "%s/confusion.csv", r->folder);
    if (access(path, F_OK))
        return NULL;
    struct csv *c = csv_read(path, why, sizeof why);
    if (!c)
        fatal("report: %s", why);
    int first = csv_column(c, "said_0");
    if (first < 0 || c->columns - first != c->rows)
        fatal("report: %s has %d rows, and not as many columns said_0 and on", path, c->rows);
    *classes = c->rows;
    double *counts = xcalloc((size_t)c->rows * (size_t)c->rows, sizeof *counts);
    for (int i = 0; i < c->rows * c->rows; i++) {
        counts[i] = csv_number(c, i / c->rows, first + i % c->rows);
        if (!(counts[i] >= 0 && counts[i] < 1e15))
            fatal("report: %s, row %d: no counts", path, i / c->rows + 1);
    }
    csv_close(c);
    return counts;
}

static void add(struct numbers *n, enum measure measure, int class, double right, double all)
{
    struct number *number = numbers_add(n, measure);
    number->item = class;
    number->value = all > 0 ? 100 * right / all : NAN;
    number->count = (int)fmin(right, INT_MAX);
    number->of = (int)fmin(all, INT_MAX);
}

void confusion_fill(struct numbers *n, const struct run *r)
{
    int classes = 0;
    double *counts = read_counts(r, &classes);
    for (int k = 0; k < classes; k++) {
        double right = counts[(int64_t)k * classes + k], is = 0, said = 0;
        for (int i = 0; i < classes; i++) {
            is += counts[(int64_t)k * classes + i];
            said += counts[(int64_t)i * classes + k];
        }
        add(n, MEASURE_RECALL, k, right, is);
        add(n, MEASURE_PRECISION, k, right, said);
        add(n, MEASURE_F1, k, 2 * right, is + said);
    }
    xfree(counts);
}

bool confusion_has_rows(const struct report *r)
{
    int classes = 0;
    for (int i = 0; i < r->numbers->count; i++)
        classes += r->numbers->list[i].measure == MEASURE_RECALL;
    return classes && classes <= MOST_DRAWN;
}

void confusion_rows(FILE *f, const struct report *r)
{
    int classes = 0;
    double *counts = read_counts(&r->source->runs[0], &classes);
    fprintf(f, "# classes: %d\n# columns: label,said,percent of the label's images\n", classes);
    for (int i = 0; i < classes; i++) {
        double all = 0;
        for (int k = 0; k < classes; k++)
            all += counts[(int64_t)i * classes + k];
        for (int k = 0; k < classes; k++)
            fprintf(f, "%d,%d,%.6g\n", i, k,
                    all > 0 ? 100 * counts[(int64_t)i * classes + k] / all : 0);
    }
    xfree(counts);
}
