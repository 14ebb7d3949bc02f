#include "serialization/sparse.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/check.h"

static const struct option_row rows[] = {{.name = "compress-ratio",
                                          .type = OPTION_REAL,
                                          .flags = OPTION_ABOVE,
                                          .offset = offsetof(struct sparse_options, compress_ratio),
                                          .preset = "0.01",
                                          .placeholder = "PART",
                                          .help = "part of the floats that is sent",
                                          .old = "wire-part",
                                          .most = 1},
                                         {0}};

const struct option_set sparse_option_set = {.title = "Codecs topk and randk",
                                             .owner = "--compress topk or randk",
                                             .rows = rows,
                                             .size = sizeof(struct sparse_options)};

int64_t sparse_k(const struct coder_options *o)
{
    const struct sparse_options *own = o->own;
    assert(own);
    if (!(own->compress_ratio > 0 && own->compress_ratio <= 1))
        fatal("--compress-ratio: %g is not a part of a vector; give a number above 0, at most 1",
              own->compress_ratio);
    int64_t count = llround(own->compress_ratio * (double)o->count);
    return count < 1 ? 1 : count > o->count ? o->count : count;
}

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
