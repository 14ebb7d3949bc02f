/* 8 bits per float and a scale for each block of 512 rounded at random without bias
 * (QSGD: Alistarh et al. 2017, arXiv:1610.02132, with the greatest magnitude as the norm), so there
 * is no error to feed back.
 *
 * scale = greatest / 127; x / scale lies between two integers and becomes the upper one with the
 * probability of its distance from the lower. 16 bits are drawn for that, so the mean of what
 * arrives is x within 2^-17 scales: about what a float as great as the block's greatest is rounded
 * by. A block with a NaN or an infinity arrives as NaN; one that reaches the end of float's range
 * (2^-22 below it) may arrive with infinities. Cost: 1 byte per float, 4 per block; two passes, the
 * second in the cache. */
#include "serialization/kinds.h"

#include <math.h>
#include <string.h>

#include "base/simd.h"

enum { BLOCK = 512, GREATEST = 127, DRAWS = 4 /* of 16 bits, from one random number */ };

struct block { /* BLOCK bytes follow, in the last one fewer */
    float scale;
    int8_t q[];
};

static size_t block_at(int64_t i)
{
    return (size_t)(i / BLOCK) * (sizeof(struct block) + BLOCK);
}

static int64_t length_at(const struct coder *c, int64_t i)
{
    return c->count - i < BLOCK ? c->count - i : BLOCK;
}

SIMD_LOOP greatest_loop(const float *v, int64_t count, int32_t *greatest)
{
    int32_t most = 0;
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, &v[i], sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    *greatest = most;
}

SIMD(greatest, (const float *v, int64_t count, int32_t *greatest), (v, count, greatest))

/* The least scale that brings the block within 127 of them, rounded up; NaN where the block is not
 * finite. */
static float scale_of(const float *v, int64_t count)
{
    int32_t bits;
    float most;
    greatest(v, count, &bits);
    memcpy(&most, &bits, sizeof most);
    if (!isfinite(most))
        return NAN;
    float scale = most / GREATEST;
    return (double)scale * GREATEST < most ? nextafterf(scale, INFINITY) : scale;
}

SIMD_LOOP quantize_loop(int8_t *restrict q, const float *restrict v, int64_t count, float scale,
                        const uint16_t *restrict draw)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float many = v[i] / scale, size = fabsf(many);
        int32_t whole = (int32_t)size;
        whole += ((float)draw[i] + 0.5f) * 0x1p-16f < size - (float)whole;
        q[i] = (int8_t)(many < 0 ? -whole : whole);
    }
}

SIMD(quantize,
     (int8_t *restrict q, const float *restrict v, int64_t count, float scale,
      const uint16_t *restrict draw),
     (q, v, count, scale, draw))

static void encode_block(struct block *to, const float *from, int64_t count, struct random *r)
{
    uint16_t draw[BLOCK];
    for (int i = 0; i < BLOCK; i += DRAWS) {
        uint64_t bits = random_bits(r);
        for (int j = 0; j < DRAWS; j++)
            draw[i + j] = (uint16_t)(bits >> 16 * j);
    }
    to->scale = scale_of(from, count);
    if (to->scale > 0)
        quantize(to->q, from, count, to->scale, draw);
    else
        memset(to->q, 0, (size_t)count);
}

SIMD_LOOP decode_block_loop(float *restrict to, const int8_t *restrict q, int64_t count,
                            float scale)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        to[i] = scale * (float)q[i];
}

SIMD(decode_block, (float *restrict to, const int8_t *restrict q, int64_t count, float scale),
     (to, q, count, scale))

static size_t message_bytes(const struct coder *c)
{
    return (size_t)((c->count + BLOCK - 1) / BLOCK) * sizeof(struct block) + (size_t)c->count;
}

static void encode(struct coder *c, void *to, const float *from)
{
    struct random r = coder_random(c);
    for (int64_t i = 0; i < c->count; i += BLOCK)
        encode_block((struct block *)((char *)to + block_at(i)), from + i, length_at(c, i), &r);
}

static const char *decode(const struct coder *c, float *to, const void *from)
{
    for (int64_t i = 0; i < c->count; i += BLOCK) {
        const struct block *b = (const struct block *)((const char *)from + block_at(i));
        decode_block(to + i, b->q, length_at(c, i), b->scale);
    }
    return NULL;
}

static const char *const state[] = {"messages", NULL};

const struct codec codec_int8 = {
    .name = "int8",
    .summary = "8 bits per float and a scale for 512, rounded at random without bias",
    .paper = "Alistarh et al. 2017, arXiv:1610.02132",
    .state = state,
    .message_bytes = message_bytes,
    .encode = encode,
    .decode = decode,
};
