/* Eight elements at a time: what every kernel moves, and how a tensor is shared out to threads.
 *
 * Eight of bf16 are one load of 16 bytes, eight of float32 two of them; arithmetic is float32 in
 * both. */
#ifndef BACKEND_CUDNN_KERNELS_LANES_CUH
#define BACKEND_CUDNN_KERNELS_LANES_CUH

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

extern "C" {
#include "backend/cudnn/kernels.h"
}
#include "backend/cudnn/kernels/device.cuh"

enum { LANES = KERNEL_LANES };

struct lanes {
    float of[LANES];
};

/* The eight elements at vector `at` of a tensor of E. */
template <class E> static __device__ inline lanes load(const void *from, int64_t at);
template <class E> static __device__ inline void store(void *to, int64_t at, const lanes &v);

template <> __device__ inline lanes load<float>(const void *from, int64_t at)
{
    const float4 *quads = (const float4 *)from + 2 * at, a = quads[0], b = quads[1];
    return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}

template <> __device__ inline void store<float>(void *to, int64_t at, const lanes &v)
{
    float4 *quads = (float4 *)to + 2 * at;
    quads[0] = make_float4(v.of[0], v.of[1], v.of[2], v.of[3]);
    quads[1] = make_float4(v.of[4], v.of[5], v.of[6], v.of[7]);
}

/* bf16 is the upper half of a float32; two of them share a word. */
static __device__ inline uint4 packed(const lanes &v)
{
    return make_uint4(bf16_pair(v.of[0], v.of[1]), bf16_pair(v.of[2], v.of[3]),
                      bf16_pair(v.of[4], v.of[5]), bf16_pair(v.of[6], v.of[7]));
}

static __device__ inline lanes unpacked(uint4 bits)
{
    const uint32_t pair[LANES / 2] = {bits.x, bits.y, bits.z, bits.w};
    lanes v;
    for (int i = 0; i < LANES / 2; i++) {
        v.of[2 * i] = __uint_as_float(pair[i] << 16);
        v.of[2 * i + 1] = __uint_as_float(pair[i] & 0xffff0000u);
    }
    return v;
}

template <> __device__ inline lanes load<bf16>(const void *from, int64_t at)
{
    return unpacked(((const uint4 *)from)[at]);
}

template <> __device__ inline void store<bf16>(void *to, int64_t at, const lanes &v)
{
    ((uint4 *)to)[at] = packed(v);
}

/* What a later load would see of v. */
template <class E> static __device__ inline lanes rounded(const lanes &v);

template <> __device__ inline lanes rounded<float>(const lanes &v)
{
    return v;
}

template <> __device__ inline lanes rounded<bf16>(const lanes &v)
{
    return unpacked(packed(v));
}

/* One element, where there is no need for speed. */
template <class E> static __device__ inline float element(const void *from, int64_t at);

template <> __device__ inline float element<float>(const void *from, int64_t at)
{
    return ((const float *)from)[at];
}

template <> __device__ inline float element<bf16>(const void *from, int64_t at)
{
    return __uint_as_float((uint32_t)((const bf16 *)from)[at].bits << 16);
}

/* Zero where there is nothing to load. No branch comes of it, so several loads are under way at a
 * time. */
template <class E> static __device__ inline lanes load_if(bool there, const void *from, int64_t at)
{
    lanes v = {};
    if (there)
        v = load<E>(from, at);
    return v;
}

/* The sum of a gradient's two parts; `more` may be NULL. */
template <class E>
static __device__ inline lanes load_sum(bool there, const void *from, const void *more, int64_t at)
{
    lanes v = load_if<E>(there, from, at), w = load_if<E>(there && more, more, at);
    for (int i = 0; i < LANES; i++)
        v.of[i] += w.of[i];
    return v;
}

/* Eight channels of a vector of float32, zero after the last. */
static __device__ inline lanes load_channels(const float *from, int channel, int channels)
{
    lanes v;
    for (int i = 0; i < LANES; i++)
        v.of[i] = channel + i < channels ? from[channel + i] : 0;
    return v;
}

/* Threads that take one vector each. A tensor has fewer than 2^31 vectors (32 GB of bf16), so
 * indices divide in 32 bits. */
enum { EACH_THREADS = 256 };

static inline int64_t each_blocks(int64_t vectors)
{
    assert(vectors <= INT32_MAX - EACH_THREADS);
    return (vectors + EACH_THREADS - 1) / EACH_THREADS;
}

static __device__ inline uint32_t my_vector()
{
    return blockIdx.x * EACH_THREADS + threadIdx.x;
}

/* A vector in a tensor of images: which image, row, column, and which eight channels. */
struct place {
    uint32_t image, y, x, column;
};

static __device__ inline place place_of(uint32_t vector, uint32_t height, uint32_t width,
                                        uint32_t columns)
{
    uint32_t pixel = vector / columns, row = pixel / width;
    return {row / height, row % height, pixel % width, vector % columns};
}

static __device__ inline int64_t vector_at(uint32_t image, uint32_t y, uint32_t x, uint32_t column,
                                           uint32_t height, uint32_t width, uint32_t columns)
{
    return (((int64_t)image * height + y) * width + x) * columns + column;
}

#define BY_TYPE(type, kernel) ((type) == DTYPE_BF16 ? kernel<bf16> : kernel<float>)

#endif
