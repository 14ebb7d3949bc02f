/* Whole classes for each worker: the usual extreme of data that are not alike. */
#include "base/alloc.h"
#include "base/random.h"
#include "data_loader/partition/kinds.h"

static void deal(struct deal *d)
{
    int64_t *first = xcalloc((size_t)d->classes + 1, sizeof *first);
    int32_t *has = xcalloc((size_t)d->classes, sizeof *has); /* the classes that have samples */
    int classes = 0, workers = d->o->workers;
    deal_group(d, first);
    for (int c = 0; c < d->classes; c++)
        if (first[c] < first[c + 1])
            has[classes++] = c;
    struct random r = random_at(RANDOM_SHARD, d->o->seed, KEY_CLASSES, 0, 0);
    random_shuffle(&r, has, classes);
    for (int j = 0; j < classes; j++) {
        int owners = j < workers ? (workers - j + classes - 1) / classes : 1;
        int64_t from = first[has[j]], to = first[has[j] + 1];
        deal_equally(d->owner + from, to - from, owners, j % workers, classes);
    }
    xfree(has);
    xfree(first);
}

static const char remedy[] =
    "its class has fewer samples than workers that share it; use fewer workers or more samples";

const struct partition_kind partition_label = {
    .name = "label",
    .summary = "whole classes, cut to shards of one size",
    .deal = deal,
    .cut = true,
    .remedy = remedy,
};

const struct partition_kind partition_label_unscaled = {
    .name = "label-unscaled",
    .summary = "whole classes, of any size",
    .deal = deal,
    .remedy = remedy,
};
