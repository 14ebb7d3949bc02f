/* The loader: a stream of samples, made into mini-batches by the caller or by a thread before they
 * are asked for.
 *
 * Cost: 2 us per image of 32 x 32 x 3. Memory of a loader: 8 bytes per sample of its shard, 4 KiB,
 * `prefetch` + 1 mini-batches (none of its own with scratch; of crops 16 bytes per sample), and one
 * image a thread where samples are read one by one. */
#include "data_loader/data_loader.h"

#include <assert.h>
#include <time.h>

#include "base/alloc.h"
#include "base/wall_clock.h"
#include "data_loader/augment.h"
#include "data_loader/prefetch.h"
#include "data_loader/samples.h"
#include "data_loader/shards.h"
#include "data_loader/stream.h"

struct loader {
    const struct dataset *d;
    struct loader_options options;
    struct data_stream stream;
    struct levels levels;
    float *own; /* [slots][batch][height][width][channels], NULL: scratch is used, or there are no
                   images */
    size_t own_bytes;
    struct sample *wanted;     /* [batch]; of the mini-batch that is made */
    uint8_t *scratch;          /* samples_scratch() */
    struct crop *crops;        /* [slots][batch], NULL: there are images */
    int32_t *labels, *samples; /* [slots][batch] each */
    int64_t held;              /* prefetch = 0: the mini-batch that lies here, -1: none */
    struct prefetch *ring;     /* NULL: prefetch = 0 */
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
    for (int i = 0; i < o->batch; i++) {
        int64_t pass;
        int32_t sample = data_stream_sample(&l->stream, index * o->batch + i, &pass);
        struct augment how = {0};
        if (o->augment)
            how = augment_at(&l->d->augmentation, o->seed, pass, sample);
        if (crops)
            crops[i] = (struct crop){sample, how.down, how.right, how.mirror};
        l->wanted[i] = (struct sample){.number = sample,
                                       .draws = o->augment,
                                       .draw = augment_draw_at(o->seed, pass, sample),
                                       .how = how};
        samples[i] = sample;
        labels[i] = l->d->labels[sample];
    }
    if (!crops)
        samples_read(l->d, l->wanted, o->batch, &l->levels, l->scratch, images);
}

static void open_images(struct loader *l, int slots)
{
    l->own_bytes = (size_t)slots * (size_t)batch_size(l) * sizeof *l->own;
    l->own = alloc_pages(l->own_bytes);
    if (l->options.register_memory)
        l->options.register_memory(l->options.memory_owner, l->own, l->own_bytes);
}

struct loader *loader_open(const struct dataset *d, const struct loader_options *options)
{
    assert(options->batch > 0 && options->prefetch >= 0);
    struct loader *l = xcalloc(1, sizeof *l);
    *l = (struct loader){.d = d, .options = *options, .held = -1};
    int64_t count;
    int32_t *shard = shards_take(d, options, &count);
    data_stream_open(&l->stream, shard, count, options->seed, options->worker);
    levels_fill(&l->levels, d);
    l->wanted = xcalloc((size_t)options->batch, sizeof *l->wanted);
    if (!options->crops)
        l->scratch = xcalloc(samples_scratch(d), 1);
    int slots = options->prefetch + 1;
    if (options->crops)
        l->crops = xcalloc((size_t)slots * (size_t)options->batch, sizeof *l->crops);
    else if (options->prefetch || !options->scratch)
        open_images(l, slots);
    l->labels = xcalloc(2 * (size_t)slots * (size_t)options->batch, sizeof *l->labels);
    l->samples = l->labels + (int64_t)slots * options->batch;
    if (options->prefetch)
        l->ring = prefetch_open(slots, make, l);
    return l;
}

void loader_close(struct loader *l)
{
    if (l->ring)
        prefetch_close(l->ring);
    data_stream_close(&l->stream);
    if (l->own && l->options.unregister_memory)
        l->options.unregister_memory(l->options.memory_owner, l->own);
    xfree(l->labels);
    xfree(l->crops);
    xfree(l->scratch);
    xfree(l->wanted);
    xfree(l->own);
    xfree(l);
}

struct batch loader_batch(struct loader *l, int64_t index)
{
    assert(index >= 0);
    double start = wall_s();
    int slot = 0;
    if (l->ring) {
        slot = prefetch_take(l->ring, index);
    } else if (!(l->own || l->crops) || l->held != index) {
        make(l, index, slot);
        l->held = index;
    }
    l->wait_s += wall_s() - start;
    samples_check(l->d);
    int64_t first = (int64_t)slot * l->options.batch;
    return (struct batch){.images = images_of(l, slot),
                          .crops = crops_of(l, slot),
                          .labels = l->labels + first,
                          .samples = l->samples + first};
}

int64_t loader_shard(const struct loader *l)
{
    return l->stream.count;
}

double loader_wait_s(const struct loader *l)
{
    return l->wait_s;
}
