/* The table of data sets, and the loader: a stream of samples, made into mini-batches by the caller
 * or by a thread ahead of it.
 *
 * Cost: 2 us a image of 32 x 32 x 3. Memory of a loader: 8 bytes a sample of its share, 4 KiB, and
 * `ahead` + 1 mini-batches (none of its own with scratch; of crops 16 bytes a sample). The
 * partition that shares are taken from is kept with the data set until another is asked for, so
 * that a thousand loaders cost one. */
#include "data_loader/data_loader.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/check.h"
#include "data_loader/augment.h"
#include "data_loader/kinds.h"
#include "data_loader/partition.h"
#include "data_loader/prefetch.h"
#include "data_loader/stream.h"

static const struct dataset_kind *const kinds[] = {&dataset_cifar10, &dataset_synthetic};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* What dataset_open() keeps in `self`: the kind, the kind's own `self`, and the last partition. */
struct keep {
    const struct dataset_kind *kind;
    void *kinds_own;
    pthread_mutex_t lock; /* loaders may be opened in several threads */
    struct partition *partition;
};

static const struct dataset_kind *kind_of(const char *name)
{
    char known[256] = "";
    for (int i = 0; i < KINDS; i++) {
        if (!strcmp(name, kinds[i]->name))
            return kinds[i];
        size_t length = strlen(known);
        snprintf(known + length, sizeof known - length, "%s%s (%s)", i ? ", " : "", kinds[i]->name,
                 kinds[i]->summary);
    }
    fatal("no data set is called '%s'; there are: %s", name, known);
}

struct dataset *dataset_open(const struct dataset_options *options)
{
    assert(options->limit >= 0);
    const struct dataset_kind *kind = kind_of(options->name);
    struct dataset *d = xcalloc(1, sizeof *d);
    kind->open(d, options);
    struct keep *k = xcalloc(1, sizeof *k);
    *k = (struct keep){.kind = kind, .kinds_own = d->self};
    pthread_mutex_init(&k->lock, NULL);
    d->self = k;
    return d;
}

static void keep_partition(struct keep *k, struct partition *p)
{
    if (k->partition)
        partition_close(k->partition);
    k->partition = p;
}

void dataset_close(struct dataset *d)
{
    struct keep *k = d->self;
    d->self = k->kinds_own;
    k->kind->close(d);
    pthread_mutex_destroy(&k->lock);
    keep_partition(k, NULL);
    xfree(k);
    xfree(d);
}

void dataset_levels(const struct dataset *d, float levels[MAX_CHANNELS][256])
{
    struct levels of;
    levels_fill(&of, d);
    memcpy(levels, of.of, sizeof of.of);
}

void dataset_read(const struct dataset *d, int64_t first, int count, float *images, int32_t *labels)
{
    assert(first >= 0 && count >= 0 && first + count <= d->count);
    struct levels levels;
    levels_fill(&levels, d);
    int64_t size = (int64_t)d->channels * d->height * d->width;
    for (int i = 0; i < count; i++) {
        image_write(images + i * size, d, (int32_t)(first + i), (struct augment){0}, &levels);
        labels[i] = d->labels[first + i];
    }
}

/* The samples of a worker, to be released. A data set that was made by hand, not by dataset_open(),
 * keeps nothing. */
static int32_t *share_of(const struct dataset *d, const struct loader_options *o, int64_t *count)
{
    struct keep nothing = {.lock = PTHREAD_MUTEX_INITIALIZER}, *k = d->self ? d->self : &nothing;
    const struct partition_options wanted = {.name = o->partition,
                                             .seed = o->seed,
                                             .workers = o->workers,
                                             .alpha = o->alpha,
                                             .speeds = o->speeds};
    pthread_mutex_lock(&k->lock);
    if (!k->partition || !partition_is(k->partition, &wanted)) {
        keep_partition(k, partition_open(&wanted, d->labels, d->count));
        partition_check(k->partition);
    }
    const int32_t *theirs = partition_share(k->partition, o->worker, count);
    int32_t *samples = xcalloc((size_t)*count, sizeof *samples);
    memcpy(samples, theirs, (size_t)*count * sizeof *samples);
    pthread_mutex_unlock(&k->lock);
    keep_partition(&nothing, NULL);
    return samples;
}

void dataset_share(const struct dataset *d, const struct loader_options *options, int64_t *by_class)
{
    int64_t count;
    int32_t *samples = share_of(d, options, &count);
    memset(by_class, 0, (size_t)d->classes * sizeof *by_class);
    for (int64_t i = 0; i < count; i++)
        by_class[d->labels[samples[i]]]++;
    xfree(samples);
}

