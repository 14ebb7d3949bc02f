/* What CUDA or cuDNN refuse ends the program, with their own words. Asynchronous faults show at a
 * later call. */
#ifndef BACKEND_CUDNN_CHECK_H
#define BACKEND_CUDNN_CHECK_H

#include <cuda_runtime_api.h>

#include "base/check.h"

#define CUDA(call)                                                                                 \
    do {                                                                                           \
        cudaError_t error_ = (call);                                                               \
        CHECK(error_ == cudaSuccess, "%s: CUDA says %s (%s)", #call, cudaGetErrorString(error_),   \
              cudaGetErrorName(error_));                                                           \
    } while (0)

/* Wants cudnn_graph.h. */
#define CUDNN(call)                                                                                \
    do {                                                                                           \
        cudnnStatus_t status_ = (call);                                                            \
        char words_[512] = "";                                                                     \
        if (status_ != CUDNN_STATUS_SUCCESS)                                                       \
            cudnnGetLastErrorString(words_, sizeof words_);                                        \
        CHECK(status_ == CUDNN_STATUS_SUCCESS, "%s: cuDNN says %s: %s", #call,                     \
              cudnnGetErrorString(status_), words_);                                               \
    } while (0)

#endif
