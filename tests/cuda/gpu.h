/* A GPU's memory for tests: what is put there, what comes back, and whether it comes back twice. */
#ifndef TESTS_CUDA_GPU_H
#define TESTS_CUDA_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/cudnn/kernels.h"

enum { GPU_BLOCKS = 64 };

struct gpu {
    cudaStream_t stream;
    void *block[GPU_BLOCKS];
    int blocks;
    uint64_t digest; /* of all bytes that came back */
};

/* Skips the test where there is no device. */
void gpu_open(struct gpu *gpu);
void gpu_close(struct gpu *gpu);

/* Gives back all blocks, and begins a new digest. */
void gpu_clear(struct gpu *gpu);

/* Blocks end where their bytes do (a sanitizer sees what goes beyond), and are full of NaN until
 * something is written. */
void *gpu_take(struct gpu *gpu, size_t bytes);
void *gpu_put(struct gpu *gpu, const void *from, size_t bytes);
/* when all that was asked for is done */
void gpu_get(struct gpu *gpu, void *to, const void *from, size_t bytes);

/* The same for elements [rows][channels] that lie as kernels.h has them. Getting fails when padding
 * is not zero. */
size_t gpu_bytes(enum backend_dtype type, int64_t rows, int channels);
void *gpu_take_elements(struct gpu *gpu, enum backend_dtype type, int64_t rows, int channels);
void *gpu_put_elements(struct gpu *gpu, enum backend_dtype type, const double *from, int64_t rows,
                       int channels);
void gpu_get_elements(struct gpu *gpu, enum backend_dtype type, double *to, const void *from,
                      int64_t rows, int channels);

float *gpu_put_floats(struct gpu *gpu, const double *from, size_t count);
void gpu_get_floats(struct gpu *gpu, double *to, const float *from, size_t count);

/* The number that an element of this type can hold next to v, ties to even. */
double gpu_rounded(enum backend_dtype type, double v);

#endif
