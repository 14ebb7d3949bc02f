/* Samples that are held out: drawn once by a key that no option changes, both parts in the order
 * of the file. Pixels in memory are moved, so each part lies in one piece; where samples are read
 * one by one each part has a list of its samples' numbers. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "data_loader/data_loader.h"
#include "data_loader/shards.h"

/* The numbers of the samples that stay, then of those that are held out; each part rises. */
static int32_t *draw(int64_t count, int64_t first, int64_t held)
{
    int32_t *order = xcalloc((size_t)count, sizeof *order), *list;
    bool *is_held = xcalloc((size_t)count, sizeof *is_held);
    for (int64_t i = 0; i < count; i++)
        order[i] = (int32_t)i;
    struct random r = random_at(RANDOM_HOLD_OUT, 0, 0, 0, 0);
    random_shuffle(&r, order, count);
    for (int64_t i = 0; i < held; i++)
        is_held[order[first + i]] = true;
    list = order;
    for (int part = 0; part < 2; part++)
        for (int64_t i = 0; i < count; i++)
            if (is_held[i] == part)
                *list++ = (int32_t)i;
    xfree(is_held);
    return order;
}

/* Samples list[count], which rise, of `from` become those of `to`, which may be `from`. */
static void take(struct dataset *to, const struct dataset *from, const int32_t *list, int64_t count)
{
    size_t size = (size_t)from->channels * (size_t)from->height * (size_t)from->width;
    int32_t *labels = (int32_t *)to->labels, *index = (int32_t *)to->index;
    uint8_t *pixels = (uint8_t *)to->pixels;
    for (int64_t i = 0; i < count; i++) {
        labels[i] = from->labels[list[i]];
        if (pixels)
            memmove(pixels + (size_t)i * size, from->pixels + (size_t)list[i] * size, size);
        else
            index[i] = list[i];
    }
    to->count = count;
}

static int32_t *index_of(const struct dataset *d, int64_t count)
{
    return d->pixels ? NULL : xcalloc((size_t)count, sizeof(int32_t));
}

struct dataset *dataset_hold_out(struct dataset *d, double part, int64_t fold)
{
    const double size_of_fold = part * (double)d->count;
    int64_t first = llround((double)fold * size_of_fold),
            end = llround((double)(fold + 1) * size_of_fold);
    int64_t held = (end < d->count ? end : d->count) - first, rest = d->count - held;
    assert(!d->index);
    if (held < 1 || rest < 1)
        fatal(
            "--val-split %g: of %lld training images %lld would be held out; take another part, or "
            "more --train-samples",
            part, (long long)d->count, (long long)held);
    size_t size = (size_t)d->channels * (size_t)d->height * (size_t)d->width;
    struct dataset *h = xcalloc(1, sizeof *h);
    int32_t *list = draw(d->count, first, held);
    *h = *d;
    h->labels = xcalloc((size_t)held, sizeof *h->labels);
    h->pixels = d->pixels ? xcalloc((size_t)held, size) : NULL;
    h->index = index_of(d, held);
    h->shards = shards_open();
    h->borrows = true;
    take(h, d, list + rest, held);
    int32_t *index = index_of(d, rest);
    d->index = index;
    take(d, d, list, rest);
    snprintf(h->source, sizeof h->source, "%.480s, held out", d->source);
    xfree(list);
    return h;
}
