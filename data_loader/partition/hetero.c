/* Contiguous groups of classes: worker 0 has the first ones. DiNNO's split, which leaves out the
 * classes that do not divide; this leaves out none. */
#include "base/alloc.h"
#include "data_loader/partition/kinds.h"

/* Of the classes that have samples, worker w of W has the C w / W-th to the one before the
 * C (w + 1) / W-th; where workers are more, those for whom C w / W is the same share one. */
static void deal(struct deal *d)
{
    int64_t *first = xcalloc((size_t)d->classes + 1, sizeof *first);
    int64_t classes = 0, workers = d->o->workers;
    deal_group(d, first);
    for (int c = 0; c < d->classes; c++)
        if (first[c] < first[c + 1])
            first[classes++] = first[c]; /* each class's; there are no samples between them */
    first[classes] = d->count;
    for (int64_t c = 0; c < classes; c++) {
        /* the workers w with C w / W <= c < C (w + 1) / W, or with C w / W = c */
        int64_t from = classes >= workers ? ((c + 1) * workers - 1) / classes
                                          : (c * workers + classes - 1) / classes,
                to = classes >= workers ? from + 1 : ((c + 1) * workers + classes - 1) / classes;
        deal_equally(d->owner + first[c], first[c + 1] - first[c], (int)(to - from), (int)from, 1);
    }
    xfree(first);
}

const struct partition_kind partition_hetero = {
    .name = "hetero",
    .summary = "contiguous groups of classes, none left out",
    .paper = "after Yu, Vincent, Schwager 2022, arXiv:2109.08665",
    .deal = deal,
    .remedy = "its class has fewer samples than workers that share it; use fewer workers or more "
              "samples",
};
