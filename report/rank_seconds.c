/* Where each rank's seconds went. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/check.h"
#include "report/numbers.h"

/* In the order of share_words. useful: computing that was neither aborted nor dropped. */
static const char *const columns[SHARES] = {"compute_s", "aborted_s",  "dropped_s", "delay_s",
                                            "update_s",  "transfer_s", "wait_s",    "other_s"};

/* Which column is not there; NULL: all are. */
static const char *missing_column(const struct csv *c)
{
    for (int k = 0; k < SHARES; k++)
        if (csv_column(c, columns[k]) < 0)
            return columns[k];
    return NULL;
}

static double seconds_of(const struct csv *c, int row, int kind)
{
    double seconds = csv_number(c, row, csv_column(c, columns[kind]));
    for (int k = 1; k <= 2 && kind == 0; k++)
        seconds -= csv_number(c, row, csv_column(c, columns[k]));
    return seconds;
}

void rank_seconds_fill(struct numbers *n, const struct run *r)
{
    char path[REPORT_PATH], why[REPORT_PATH + 100];
    snprintf(path, sizeof path, "%s/ranks.csv", r->folder);
    if (access(path, F_OK))
        return;
    struct csv *c = csv_read(path, why, sizeof why);
    if (!c)
        fatal("report: %s", why);
    if (missing_column(c))
        printf("report: %s is of a version without %s: where each rank's seconds went is left "
               "out\n",
               path, missing_column(c));
    for (int i = 0; i < c->rows && !missing_column(c); i++)
        for (int k = 0; k < SHARES; k++) {
            double seconds = seconds_of(c, i, k);
            if (isnan(seconds))
                continue;
            struct number *number = numbers_add(n, MEASURE_RANK_SECONDS);
            number->item = i;
            number->other = share_words[k];
            number->value = seconds;
        }
    csv_close(c);
}
