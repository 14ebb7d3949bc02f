#include "tests/cuda/gpu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cudnn/check.h"
#include "base/alloc.h"

void gpu_open(struct gpu *gpu)
{
    int devices = 0;
    *gpu = (struct gpu){0};
    if (cudaGetDeviceCount(&devices) != cudaSuccess || !devices) {
        print_message("SKIPPED: no CUDA device\n");
        skip();
    }
    CUDA(cudaStreamCreate(&gpu->stream));
}

void gpu_close(struct gpu *gpu)
{
    gpu_clear(gpu);
    CUDA(cudaStreamDestroy(gpu->stream));
}

void gpu_clear(struct gpu *gpu)
{
    while (gpu->blocks)
        CUDA(cudaFree(gpu->block[--gpu->blocks]));
    gpu->digest = 0;
}

void *gpu_take(struct gpu *gpu, size_t bytes)
{
    assert_true(gpu->blocks < GPU_BLOCKS);
    void **block = &gpu->block[gpu->blocks++];
    CUDA(cudaMalloc(block, bytes));
    CUDA(cudaMemset(*block, 0xff, bytes));
    return *block;
}

void *gpu_put(struct gpu *gpu, const void *from, size_t bytes)
{
    void *to = gpu_take(gpu, bytes);
    CUDA(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
    return to;
}

void gpu_get(struct gpu *gpu, void *to, const void *from, size_t bytes)
{
    CUDA(cudaStreamSynchronize(gpu->stream));
    CUDA(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < bytes; i++) /* Fowler, Noll and Vo's */
        gpu->digest = (gpu->digest ^ ((const uint8_t *)to)[i]) * 0x100000001b3u;
}

static uint32_t bits_of(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* The upper half of a float32; a tie goes to the even one. */
static uint16_t bf16_of(float v)
{
    uint32_t bits = bits_of(v), below = bits & 0xffff;
    uint16_t upper = (uint16_t)(bits >> 16);
    if (isnan(v))
        return 0x7fff;
    return below > 0x8000 || (below == 0x8000 && upper % 2) ? (uint16_t)(upper + 1) : upper;
}

double gpu_rounded(enum backend_dtype type, double v)
{
    return type == DTYPE_BF16 ? float_of((uint32_t)bf16_of((float)v) << 16) : (float)v;
}

static size_t element_bytes(enum backend_dtype type)
{
    return type == DTYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
}

size_t gpu_bytes(enum backend_dtype type, int64_t rows, int channels)
{
    return (size_t)rows * (size_t)kernel_padded(channels) * element_bytes(type);
}

void *gpu_take_elements(struct gpu *gpu, enum backend_dtype type, int64_t rows, int channels)
{
    return gpu_take(gpu, gpu_bytes(type, rows, channels));
}

void *gpu_put_elements(struct gpu *gpu, enum backend_dtype type, const double *from, int64_t rows,
                       int channels)
{
    size_t bytes = gpu_bytes(type, rows, channels);
    void *host = xcalloc(bytes, 1);
    for (int64_t row = 0; row < rows; row++)
        for (int c = 0; c < channels; c++) {
            int64_t at = row * kernel_padded(channels) + c;
            float v = (float)from[row * channels + c];
            if (type == DTYPE_BF16)
                ((uint16_t *)host)[at] = bf16_of(v);
            else
                ((float *)host)[at] = v;
        }
    void *there = gpu_put(gpu, host, bytes);
    xfree(host);
    return there;
}

void gpu_get_elements(struct gpu *gpu, enum backend_dtype type, double *to, const void *from,
                      int64_t rows, int channels)
{
    size_t bytes = gpu_bytes(type, rows, channels);
    int padded = kernel_padded(channels);
    void *host = xcalloc(bytes, 1);
    gpu_get(gpu, host, from, bytes);
    for (int64_t at = 0; at < rows * padded; at++) {
        double v = type == DTYPE_BF16 ? float_of((uint32_t)((uint16_t *)host)[at] << 16)
                                      : ((float *)host)[at];
        if (at % padded < channels)
            to[at / padded * channels + at % padded] = v;
        else if (v != 0)
            fail_msg("row %lld of %d channels: the padding holds %g", (long long)(at / padded),
                     channels, v);
    }
    xfree(host);
}

float *gpu_put_floats(struct gpu *gpu, const double *from, size_t count)
{
    float *host = xcalloc(count, sizeof *host);
    for (size_t i = 0; i < count; i++)
        host[i] = (float)from[i];
    float *there = gpu_put(gpu, host, count * sizeof *host);
    xfree(host);
    return there;
}

void gpu_get_floats(struct gpu *gpu, double *to, const float *from, size_t count)
{
    float *host = xcalloc(count, sizeof *host);
    gpu_get(gpu, host, from, count * sizeof *host);
    for (size_t i = 0; i < count; i++)
        to[i] = host[i];
    xfree(host);
}
