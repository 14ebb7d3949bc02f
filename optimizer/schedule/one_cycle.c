/* The rate rises in a line, then falls in one. */
#include "optimizer/schedule/kinds.h"

static double one_cycle(const struct schedule *s, double part, double done)
{
    (void)s, (void)part;
    const double top = 0.3, end = 1e-4;
    return done < top ? SCHEDULE_START + (1 - SCHEDULE_START) * (done / top)
                      : 1 - (1 - end) * ((done - top) / (1 - top));
}

const struct schedule_kind schedule_one_cycle = {
    .name = "one-cycle",
    .formula = "a line from lr/25 to lr for 0.3 of the run, and one down to lr/1e4",
    .paper = "Smith 2018",
    .factor = one_cycle,
    .warms_up = true,
};
