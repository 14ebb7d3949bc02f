/* What a run's workers have done over time: the loss and the samples of each, and the norm of the
 * weights. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/check.h"
#include "report/figure_rows.h"

enum { MOST_DRAWN = 100 }; /* workers */

static void path_of(const struct report *r, char *path, size_t size)
{
    snprintf(path, size, "%s/worker_losses.csv", r->source->runs[0].folder);
}

bool worker_losses_has_rows(const struct report *r)
{
    char path[REPORT_PATH];
    path_of(r, path, sizeof path);
    return !r->source->is_study && !access(path, R_OK);
}

/* -1: it is no number of a worker that is drawn. */
static int worker_of(const struct csv *c, int row, int column)
{
    double worker = csv_number(c, row, column);
    return worker >= 0 && worker < MOST_DRAWN ? (int)worker : -1;
}

static int count_workers(const struct csv *c, int column)
{
    int count = 0;
    for (int i = 0; i < c->rows; i++)
        if (worker_of(c, i, column) >= count)
            count = worker_of(c, i, column) + 1;
    return count;
}

static void worker_block(FILE *f, const struct csv *c, int worker, int column)
{
    double used = 0;
    fputs("0,NaN,0\n", f);
    for (int i = 0; i < c->rows; i++) {
        if (worker_of(c, i, column) != worker)
            continue;
        used += csv_number(c, i, csv_column(c, "used"));
        fprintf(f, "%.9g,%.6g,%.9g\n", csv_number(c, i, csv_column(c, "seconds")),
                csv_number(c, i, csv_column(c, "loss")), used);
    }
    fputs("\n\n", f);
}

/* A block of the weights, then one a worker. */
void worker_losses_rows(FILE *f, const struct report *r)
{
    char path[REPORT_PATH], why[REPORT_PATH + 100];
    const struct curve *curve = &r->source->runs[0].curve;
    path_of(r, path, sizeof path);
    struct csv *c = csv_read(path, why, sizeof why);
    if (!c)
        fatal("report: %s", why);
    int column = csv_column(c, "worker"), workers = count_workers(c, column);
    fprintf(f, "# workers: %d\n# columns: seconds,norm of the weights; then, a block a worker, ",
            workers);
    fputs("seconds,loss,samples used\n", f);
    for (int i = 0; i < curve->count; i++)
        fprintf(f, "%.9g,%.6g\n", curve->axis[CURVE_SECONDS][i], curve->weight_norm[i]);
    fputs("\n\n", f);
    for (int k = 0; k < workers; k++)
        worker_block(f, c, k, column);
    csv_close(c);
}
