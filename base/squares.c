/* Sums of squares as whole numbers of many digits. */
#include "base/squares.h"

#include <math.h>
#include <string.h>

#include "base/simd.h"
#include "base/vector.h"

enum {
    DIGIT_BITS = 32,
    LEAST = 180,   /* the sum counts 2^-LEAST */
    BIAS = 1023,   /* of a double's exponent */
    MANTISSA = 52, /* bits of its mantissa that are stored */
    BLOCK = CACHE_LINE_FLOATS,
    LANES = 4
};

/* Adds a block's sum. Its mantissa may lie in three digits; each takes 2^31 blocks. */
static inline void add_block(struct squares *s, double sum)
{
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    int exponent = (int)(bits >> MANTISSA), shift = exponent - BIAS - MANTISSA + LEAST;
    uint64_t mantissa = (bits & ((1ULL << MANTISSA) - 1)) | 1ULL << MANTISSA;
    if (exponent >= 2 * BIAS + 1) {
        s->bad++;
        return;
    }
    if (shift <= -DIGIT_BITS * 2 || !exponent)
        return;
    if (shift < 0) {
        mantissa >>= -shift;
        shift = 0;
    }
    uint64_t *digit = s->digit + shift / DIGIT_BITS;
    uint64_t low = (mantissa & UINT32_MAX) << shift % DIGIT_BITS, high = (mantissa >> DIGIT_BITS)
                                                                         << shift % DIGIT_BITS;
    digit[0] += low & UINT32_MAX;
    digit[1] += (low >> DIGIT_BITS) + (high & UINT32_MAX);
    digit[2] += high >> DIGIT_BITS;
}

static inline double block_sum(const float *v)
{
    double lane[LANES] = {0};
    for (int i = 0; i < BLOCK; i += LANES)
        for (int k = 0; k < LANES; k++)
            lane[k] += (double)v[i + k] * (double)v[i + k];
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

SIMD_LOOP add_blocks_loop(struct squares *s, const float *v, int64_t count)
{
    int64_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK)
        add_block(s, block_sum(v + i));
    if (i == count)
        return;
    float rest[BLOCK] = {0};
    memcpy(rest, v + i, (size_t)(count - i) * sizeof *v);
    add_block(s, block_sum(rest));
}

SIMD(add_blocks, (struct squares * s, const float *v, int64_t count), (s, v, count))

void squares_join(struct squares *s, const struct squares *more)
{
    for (int i = 0; i < SQUARES_DIGITS; i++)
        __atomic_fetch_add(&s->digit[i], more->digit[i], __ATOMIC_RELAXED);
    __atomic_fetch_add(&s->bad, more->bad, __ATOMIC_RELAXED);
}

static void add_part(struct squares *s, const float *v, int64_t count)
{
    struct squares own = {.bad = 0};
    add_blocks(&own, v, count);
    squares_join(s, &own);
}

void squares_add(struct squares *s, const float *v, int64_t count, int threads)
{
    EACH_RANGE(count, threads, add_part(s, v + at.from, at.to - at.from));
}

struct squares_packed squares_pack(const struct squares *s)
{
    struct squares_packed packed = {.bad = s->bad > 0};
    uint64_t carry = 0;
    for (int i = 0; i < SQUARES_DIGITS; i++) {
        carry += s->digit[i];
        packed.digit[i] = (uint32_t)carry;
        carry >>= DIGIT_BITS;
    }
    packed.bad |= carry > 0;
    return packed;
}

struct squares squares_unpack(const struct squares_packed *packed)
{
    struct squares s = {.bad = packed->bad};
    for (int i = 0; i < SQUARES_DIGITS; i++)
        s.digit[i] = packed->digit[i];
    return s;
}

/* From the highest digit down: what rounding loses is below the last bit but one. */
double squares_norm(const struct squares *s)
{
    const struct squares_packed whole = squares_pack(s);
    double sum = 0;
    for (int i = SQUARES_DIGITS - 1; i >= 0; i--)
        sum += ldexp(whole.digit[i], DIGIT_BITS * i - LEAST);
    return whole.bad ? INFINITY : sqrt(sum);
}

double squares_clip(double norm, double most)
{
    return norm > most ? most / norm : 1;
}
