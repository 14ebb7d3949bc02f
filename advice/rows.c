/* All numbers of an advice as a CSV: of the machine (`world` empty), and of each case that was left
 * out, with what was measured there. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "advice/private.h"
#include "base/check.h"
#include "base/file.h"

static void write_real(FILE *f, double value)
{
    fprintf(f, isnan(value) ? "," : ",%.7g", value);
}

static void write_row(FILE *f, const struct advice *a, int world, int setting)
{
    const struct estimate *e = &estimates_at(a, world)[setting];
    const struct evidence *measured = world ? &a->evidence[cell_at(a, setting, world - 1)] : NULL;
    if (e->from < 0)
        return;
    const struct evidence *seen = &a->evidence[cell_at(a, setting, e->from)];
    const struct pace *pace = &simulated_at(a, world, setting, e->from)->pace;
    fprintf(f, "%s,%s,%s", world ? case_name(a, world - 1) : "", setting_name(a, setting),
            case_name(a, e->from));
    const double values[] = {e->distance,
                             pace->images_per_s,
                             pace->staleness,
                             seen->staleness,
                             pace->minibatches,
                             seen->minibatches,
                             seen->samples,
                             seen->interval.low,
                             seen->interval.high,
                             e->seconds,
                             e->low,
                             e->high,
                             measured ? measured->seconds : NAN};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        write_real(f, values[i]);
    putc('\n', f);
}

static bool write_all(FILE *f, void *self)
{
    const struct advice *a = self;
    fprintf(f, "# program: %s\n# study: %s\n# target: %g\n# baseline: %s\n", a->request->program,
            a->source->title, a->target, setting_name(a, a->baseline));
    fputs("left_out,setting,from,distance,images_per_s,staleness,staleness_seen,"
          "minibatches_per_update,minibatches_per_update_seen,samples,samples_low,samples_high,"
          "seconds,seconds_low,seconds_high,measured_seconds\n",
          f);
    for (int world = 0; world <= a->cases; world++)
        for (int k = 0; k < a->settings; k++)
            if (!world || a->evidence[cell_at(a, k, world - 1)].runs)
                write_row(f, a, world, k);
    return true;
}

void advice_rows_write(const struct advice *a)
{
    const char *path = a->request->rows;
    if (path && !file_write_whole(path, write_all, (void *)a))
        die(EXIT_WORLD, "cannot write %s (%s)", path, strerror(errno));
}
