/* What CUDA gives to a kernel: its words, the type bf16, and a launch that is checked.
 *
 * The one file here that needs nvcc: tests/cuda/emulate.h stands in for it where the kernels are
 * tried on a CPU. Compile with -fmad=false: then both give the same bits, and kernel_step() those
 * of optimizer/optimizer.c. */
#ifndef BACKEND_CUDNN_KERNELS_DEVICE_CUH
#define BACKEND_CUDNN_KERNELS_DEVICE_CUH

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#define _Noreturn __attribute__((noreturn)) /* a word of C in check.h */
extern "C" {
#include "backend/cudnn/check.h"
}

struct bf16 {
    uint16_t bits;
};

/* Rounded to nearest even, as `low` | `high` << 16; a NaN stays one. */
static __device__ inline uint32_t bf16_pair(float low, float high)
{
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    uint32_t bits;
    memcpy(&bits, &pair, sizeof bits);
    return bits;
}

/* From memory that other blocks have written during this kernel: past the caches that do not hear
 * of it. */
template <class T> static __device__ inline T read_shared(const T *from)
{
    return __ldcg(from);
}

template <class... P, class... A>
static void launch(void (*kernel)(P...), int64_t blocks, int threads, cudaStream_t stream,
                   A... arguments)
{
    if (blocks == 0)
        return;
    kernel<<<(unsigned)blocks, threads, 0, stream>>>(arguments...);
    CUDA(cudaGetLastError());
}

#endif
