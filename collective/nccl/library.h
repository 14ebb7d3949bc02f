/* What is called of NCCL, loaded when it is first asked for: a program that was built with NCCL
 * runs without it. */
#ifndef COLLECTIVE_NCCL_LIBRARY_H
#define COLLECTIVE_NCCL_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#include <nccl.h>

#define NCCL_CALLS(X)                                                                              \
    X(ncclGetVersion)                                                                              \
    X(ncclGetUniqueId)                                                                             \
    X(ncclCommInitRankConfig)                                                                      \
    X(ncclCommGetAsyncError)                                                                       \
    X(ncclCommFinalize)                                                                            \
    X(ncclCommDestroy)                                                                             \
    X(ncclRedOpCreatePreMulSum)                                                                    \
    X(ncclRedOpDestroy)                                                                            \
    X(ncclAllReduce)                                                                               \
    X(ncclGetErrorString)                                                                          \
    X(ncclGetLastError)

struct nccl_calls {
#define NCCL_CALL(name) __typeof__(&name) name;
    NCCL_CALLS(NCCL_CALL)
#undef NCCL_CALL
};

/* False: it is not there, or too old for one of these; `why` says so. */
bool nccl_load(struct nccl_calls *calls, char *why, size_t size);

#endif
