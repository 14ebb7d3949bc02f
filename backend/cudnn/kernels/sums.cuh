/* Sums over rows, in an order that depends on the shape alone: within a thread, up a tree in the
 * block, block after block. */
#ifndef BACKEND_CUDNN_KERNELS_SUMS_CUH
#define BACKEND_CUDNN_KERNELS_SUMS_CUH

#include "backend/cudnn/kernels/lanes.cuh"

enum {
    TEAM = 512,          /* threads of a block; a power of two */
    COLUMNS_AT_ONCE = 8, /* vectors that a block takes side by side: 128 bytes of bf16 in a row */
    MOST_BLOCKS = 132, /* one on each processor of an H200 or H100; constant: same bits elsewhere */
    MOST_GROUPS = 4096,
    AHEAD = 16 /* partial sums under way to a thread at a time */
};

/* Scratch. The head counts the blocks of each group that have come; it is zero between kernels. */
struct scratch {
    unsigned arrived[MOST_GROUPS];
    union {
        float partial[1];
        double each[1];
    };
};

/* How a plane is shared out: blocks lie side by side in `groups` of columns, and `chunks` of them
 * one after another. */
struct spread {
    int columns, wide, groups,
        chunks; /* columns: vectors in a row; wide: of a block, a power of two */
};

static inline struct spread spread_of(int64_t rows, int channels)
{
    struct spread s = {kernel_padded(channels) / LANES, 1, 0, 0};
    while (s.wide < COLUMNS_AT_ONCE && s.wide < s.columns)
        s.wide *= 2;
    s.groups = (s.columns + s.wide - 1) / s.wide;
    int tall = TEAM / s.wide, most = MOST_BLOCKS / s.groups > 1 ? MOST_BLOCKS / s.groups : 1;
    int64_t wanted = (rows + tall - 1) / tall;
    s.chunks = (int)(wanted < most ? wanted : most);
    assert(s.groups <= MOST_GROUPS);
    return s;
}

/* A thread's part: every step-th row from the first on, of one column; no row at all where there is
 * no such column. */
struct chunk_part {
    int group, chunk, column;
    int64_t first, step;
};

static __device__ inline chunk_part my_part(const spread &s)
{
    chunk_part me;
    int tall = TEAM / s.wide;
    me.group = blockIdx.x % s.groups;
    me.chunk = blockIdx.x / s.groups;
    me.column = me.group * s.wide + threadIdx.x % s.wide;
    me.first = me.column < s.columns ? (int64_t)me.chunk * tall + threadIdx.x / s.wide : INT64_MAX;
    me.step = (int64_t)s.chunks * tall;
    return me;
}

/* Adds entries t, t + wide, t + 2 wide ... of each row of the tree into entry t < wide. All threads
 * of the block call it. */
template <int N, class T> static __device__ inline void fold(T (*tree)[TEAM], int wide)
{
    const int thread = threadIdx.x;
    for (int half = TEAM / 2; half >= wide; half /= 2) {
        __syncthreads();
        if (thread < half)
            for (int i = 0; i < N; i++)
                tree[i][thread] += tree[i][thread + half];
    }
    __syncthreads();
}

/* Is this block the last of `blocks` to come? Then it sees what the others have written before. All
 * threads call it. */
static __device__ inline bool last_to_come(unsigned *arrived, unsigned blocks)
{
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0)
        last = atomicInc(arrived, blocks - 1) == blocks - 1; /* which turns it back to zero */
    __syncthreads();
    __threadfence();
    return last;
}

/* Adds what all threads hold, two sums for each of their channels. Returns, to the last block of
 * each group alone, the totals of its columns: of lane i in column c at [i x wide + c], the second
 * sums after all first ones. NULL to the other blocks. */
static __device__ inline const double *add_up(const float (&mine)[2 * LANES], const spread &s,
                                              const chunk_part &me, scratch *scratch)
{
    __shared__ float tree[2 * LANES][TEAM];
    __shared__ double total[1][TEAM];
    const int thread = threadIdx.x, each = 2 * LANES * s.wide, parts = TEAM / each;
    float *partial = scratch->partial + (int64_t)me.group * s.chunks * each;
    for (int i = 0; i < 2 * LANES; i++)
        tree[i][thread] = mine[i];
    fold<2 * LANES>(tree, s.wide);
    if (thread < each)
        partial[me.chunk * each + thread] = tree[thread / s.wide][thread % s.wide];
    if (!last_to_come(&scratch->arrived[me.group], s.chunks))
        return NULL;
    double sum = 0;
    for (int first = thread / each; first < s.chunks; first += AHEAD * parts) {
        float part[AHEAD];
        for (int k = 0; k < AHEAD; k++) {
            const int chunk = first + k * parts;
            part[k] = chunk < s.chunks ? read_shared(partial + chunk * each + thread % each) : 0;
        }
        for (int k = 0; k < AHEAD; k++)
            sum += part[k];
    }
    total[0][thread] = sum;
    fold<1>(total, each);
    return total[0];
}

#endif
