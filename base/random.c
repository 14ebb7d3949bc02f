#include "base/random.h"

#include <assert.h>
#include <math.h>

#include "base/simd.h"

#define STRIDE 0x9e3779b97f4a7c15u /* as random_bits() goes from one number to the next */

struct random random_at(enum random_purpose purpose, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint64_t key = random_mix((uint64_t)purpose);
    key = random_mix(key ^ a);
    key = random_mix(key ^ b);
    key = random_mix(key ^ c);
    key = random_mix(key ^ d);
    return (struct random){.key = key};
}

uint64_t random_below(struct random *r, uint64_t limit)
{
    assert(limit > 0);
    /* 2^64 mod limit: the numbers below it would come once too often */
    uint64_t excess = -limit % limit;
    uint64_t bits;
    do
        bits = random_bits(r);
    while (bits < excess);
    return bits % limit;
}

/* As random_uniform(), whose 53 bits are taken here in two parts that fit an int32: vector units
 * convert no wider ones. */
SIMD_LOOP uniforms_loop(uint64_t key, double *list, int count)
{
#pragma omp simd linear(key : STRIDE)
    for (int i = 0; i < count; i++) {
        uint64_t bits = random_mix(key) >> 11;
        list[i] =
            (double)(int32_t)(bits >> 27) * 0x1p-26 + (double)(int32_t)(bits & 0x7ffffff) * 0x1p-53;
        key += STRIDE;
    }
}

SIMD(uniforms, (uint64_t key, double *list, int count), (key, list, count))

void random_uniforms(struct random *r, double *list, int count)
{
    uniforms(r->key + STRIDE * r->drawn, list, count);
    r->drawn += (uint64_t)count;
}

double random_normal(struct random *r)
{
    double radius = sqrt(-2.0 * log(1.0 - random_uniform(r)));
    return radius * cos(2.0 * M_PI * random_uniform(r));
}

void random_shuffle(struct random *r, int32_t *list, int64_t count)
{
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = (int64_t)random_below(r, (uint64_t)i + 1);
        int32_t t = list[i];
        list[i] = list[j];
        list[j] = t;
    }
}
