/* libopenblas by dlopen, with the kernels and the threads that suit us.
 *
 * OpenBLAS picks its kernels when it loads. 0.3.21 takes AVX2 ones on AMD's Zen 4, twice slower
 * than its AVX-512 ones, unless OPENBLAS_CORETYPE says otherwise; so that is set for the moment of
 * loading, where the user has not set it. Its own threads are never started
 * (OPENBLAS_NUM_THREADS=1): in the pthread build they would fight ours. The OpenMP build is
 * single-threaded where omp_get_max_threads() is 1, which blas_stay() sees to. */
#include "backend/blas.h"

#include <assert.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char library[] = "libopenblas.so.0";

static bool is_amd_with_avx512(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq");
#else
    return false;
#endif
}

static void *load(void)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    if (handle)
        return handle;
    const char *threads = getenv("OPENBLAS_NUM_THREADS"), *core = getenv("OPENBLAS_CORETYPE");
    char *kept = threads ? strdup(threads) : NULL;
    bool choose = !(core && *core) && is_amd_with_avx512();
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    if (choose)
        setenv("OPENBLAS_CORETYPE", "SkylakeX", 1);
    handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (choose)
        unsetenv("OPENBLAS_CORETYPE");
    if (kept)
        setenv("OPENBLAS_NUM_THREADS", kept, 1);
    else
        unsetenv("OPENBLAS_NUM_THREADS");
    free(kept);
    return handle;
}

/* dlsym's void * to a function: the way POSIX gives. */
#define FUNCTION(handle, name, to) (*(void **)&(to) = dlsym(handle, name))

struct blas blas_open(void)
{
    struct blas b = {.handle = load(), .config = "libopenblas.so.0 not found"};
    if (!b.handle)
        return b;
    char *(*config)(void);
    int (*parallel)(void);
    FUNCTION(b.handle, "cblas_sgemm", b.sgemm);
    FUNCTION(b.handle, "openblas_get_config", config);
    FUNCTION(b.handle, "openblas_get_parallel", parallel);
    if (!b.sgemm || !config || !parallel)
        return (struct blas){.config = "libopenblas.so.0 without cblas_sgemm: not OpenBLAS"};
    b.config = config();
    b.reentrant = parallel() != 0;
    return b;
}

void blas_multiply(const struct blas *b, enum blas_turn turn, int64_t m, int64_t n, int64_t k,
                   struct matrix left, struct matrix right, bool add, float *to, int64_t stride)
{
    assert(m <= INT_MAX && n <= INT_MAX && k <= INT_MAX && left.stride <= INT_MAX &&
           right.stride <= INT_MAX && stride <= INT_MAX);
    if (m > 0 && n > 0)
        b->sgemm(BLAS_ROW_MAJOR, turn == BLAS_TN ? BLAS_TRANSPOSED : BLAS_PLAIN,
                 turn == BLAS_NT ? BLAS_TRANSPOSED : BLAS_PLAIN, (int)m, (int)n, (int)k, 1, left.at,
                 (int)left.stride, right.at, (int)right.stride, add ? 1 : 0, to, (int)stride);
}
