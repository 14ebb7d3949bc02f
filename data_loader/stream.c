/* Orders. A pass is shuffled when it is entered: 10 ns and 8 bytes of memory a sample of the
 * shard. */
#include "data_loader/stream.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"

void data_stream_open(struct data_stream *s, int32_t *shard, int64_t count, uint64_t seed,
                      int worker)
{
    assert(count > 0 && worker >= 0);
    *s = (struct data_stream){
        .seed = seed, .worker = worker, .count = count, .shard = shard, .pass = -1};
    s->order = xcalloc((size_t)count, sizeof *s->order);
}

void data_stream_close(struct data_stream *s)
{
    xfree(s->order);
    xfree(s->shard);
}

static void enter(struct data_stream *s, int64_t pass)
{
    struct random r = random_at(RANDOM_ORDER, s->seed, (uint64_t)s->worker, (uint64_t)pass, 0);
    memcpy(s->order, s->shard, (size_t)s->count * sizeof *s->order);
    random_shuffle(&r, s->order, s->count);
    s->pass = pass;
}

int32_t data_stream_sample(struct data_stream *s, int64_t position, int64_t *pass)
{
    assert(position >= 0);
    *pass = position / s->count;
    if (*pass != s->pass)
        enter(s, *pass);
    return s->order[position % s->count];
}
