/* float32: the vector itself. Sent from where it lies; packing makes a
 * copy. Cost: 4 bytes per float. */
#include "serialization/kinds.h"

#include <string.h>

static size_t message_bytes(const struct coder *c)
{
    return (size_t)c->count * sizeof(float);
}

static void encode(struct coder *c, void *to, const float *from)
{
    memcpy(to, from, message_bytes(c));
}

static const char *decode(const struct coder *c, float *to, const void *from)
{
    memcpy(to, from, message_bytes(c));
    return NULL;
}

const struct codec codec_f32 = {
    .name = "f32",
    .summary = "the floats as they are, 4 bytes",
    .in_place = true,
    .weights = true,
    .message_bytes = message_bytes,
    .encode = encode,
    .decode = decode,
};
