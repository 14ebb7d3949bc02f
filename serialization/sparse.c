#include "serialization/sparse.h"

#include <string.h>

size_t sparse_bytes(const struct coder *c)
{
    return (size_t)c->k * (sizeof(uint32_t) + sizeof(float));
}

const char *sparse_decode(const struct coder *c, float *to, const void *from)
{
    const uint32_t *index = from;
    const float *value = (const float *)(index + c->k);
    for (int64_t i = 0; i < c->k; i++) {
        if (index[i] >= c->count)
            return "an index beyond the vector";
        if (i && index[i] <= index[i - 1])
            return "indices that do not ascend";
    }
    memset(to, 0, (size_t)c->count * sizeof *to);
    for (int64_t i = 0; i < c->k; i++)
        to[index[i]] = value[i];
    return NULL;
}
