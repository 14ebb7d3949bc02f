/* Trials of `nbsgd tune`: how good a setting is against its learning rate. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "report/figure_rows.h"
#include "report/report.h"

enum { WHY = REPORT_PATH + 100 };

/* trials.csv of the study's folder; NULL: there is none, none with rates, or, with why[], a bad
 * one. */
static struct csv *read_trials(const struct report *r, char why[WHY])
{
    char path[REPORT_PATH];
    *why = '\0';
    snprintf(path, sizeof path, "%s/trials.csv", r->options->folder);
    if (access(path, F_OK))
        return NULL;
    struct csv *c = csv_read(path, why, WHY);
    if (!c || csv_column(c, "lr") >= 0)
        return c;
    csv_close(c);
    return NULL;
}

bool sensitivity_has_rows(const struct report *r)
{
    char why[WHY];
    struct csv *c = read_trials(r, why);
    bool has = c != NULL;
    csv_close(c);
    return has;
}

void sensitivity_say(const struct report *r)
{
    char why[WHY];
    csv_close(r->source->is_study ? read_trials(r, why) : NULL);
    if (r->source->is_study && *why)
        printf("no figure of sensitivity: %s\n", why);
}

/* One that never had a number is at 0. */
static void write_trial(FILE *f, const struct csv *c, int row)
{
    double lr = csv_number(c, row, csv_column(c, "lr")),
           top1 = csv_number(c, row, csv_column(c, "best_top1"));
    bool has_ended = !strcmp(csv_text(c, row, csv_column(c, "status")), "done") ||
                     !strcmp(csv_text(c, row, csv_column(c, "status")), "diverged");
    if (lr > 0 && isfinite(lr) && has_ended)
        fprintf(f, "%.9g,%.6g\n", lr, isfinite(top1) ? top1 : 0);
}

/* A block a case and setting. */
void sensitivity_rows(FILE *f, const struct report *r)
{
    const struct source *s = r->source;
    char why[WHY];
    struct csv *c = read_trials(r, why);
    figure_names(f, "cases", &s->cases);
    figure_names(f, "settings", &s->settings);
    double least = INFINITY, most = 0;
    for (int row = 0; c && row < c->rows; row++) {
        double lr = csv_number(c, row, csv_column(c, "lr"));
        if (lr > 0 && isfinite(lr)) {
            least = fmin(least, lr);
            most = fmax(most, lr);
        }
    }
    fprintf(f, "# least: %.9g\n# most: %.9g\n# columns: lr,best top-1 of the trial\n",
            isfinite(least) ? least : 1, most > 0 ? most : 1);
    for (int i = 0; i < s->cases.count; i++)
        for (int k = 0; k < s->settings.count; k++) {
            fputs("NaN,NaN\n", f);
            for (int row = 0; c && row < c->rows; row++)
                if (!strcmp(csv_text(c, row, csv_column(c, "case")), s->cases.name[i]) &&
                    !strcmp(csv_text(c, row, csv_column(c, "setting")), s->settings.name[k]))
                    write_trial(f, c, row);
            fputs("\n\n", f);
        }
    csv_close(c);
}
