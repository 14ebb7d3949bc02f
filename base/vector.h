/* Vectors of floats in the host's memory: their ranges, and work on them at memory speed.
 *
 * Each float is computed alone and in one order of operations, so no result depends on the threads.
 * Codecs, collectives, the optimizer and the server all build on this. */
#ifndef BASE_VECTOR_H
#define BASE_VECTOR_H

#include <stdbool.h>
#include <stdint.h>

struct range { /* floats [from, to) of a vector */
    int64_t from, to;
};

/* Part `part` of `parts` of [0, count): parts are disjoint, in order, cover all, and meet at
 * multiples of `grain` floats. Where there are fewer grains than parts some parts are empty. */
struct range range_split(int64_t count, int part, int parts, int64_t grain);

enum { CACHE_LINE_FLOATS = 16 }; /* the usual grain */

/* Threads that are worth their start for `count` floats: 1 .. threads. */
int vector_parts(int64_t count, int threads);

/* to = sum_i scale[i] x source[i], [count] each, added in the order of the list; no sources: zeros.
 * `to` may be one of the sources. */
void vector_sum(float *to, const float *const *source, const double *scale, int sources,
                int64_t count, int threads);
void vector_add(float *to, const float *from, int64_t count, int threads);  /* to += from */
void vector_copy(float *to, const float *from, int64_t count, int threads); /* they don't overlap */
bool vector_finite(const float *v, int64_t count, int threads); /* no NaN and no infinity */

enum { VECTOR_CHUNK = 1024 }; /* floats summed at a time: a page of each source */

/* The sum over floats `at` of the sources, at most VECTOR_CHUNK, into sum[0 ..]. On this thread. */
void vector_sum_chunk(float *sum, const float *const *source, const double *scale, int sources,
                      struct range at);

/* Does `work` for ranges `at` that together are [0, count), each on a thread of its own. A single
 * range is done right here: even for a team of one OpenMP takes memory and asks the kernel, which
 * is longer than a short vector takes. */
#define EACH_RANGE(count, threads, work)                                                           \
    do {                                                                                           \
        int parts = vector_parts(count, threads);                                                  \
        if (parts == 1) {                                                                          \
            struct range at = {0, count};                                                          \
            work;                                                                                  \
            break;                                                                                 \
        }                                                                                          \
        _Pragma("omp parallel for num_threads(parts)") for (int part = 0; part < parts; part++)    \
        {                                                                                          \
            struct range at = range_split(count, part, parts, CACHE_LINE_FLOATS);                  \
            work;                                                                                  \
        }                                                                                          \
    } while (0)

#endif
