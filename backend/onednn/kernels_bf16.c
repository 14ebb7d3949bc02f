/* The loops of kernels.inc over bf16, which only machines with AVX-512 BF16 are asked to run
 * (library_has_bf16). */
#ifdef __x86_64__
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")
#endif
#define BF16 true
#define KERNEL
#define TABLE kernels_bf16
#include "backend/onednn/kernels.inc"
