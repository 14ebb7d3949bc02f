/* Shards that don't look at the labels: disjoint equal ones, and the whole for everybody. */
#include "data_loader/partition/kinds.h"

static void deal(struct deal *d)
{
    deal_equally(d->owner, d->count, d->o->workers, 0, 1);
}

const struct partition_kind partition_split = {
    .name = "split",
    .summary = "disjoint equal shards",
    .deal = deal,
};

const struct partition_kind partition_shared = {
    .name = "shared",
    .summary = "every worker draws from all samples",
};
