/* One worker's endless stream of samples: which one is at which position.
 *
 * Invariant: position p of the stream belongs to pass p / count; each pass has all samples of the
 * shard, each once, in an order that depends on (shard, seed, worker, pass) alone. */
#ifndef DATA_LOADER_STREAM_H
#define DATA_LOADER_STREAM_H

#include <stdint.h>

struct data_stream {
    uint64_t seed;
    int worker;
    int64_t count;  /* samples of the shard */
    int32_t *shard; /* [count]; which */
    int32_t *order; /* [count]; the same in the order of `pass` */
    int64_t pass;   /* -1: none yet */
};

/* Takes over shard[count], which xcalloc() gave; count > 0. */
void data_stream_open(struct data_stream *s, int32_t *shard, int64_t count, uint64_t seed,
                      int worker);
void data_stream_close(struct data_stream *s);

/* The sample at `position`, and the pass that it belongs to. Any order of calls; entering another
 * pass costs one shuffle. */
int32_t data_stream_sample(struct data_stream *s, int64_t position, int64_t *pass);

#endif
