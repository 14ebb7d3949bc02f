/* The signs, and for each block of 512 floats its mean magnitude, with error feedback
 * (Seide et al. 2014; scaled sign: Karimireddy et al. 2019, arXiv:1901.09847).
 *
 * A float arrives as + or - the mean, which of all scales leaves the least error. Bit j of word i
 * is the sign of float 16 j + i of the block, so that sixteen floats are looked at together and
 * nothing crosses lanes. The mean is summed in eight lanes of doubles on every machine, so its bits
 * are the same everywhere. A block with a NaN arrives as NaN now and ever after, for that is what
 * is left of it; so it is with an infinity, which arrives as infinities first. Cost: 68 bytes a
 * block, the last one too; two passes, the second in the cache. */
#include "serialization/kinds.h"

#include <string.h>

#include "base/simd.h"

enum { BLOCK = 512, WORDS = BLOCK / 32, LANES = 8 };

struct block {
    float scale; /* the mean magnitude */
    uint32_t sign[WORDS];
};

static inline uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* What a row of up to WORDS floats, the row-th, becomes. */
static inline __attribute__((always_inline)) void
decode_row(float *restrict to, const struct block *restrict b, int row, int count)
{
#pragma omp simd
    for (int i = 0; i < count; i++)
        to[i] = float_of(bits_of(b->scale) ^ (b->sign[i] >> row & 1) << 31);
}

/* left += from, and b->scale becomes the mean magnitude. */
SIMD_LOOP add_loop(float *restrict left, const float *restrict from, int count,
                   struct block *restrict b)
{
    double sum[LANES] = {0}, whole = 0;
    int even = count / LANES * LANES;
    for (int i = 0; i < even; i += LANES)
#pragma omp simd
        for (int j = 0; j < LANES; j++) {
            left[i + j] += from[i + j];
            sum[j] += (double)float_of(bits_of(left[i + j]) & 0x7fffffff);
        }
    for (int i = even; i < count; i++) {
        left[i] += from[i];
        sum[i - even] += (double)float_of(bits_of(left[i]) & 0x7fffffff);
    }
    for (int j = 0; j < LANES; j++)
        whole += sum[j];
    b->scale = (float)(whole / count);
}

SIMD(add, (float *restrict left, const float *restrict from, int count, struct block *restrict b),
     (left, from, count, b))

/* The signs of left; then what they say is taken from it. */
static inline __attribute__((always_inline)) void
encode_row(struct block *restrict b, float *restrict left, int row, int count)
{
#pragma omp simd
    for (int i = 0; i < count; i++) {
        uint32_t sign = bits_of(left[i]) >> 31;
        b->sign[i] |= sign << row;
        left[i] -= float_of(bits_of(b->scale) ^ sign << 31);
    }
}

SIMD_LOOP encode_block_loop(struct block *restrict b, float *restrict left, int count)
{
    int rows = count / WORDS;
    memset(b->sign, 0, sizeof b->sign);
    for (int row = 0; row < rows; row++)
        encode_row(b, left + row * WORDS, row, WORDS);
    encode_row(b, left + rows * WORDS, rows, count % WORDS);
}

SIMD(encode_block, (struct block *restrict b, float *restrict left, int count), (b, left, count))

SIMD_LOOP decode_block_loop(float *restrict to, const struct block *restrict b, int count)
{
    int rows = count / WORDS;
    for (int row = 0; row < rows; row++)
        decode_row(to + row * WORDS, b, row, WORDS);
    decode_row(to + rows * WORDS, b, rows, count % WORDS);
}

SIMD(decode_block, (float *restrict to, const struct block *restrict b, int count), (to, b, count))

static int length_at(const struct coder *c, int64_t i)
{
    return c->count - i < BLOCK ? (int)(c->count - i) : BLOCK;
}

static size_t message_bytes(const struct coder *c)
{
    return (size_t)((c->count + BLOCK - 1) / BLOCK) * sizeof(struct block);
}

static void encode(struct coder *c, void *to, const float *from)
{
    struct block *b = to;
    for (int64_t i = 0; i < c->count; i += BLOCK, b++) {
        add(c->left + i, from + i, length_at(c, i), b);
        encode_block(b, c->left + i, length_at(c, i));
    }
}

static const char *decode(const struct coder *c, float *to, const void *from)
{
    const struct block *b = from;
    for (int64_t i = 0; i < c->count; i += BLOCK, b++)
        decode_block(to + i, b, length_at(c, i));
    return NULL;
}

static const char *const state[] = {"left", NULL};

const struct codec codec_sign = {
    .name = "sign",
    .summary = "1 bit per float and a mean magnitude for 512, with error feedback",
    .paper = "Karimireddy et al. 2019, arXiv:1901.09847",
    .remembers = true,
    .state = state,
    .message_bytes = message_bytes,
    .encode = encode,
    .decode = decode,
};
