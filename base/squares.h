/* The Euclidean norm of a vector, whose bits depend neither on the threads nor on how the vector is
 * cut.
 *
 * Squares are summed in double by blocks of CACHE_LINE_FLOATS, in one order. Blocks are added as
 * whole numbers of 2^-180 in digits of 32 bits, so in any order. A square below that counts as
 * nothing. Parts of a vector begin at multiples of a block. Cost: the vector is read once. */
#ifndef BASE_SQUARES_H
#define BASE_SQUARES_H

#include <stdint.h>

enum { SQUARES_DIGITS = 15 };

struct squares { /* a sum of squares; zeros at first */
    uint64_t digit[SQUARES_DIGITS];
    uint64_t bad; /* blocks with a NaN or an infinity */
};

struct squares_packed { /* the same in few bytes */
    uint32_t digit[SQUARES_DIGITS], bad;
};

void squares_add(struct squares *s, const float *v, int64_t count, int threads);
void squares_join(struct squares *s, const struct squares *more); /* also from several threads */
struct squares_packed squares_pack(const struct squares *s);
struct squares squares_unpack(const struct squares_packed *packed);

double squares_norm(const struct squares *s); /* INFINITY where a number is none */

/* What a vector of that norm is multiplied by, so that it is no longer than `most`: at most 1. */
double squares_clip(double norm, double most);

#endif
