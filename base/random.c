#include "base/random.h"

#include <assert.h>
#include <math.h>

static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct random random_at(enum random_purpose purpose, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint64_t key = mix((uint64_t)purpose);
    key = mix(key ^ a);
    key = mix(key ^ b);
    key = mix(key ^ c);
    key = mix(key ^ d);
    return (struct random){.key = key};
}

uint64_t random_bits(struct random *r)
{
    return mix(r->key + 0x9e3779b97f4a7c15u * r->drawn++);
}

uint64_t random_below(struct random *r, uint64_t limit)
{
    assert(limit > 0);
    uint64_t excess = -limit % limit; /* 2^64 mod limit: the numbers below it would come once too often */
    uint64_t bits;
    do
        bits = random_bits(r);
    while (bits < excess);
    return bits % limit;
}

double random_uniform(struct random *r)
{
    return (double)(random_bits(r) >> 11) * 0x1p-53;
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
