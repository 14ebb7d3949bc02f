/* Random numbers by key, not by stream: what is drawn depends on the key alone, never on who drew
 * before.
 *
 * So the order of the data, the delays, the augmentation and the first weights are the same for
 * every scheme. A key is a purpose and up to four numbers (seed, epoch, worker, step, ...). Mixing:
 * SplitMix64's finaliser (Steele, Lea, Flood 2014). */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

enum random_purpose {
    RANDOM_WEIGHTS = 1,
    RANDOM_SHARD,
    RANDOM_ORDER,
    RANDOM_AUGMENT,
    RANDOM_DELAY,
    RANDOM_IMAGE,
    RANDOM_LINK,
    RANDOM_TEST,
    RANDOM_CODEC,
    RANDOM_TRIGGER,
    RANDOM_JITTER,
    RANDOM_DROPOUT,
    RANDOM_NORM,
    RANDOM_HOLD_OUT,
    RANDOM_LINK_DELAY,
    RANDOM_LINK_BURST,
    RANDOM_FAULT,
    RANDOM_TOPOLOGY,
    RANDOM_SEARCH,
    RANDOM_BOOTSTRAP,
    RANDOM_PARTNER
};

struct random {
    uint64_t key, drawn;
};

/* The generator of this key; its n-th number is a pure function of (key, n). */
struct random random_at(enum random_purpose purpose, uint64_t a, uint64_t b, uint64_t c,
                        uint64_t d);

static inline uint64_t random_mix(uint64_t z) /* SplitMix64's finaliser */
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t random_bits(struct random *r) /* 64 random bits */
{
    return random_mix(r->key + 0x9e3779b97f4a7c15u * r->drawn++);
}

static inline double random_uniform(struct random *r) /* [0, 1), 53 bits */
{
    return (double)(int64_t)(random_bits(r) >> 11) * 0x1p-53;
}

/* the next `count` of random_uniform(), quicker than one by one */
void random_uniforms(struct random *r, double *list, int count);

uint64_t random_below(struct random *r, uint64_t limit); /* 0 .. limit-1, without bias; limit > 0 */
double random_normal(struct random *r); /* mean 0, deviation 1 (Box and Muller; two draws a call) */
/* Fisher and Yates, in place */
void random_shuffle(struct random *r, int32_t *list, int64_t count);

#endif
