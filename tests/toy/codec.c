/* A codec for tests/toy_members.sh: floats with their sign turned, so that nothing is lost. */
#include "serialization/kinds.h"

static size_t message_bytes(const struct coder *c)
{
    return (size_t)c->count * sizeof(float);
}

static void encode(struct coder *c, void *to, const float *from)
{
    float *packed = to;
    for (int64_t i = 0; i < c->count; i++)
        packed[i] = -from[i];
}

static const char *decode(const struct coder *c, float *to, const void *from)
{
    const float *packed = from;
    for (int64_t i = 0; i < c->count; i++)
        to[i] = -packed[i];
    return NULL;
}

const struct codec codec_toycodec = {
    .name = "toycodec",
    .summary = "each float with the other sign",
    .weights = true,
    .message_bytes = message_bytes,
    .encode = encode,
    .decode = decode,
};
