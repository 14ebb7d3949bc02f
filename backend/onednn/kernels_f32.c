/* The loops of kernels.inc over float32, for whatever machine, and the choice among all tables. */
#define BF16 false
#define KERNEL CLONES
#define TABLE kernels_f32
#include "backend/onednn/kernels.inc"

static bool narrow(void)
{
#ifdef __x86_64__
    return !__builtin_cpu_supports("avx512f");
#else
    return false;
#endif
}

const struct kernels *kernels_for(bool bf16)
{
    return bf16 ? &kernels_bf16 : narrow() ? &kernels_f32_narrow : &kernels_f32;
}