struct loader {
    const struct dataset *d;
    struct loader_options options;
    struct stream stream;
    struct levels levels;
    float *own; /* [slots][batch][height][width][channels], NULL: scratch is used, or there are no
                   images */
    size_t own_bytes;
    struct crop *crops;        /* [slots][batch], NULL: there are images */
    int32_t *labels, *samples; /* [slots][batch] each */
    int64_t held;              /* ahead = 0: the mini-batch that lies here, -1: none */
    struct prefetch *ring;     /* NULL: ahead = 0 */
    double wait_s;
};

static int64_t batch_size(const struct loader *l)
{
    return (int64_t)l->options.batch * l->d->height * l->d->width * l->d->channels;
}

static float *images_of(const struct loader *l, int slot)
{
    return l->crops ? NULL : l->own ? l->own + slot * batch_size(l) : l->options.scratch;
}

static struct crop *crops_of(const struct loader *l, int slot)
{
    return l->crops ? l->crops + (int64_t)slot * l->options.batch : NULL;
}

static void make(void *of, int64_t index, int slot)
{
    struct loader *l = of;
    const struct loader_options *o = &l->options;
    float *images = images_of(l, slot);
    struct crop *crops = crops_of(l, slot);
    int32_t *labels = l->labels + (int64_t)slot * o->batch,
            *samples = l->samples + (int64_t)slot * o->batch;
    int64_t size = batch_size(l) / o->batch;
    for (int i = 0; i < o->batch; i++) {
        int64_t pass;
        int32_t sample = stream_sample(&l->stream, index * o->batch + i, &pass);
        struct augment how = o->augment ? augment_at(o->seed, pass, sample) : (struct augment){0};
        if (crops)
            crops[i] = (struct crop){sample, how.down, how.right, how.mirror};
        else
            image_write(images + i * size, l->d, sample, how, &l->levels);
        samples[i] = sample;
        labels[i] = l->d->labels[sample];
    }
}

static void open_images(struct loader *l, int slots)
{
    l->own_bytes = (size_t)slots * (size_t)batch_size(l) * sizeof *l->own;
    l->own = alloc_pages(l->own_bytes);
    if (l->options.tell)
        l->options.tell(l->options.told, l->own, l->own_bytes, true);
}

struct loader *loader_open(const struct dataset *d, const struct loader_options *options)
{
    assert(options->batch > 0 && options->ahead >= 0);
    struct loader *l = xcalloc(1, sizeof *l);
    *l = (struct loader){.d = d, .options = *options, .held = -1};
    int64_t share;
    int32_t *mine = share_of(d, options, &share);
    stream_open(&l->stream, mine, share, options->seed, options->worker);
    levels_fill(&l->levels, d);
    int slots = options->ahead + 1;
    if (options->crops)
        l->crops = xcalloc((size_t)slots * (size_t)options->batch, sizeof *l->crops);
    else if (options->ahead || !options->scratch)
        open_images(l, slots);
    l->labels = xcalloc(2 * (size_t)slots * (size_t)options->batch, sizeof *l->labels);
    l->samples = l->labels + (int64_t)slots * options->batch;
    if (options->ahead)
        l->ring = prefetch_open(slots, make, l);
    return l;
}

void loader_close(struct loader *l)
{
    if (l->ring)
        prefetch_close(l->ring);
    stream_close(&l->stream);
    if (l->own && l->options.tell)
        l->options.tell(l->options.told, l->own, l->own_bytes, false);
    xfree(l->labels);
    xfree(l->crops);
    xfree(l->own);
    xfree(l);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct batch loader_batch(struct loader *l, int64_t index)
{
    assert(index >= 0);
    double start = seconds();
    int slot = 0;
    if (l->ring) {
        slot = prefetch_take(l->ring, index);
    } else if (!(l->own || l->crops) || l->held != index) {
        make(l, index, slot);
        l->held = index;
    }
    l->wait_s += seconds() - start;
    int64_t first = (int64_t)slot * l->options.batch;
    return (struct batch){.images = images_of(l, slot),
                          .crops = crops_of(l, slot),
                          .labels = l->labels + first,
                          .samples = l->samples + first};
}

int64_t loader_share(const struct loader *l)
{
    return l->stream.share;
}

double loader_wait_s(const struct loader *l)
{
    return l->wait_s;
}
