/* Vector work at memory speed. A page of each source is summed at a time, so that the next page is
 * fetched while this one is added. */
#include "base/vector.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/simd.h"

enum { GRAIN = 1 << 15 }; /* floats that are worth a thread */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int vector_parts(int64_t count, int threads)
{
    assert(threads >= 1);
    int64_t worth = count / GRAIN;
    return worth < threads ? (worth > 1 ? (int)worth : 1) : threads;
}

struct range range_split(int64_t count, int part, int parts, int64_t grain)
{
    int64_t grains = (count + grain - 1) / grain;
    int64_t from = grains * part / parts * grain, to = grains * (part + 1) / parts * grain;
    return (struct range){least(count, from), least(count, to)};
}

SIMD_LOOP scale_to_loop(float *restrict to, const float *restrict from, float scale, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        to[i] = scale * from[i];
}

SIMD(scale_to, (float *to, const float *from, float scale, int64_t count), (to, from, scale, count))

SIMD_LOOP add_scaled_loop(float *restrict to, const float *restrict from, float scale,
                          int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        to[i] += scale * from[i];
}

SIMD(add_scaled, (float *to, const float *from, float scale, int64_t count),
     (to, from, scale, count))

void vector_sum_chunk(float *sum, const float *const *source, const double *scale, int sources,
                      struct range at)
{
    int64_t count = at.to - at.from;
    if (!sources)
        memset(sum, 0, (size_t)count * sizeof *sum);
    for (int i = 0; i < sources; i++)
        (i ? add_scaled : scale_to)(sum, source[i] + at.from, (float)scale[i], count);
}

static bool is_source(const float *to, const float *const *source, int sources)
{
    for (int i = 0; i < sources; i++)
        if (source[i] == to)
            return true;
    return false;
}

/* Each chunk is summed where it goes; aside where `to` is a source, too. */
static void sum_range(float *to, const float *const *source, const double *scale, int sources,
                      struct range part)
{
    _Alignas(64) float aside[VECTOR_CHUNK];
    bool in_place = !is_source(to, source, sources);
    for (struct range at = {part.from, part.from}; at.from < part.to; at.from = at.to) {
        at.to = least(at.from + VECTOR_CHUNK, part.to);
        vector_sum_chunk(in_place ? to + at.from : aside, source, scale, sources, at);
        if (!in_place)
            memcpy(to + at.from, aside, (size_t)(at.to - at.from) * sizeof *to);
    }
}

void vector_sum(float *to, const float *const *source, const double *scale, int sources,
                int64_t count, int threads)
{
    EACH_RANGE(count, threads, sum_range(to, source, scale, sources, at));
}

void vector_add(float *to, const float *from, int64_t count, int threads)
{
    EACH_RANGE(count, threads, add_scaled(to + at.from, from + at.from, 1, at.to - at.from));
}

void vector_copy(float *to, const float *from, int64_t count, int threads)
{
    if (!count) /* a slice may be empty, and nowhere */
        return;
    EACH_RANGE(count, threads,
               memcpy(to + at.from, from + at.from, (size_t)(at.to - at.from) * sizeof *to));
}

SIMD_LOOP find_bad_loop(const float *v, int64_t count, int *found)
{
    int bad = 0;
#pragma omp simd reduction(| : bad)
    for (int64_t i = 0; i < count; i++)
        bad |= !(fabsf(v[i]) <= FLT_MAX);
    *found |= bad;
}

SIMD(find_bad, (const float *v, int64_t count, int *found), (v, count, found))

bool vector_finite(const float *v, int64_t count, int threads)
{
    int parts = vector_parts(count, threads);
    int bad = 0;
#pragma omp parallel for num_threads(parts) if (parts > 1) reduction(| : bad)
    for (int part = 0; part < parts; part++) {
        struct range at = range_split(count, part, parts, CACHE_LINE_FLOATS);
        find_bad(v + at.from, at.to - at.from, &bad);
    }
    return !bad;
}
