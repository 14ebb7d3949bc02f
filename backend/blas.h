/* OpenBLAS, loaded at run time: the program runs without it, and its kernels are chosen before it
 * loads. */
#ifndef BACKEND_BLAS_H
#define BACKEND_BLAS_H

#include <omp.h>
#include <stdbool.h>
#include <stdint.h>

/* The values of cblas.h. */
enum { BLAS_ROW_MAJOR = 101, BLAS_PLAIN = 111, BLAS_TRANSPOSED = 112 };

typedef void blas_sgemm(int order, int turn_a, int turn_b, int m, int n, int k, float alpha,
                        const float *a, int lda, const float *b, int ldb, float beta, float *c,
                        int ldc);

struct blas {
    void *handle; /* NULL: not found */
    blas_sgemm *sgemm;
    const char *config; /* the library's own words, in its memory: version, build, kernels chosen */
    bool reentrant;     /* may several threads call at once? */
};

/* Loads libopenblas, which stays in the process from then on. The same answer every time. */
struct blas blas_open(void);

/* Each thread of a parallel region says so before its first product: from then on, to the region's
 * end, its products stay on it. The setting belongs to the thread's task, even where the region has
 * but one thread. */
static inline void blas_stay(void)
{
    omp_set_num_threads(1);
}

/* A row-major matrix in memory: a[row * stride + column]. */
struct matrix {
    const float *at;
    int64_t stride;
};

/* c[m][n] (or, with `add`, c + ) = a b, the product over k. NN: a[m][k] b[k][n]; NT: a[m][k]
 * b[n][k]; TN: a[k][m] b[k][n]. For a thread that has called blas_stay(). */
enum blas_turn { BLAS_NN, BLAS_NT, BLAS_TN };
void blas_multiply(const struct blas *b, enum blas_turn turn, int64_t m, int64_t n, int64_t k,
                   struct matrix left, struct matrix right, bool add, float *to, int64_t stride);

#endif
