/* One worker's endless stream of samples: which one stands at which position.
 *
 * Law: position p of the stream belongs to pass p / share; each pass has all samples of the share,
 * each once, in an order that depends on (share, seed, worker, pass) alone. */
#ifndef DATA_LOADER_STREAM_H
#define DATA_LOADER_STREAM_H

#include <stdint.h>

struct stream {
    uint64_t seed;
    int worker;
    int64_t share;  /* samples of this worker */
    int32_t *mine;  /* [share]; which */
    int32_t *order; /* [share]; the same in the order of `pass` */
    int64_t pass;   /* -1: none yet */
};

/* Takes over mine[share], which xcalloc() gave; share > 0. */
void stream_open(struct stream *s, int32_t *mine, int64_t share, uint64_t seed, int worker);
void stream_close(struct stream *s);

/* The sample at `position`, and the pass that it belongs to. Any order of calls; entering another
 * pass costs one shuffle. */
int32_t stream_sample(struct stream *s, int64_t position, int64_t *pass);

#endif
