/* Shards in proportion to the workers' speeds, so that a pass takes all of them the same time. */
#include <assert.h>
#include <math.h>

#include "base/alloc.h"
#include "data_loader/partition/kinds.h"

static void deal(struct deal *d)
{
    int workers = d->o->workers;
    double *speed = xcalloc((size_t)workers, sizeof *speed);
    for (int w = 0; w < workers; w++) {
        speed[w] = d->o->speeds ? d->o->speeds[w] : 1;
        assert(speed[w] > 0 && isfinite(speed[w]));
    }
    deal_in_proportion(d->owner, d->count, speed, workers);
    xfree(speed);
}

const struct partition_kind partition_speed = {
    .name = "speed",
    .summary = "shards in proportion to the workers' speeds (--slow)",
    .deal = deal,
    .remedy = "it is too slow beside the others for a whole one; use smaller factors in --slow or "
              "more samples",
};
