/* The codecs: a file beside this header, and a line in this list. */
#ifndef SERIALIZATION_KINDS_H
#define SERIALIZATION_KINDS_H

#include "base/random.h"
#include "serialization/serialization.h"

#define CODECS(X)                                                                                  \
    X(f32)                                                                                         \
    X(bf16)                                                                                        \
    X(f16)                                                                                         \
    X(int8)                                                                                        \
    X(topk)                                                                                        \
    X(randk)                                                                                       \
    X(sign)

#define DECLARE_CODEC(name) extern const struct codec codec_##name;
CODECS(DECLARE_CODEC)
#undef DECLARE_CODEC

struct coder {
    const struct codec *codec;
    int64_t count, k; /* floats of a vector; of these a sparse message carries k */
    uint64_t seed, messages;
    int worker, stream;
    bool only_unpacks;
    float *left; /* [count], error feedback; NULL: the codec has none */
    void *work;  /* zeroed when opened, and after each message */
    struct allocator allocator;
    const struct journal *journal;
};

/* The random numbers of the message that is being packed. */
static inline struct random coder_random(const struct coder *c)
{
    return random_at(RANDOM_CODEC, c->seed, (uint64_t)c->worker, (uint64_t)c->stream, c->messages);
}

#endif
