/* Shapes of convolutions for tests of their plans. */
#ifndef TESTS_CUDA_CONVOLUTION_H
#define TESTS_CUDA_CONVOLUTION_H

#include "backend/cudnn/convolve.h"

extern const char *const direction_name[DIRECTIONS];

/* Square images of `side` pixels, padded by half a kernel. */
struct unit_shape conv_shape(int batch, int in_c, int side, int out_c, int kernel, int stride);

#endif
