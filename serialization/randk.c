/* Floats drawn at random, with error feedback (Stich et al. 2018, arXiv:1809.07599):
 * unscaled, for what is left out is sent when its turn comes.
 *
 * Each set of k indices is equally likely (Floyd's sampling; Bentley 1987): the indices drawn are
 * marked in a map of bits, which is then read in order. A NaN is seen when its index is drawn, and
 * stays until then: after count / k messages in the mean. Cost: 8 bytes per float that is sent;
 * memory of a bit per float; one pass over the vector and k draws. */
#include "serialization/sparse.h"

#include <string.h>

#include "base/vector.h"

enum { WORD = 64 };

static int64_t words(const struct coder *c)
{
    return (c->count + WORD - 1) / WORD;
}

static size_t work_bytes(const struct coder *c)
{
    return (size_t)words(c) * sizeof(uint64_t);
}

static void draw(const struct coder *c, uint64_t *mark)
{
    struct random r = coder_random(c);
    for (int64_t last = c->count - c->k; last < c->count; last++) {
        uint64_t i = random_below(&r, (uint64_t)last + 1);
        if (mark[i / WORD] >> i % WORD & 1)
            i = (uint64_t)last;
        mark[i / WORD] |= (uint64_t)1 << i % WORD;
    }
}

static void encode(struct coder *c, void *to, const float *from)
{
    uint64_t *mark = c->work;
    uint32_t *index = to;
    float *value = (float *)(index + c->k);
    vector_add(c->left, from, c->count, 1);
    draw(c, mark);
    for (int64_t word = 0; word < words(c); word++)
        for (; mark[word]; mark[word] &= mark[word] - 1) {
            int64_t i = word * WORD + __builtin_ctzll(mark[word]);
            *index++ = (uint32_t)i;
            *value++ = c->left[i];
            c->left[i] = 0;
        }
}

static const char *const state[] = {"left", "messages", NULL};

const struct codec codec_randk = {
    .name = "randk",
    .summary = "floats drawn at random, 8 bytes each, with error feedback",
    .paper = "Stich et al. 2018, arXiv:1809.07599",
    .remembers = true,
    .options = &sparse_option_set,
    .k = sparse_k,
    .state = state,
    .message_bytes = sparse_bytes,
    .work_bytes = work_bytes,
    .encode = encode,
    .decode = sparse_decode,
};
