/* What CUDA gives to a kernel, on the CPU and in C++: it takes the place of
 * backend/cudnn/kernels/device.cuh, so that the same text computes the same bits. A block's shared
 * memory is static, since blocks run one after another (emulate/threads.h); what it holds from the
 * block before is not to be relied on. */
#ifndef TESTS_CUDA_EMULATE_H
#define TESTS_CUDA_EMULATE_H
#define BACKEND_CUDNN_KERNELS_DEVICE_CUH

#include <stdint.h>
#include <string.h>

extern "C" {
#include "backend/cudnn/kernels.h"
#include "tests/cuda/emulate/runtime.h"
#include "tests/cuda/emulate/threads.h"
}

#define __global__
#define __device__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static
#define __syncthreads() emulate_barrier(__FILE__, __LINE__)

struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};

struct alignas(16) float4 {
    float x, y, z, w;
};

struct bf16 {
    uint16_t bits;
};

static inline void __threadfence()
{
}

static inline unsigned atomicInc(unsigned *counter, unsigned most)
{
    const unsigned old = *counter;
    *counter = old >= most ? 0 : old + 1;
    return old;
}

static inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w)
{
    return {x, y, z, w};
}

static inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

static inline float __uint_as_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bf16_nearest(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value)
        return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static inline uint32_t bf16_pair(float low, float high)
{
    return bf16_nearest(low) | bf16_nearest(high) << 16;
}

template <class T> static inline T read_shared(const T *from)
{
    return *from;
}

/* A launch goes into its stream's queue (emulate/runtime.h); the closure is all that it needs. */
template <class... P, class... A>
static void launch(void (*kernel)(P...), int64_t blocks, int threads, cudaStream_t stream,
                   A... arguments)
{
    const auto call = [=] { kernel(arguments...); };
    const auto whole = [=] {
        emulate_launch(
            blocks, threads, [](const void *argument) { (*(const decltype(call) *)argument)(); },
            &call);
    };
    emulate_enqueue(
        stream, [](const void *argument) { (*(const decltype(whole) *)argument)(); }, &whole,
        sizeof whole);
}

#endif
