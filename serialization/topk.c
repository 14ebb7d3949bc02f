/* The floats of greatest magnitude, with error feedback (Aji, Heafield 2017; Stich et
 * al. 2018, arXiv:1809.07599).
 *
 * Magnitudes are ordered as their bits are, so the k-th greatest is found by radix: three passes
 * count the upper 11, the next 10 and the last 10 bits, each among those that agree with what is
 * known by then; a fourth collects. Of equal magnitudes the lowest indices are sent. A NaN is
 * greater than infinity: it is sent first, and those for which there is no room stay and are sent
 * next. Cost: 8 bytes per float that is sent; four passes, O(count). */
#include "serialization/sparse.h"

#include <assert.h>
#include <string.h>

#include "base/simd.h"
#include "base/vector.h"

enum { UPPER = 11, NEXT = 10, CHUNK = 4096, GROUP = 16 };

static inline uint32_t magnitude(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits & 0x7fffffff;
}

/* Moves *at on to the first group in which a magnitude is at least `least`; most groups have none.
 * The last, short one counts as such. */
SIMD_LOOP skip_loop(const float *v, int64_t count, uint32_t least, int64_t *at)
{
    for (; *at + GROUP <= count; *at += GROUP) {
        int32_t found = 0;
#pragma omp simd reduction(| : found)
        for (int64_t i = *at; i < *at + GROUP; i++)
            found |= (int32_t)magnitude(v[i]) >= (int32_t)least;
        if (found)
            break;
    }
}

SIMD(skip, (const float *v, int64_t count, uint32_t least, int64_t *at), (v, count, least, at))

static int64_t next_group(const float *v, int64_t count, uint32_t least, int64_t at)
{
    skip(v, count, least, &at);
    return at;
}

static int64_t group_end(int64_t at, int64_t count)
{
    return at + GROUP < count ? at + GROUP : count;
}

/* Adds `from` to what is left, and counts the sums by the upper bits of their magnitudes. */
static void add_and_count(float *left, const float *from, int64_t count, uint32_t *bucket)
{
    for (int64_t at = 0; at < count; at += CHUNK) {
        int64_t n = count - at < CHUNK ? count - at : CHUNK;
        vector_add(left + at, from + at, n, 1);
        for (int64_t i = at; i < at + n; i++)
            bucket[magnitude(left[i]) >> 2 * NEXT]++;
    }
}

/* Counts the magnitudes that begin with `prefix` by the NEXT bits that follow it; `shift` more
 * bits are below these. */
static void count_next(const float *v, int64_t count, uint32_t prefix, int shift, uint32_t *bucket)
{
    uint32_t least = prefix << (shift + NEXT);
    for (int64_t at = next_group(v, count, least, 0); at < count;
         at = next_group(v, count, least, at + GROUP))
        for (int64_t i = at; i < group_end(at, count); i++)
            if (magnitude(v[i]) >> (shift + NEXT) == prefix)
                bucket[magnitude(v[i]) >> shift & ((1 << NEXT) - 1)]++;
}

/* The bucket in which the rank-th greatest lies; *rank becomes its rank within it. */
static uint32_t locate(const uint32_t *bucket, int buckets, int64_t *rank)
{
    int b = buckets - 1;
    for (; b > 0 && bucket[b] < *rank; b--)
        *rank -= bucket[b];
    return (uint32_t)b;
}

static void encode(struct coder *c, void *to, const float *from)
{
    uint32_t bucket[1 << UPPER] = {0};
    int64_t rank = c->k;
    add_and_count(c->left, from, c->count, bucket);
    uint32_t least = locate(bucket, 1 << UPPER, &rank);
    for (int shift = NEXT; shift >= 0; shift -= NEXT) {
        memset(bucket, 0, sizeof *bucket << NEXT);
        count_next(c->left, c->count, least, shift, bucket);
        least = least << NEXT | locate(bucket, 1 << NEXT, &rank);
    }
    uint32_t *index = to;
    float *value = (float *)(index + c->k);
    int64_t sent = 0, ties = rank; /* of those that equal the least */
    for (int64_t at = next_group(c->left, c->count, least, 0); at < c->count;
         at = next_group(c->left, c->count, least, at + GROUP))
        for (int64_t i = at; i < group_end(at, c->count); i++)
            if (magnitude(c->left[i]) > least || (magnitude(c->left[i]) == least && ties-- > 0)) {
                index[sent] = (uint32_t)i;
                value[sent++] = c->left[i];
                c->left[i] = 0;
            }
    assert(sent == c->k);
}

static const char *const state[] = {"left", NULL};

const struct codec codec_topk = {
    .name = "topk",
    .summary = "the floats of greatest magnitude, 8 bytes each, with error feedback",
    .paper = "Aji, Heafield 2017, arXiv:1704.05021",
    .remembers = true,
    .options = &sparse_option_set,
    .k = sparse_k,
    .state = state,
    .message_bytes = sparse_bytes,
    .encode = encode,
    .decode = sparse_decode,
};
