/* A data set that was made by hand, not by dataset_open(), stores nothing. */
#include "data_loader/shards.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "data_loader/partition.h"

struct shards {
    pthread_mutex_t lock;
    struct partition *partition; /* NULL: none was asked for yet */
};

struct shards *shards_open(void)
{
    struct shards *s = xcalloc(1, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static void store(struct shards *s, struct partition *p)
{
    if (s->partition)
        partition_close(s->partition);
    s->partition = p;
}

void shards_close(struct shards *s)
{
    store(s, NULL);
    pthread_mutex_destroy(&s->lock);
    xfree(s);
}

int32_t *shards_take(const struct dataset *d, const struct loader_options *o, int64_t *count)
{
    struct shards once = {.lock = PTHREAD_MUTEX_INITIALIZER}, *s = d->shards ? d->shards : &once;
    const struct partition_options wanted = {.name = o->partition,
                                             .seed = o->seed,
                                             .workers = o->workers,
                                             .own = o->partition_own,
                                             .speeds = o->speeds};
    pthread_mutex_lock(&s->lock);
    if (!s->partition || !partition_is(s->partition, &wanted)) {
        store(s, partition_open(&wanted, d->labels, d->count));
        partition_check(s->partition);
    }
    const int32_t *shard = partition_shard(s->partition, o->worker, count);
    int32_t *samples = xcalloc((size_t)*count, sizeof *samples);
    memcpy(samples, shard, (size_t)*count * sizeof *samples);
    pthread_mutex_unlock(&s->lock);
    store(&once, NULL);
    return samples;
}

void dataset_shard(const struct dataset *d, const struct loader_options *options, int64_t *by_class)
{
    int64_t count;
    int32_t *samples = shards_take(d, options, &count);
    memset(by_class, 0, (size_t)d->classes * sizeof *by_class);
    for (int64_t i = 0; i < count; i++)
        by_class[d->labels[samples[i]]]++;
    xfree(samples);
}
