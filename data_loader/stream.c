/* Orders. A pass is shuffled when it is entered: share x 10 ns, and 8 bytes of memory a sample of
 * the share. */
#include "data_loader/stream.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"

void stream_open(struct stream *s, int32_t *mine, int64_t share, uint64_t seed, int worker)
{
    assert(share > 0 && worker >= 0);
    *s = (struct stream){.seed = seed, .worker = worker, .share = share, .mine = mine, .pass = -1};
    s->order = xcalloc((size_t)share, sizeof *s->order);
}

void stream_close(struct stream *s)
{
    xfree(s->order);
    xfree(s->mine);
}

static void enter(struct stream *s, int64_t pass)
{
    struct random r = random_at(RANDOM_ORDER, s->seed, (uint64_t)s->worker, (uint64_t)pass, 0);
    memcpy(s->order, s->mine, (size_t)s->share * sizeof *s->order);
    random_shuffle(&r, s->order, s->share);
    s->pass = pass;
}

int32_t stream_sample(struct stream *s, int64_t position, int64_t *pass)
{
    assert(position >= 0);
    *pass = position / s->share;
    if (*pass != s->pass)
        enter(s, *pass);
    return s->order[position % s->share];
}
