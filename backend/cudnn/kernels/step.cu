/* What a gradient does to the weights, and weighted sums: the arithmetic of optimizer/optimizer.c,
 * operation by operation.
 *
 * Bytes moved a weight: 4 for each source and 8 for w, and 8 for each state; four floats at a time
 * where all vectors begin at multiples of 16 bytes. A tail goes one by one. Never contracted to
 * fused multiply-adds, so the bits are those of the CPU. */
#include "backend/cudnn/kernels/lanes.cuh"

enum { QUAD = 4 };

struct quad {
    float of[QUAD];
};

/* Floats i .. i + 3, as many as there are. */
static __device__ inline quad get(const float *from, int64_t i, int64_t count, bool aligned)
{
    if (aligned && i + QUAD <= count) {
        const float4 v = *(const float4 *)(from + i);
        return {{v.x, v.y, v.z, v.w}};
    }
    quad v = {};
    for (int k = 0; k < QUAD; k++)
        if (i + k < count)
            v.of[k] = from[i + k];
    return v;
}

static __device__ inline void put(float *to, int64_t i, int64_t count, bool aligned, const quad &v)
{
    if (aligned && i + QUAD <= count) {
        *(float4 *)(to + i) = make_float4(v.of[0], v.of[1], v.of[2], v.of[3]);
        return;
    }
    for (int k = 0; k < QUAD; k++)
        if (i + k < count)
            to[i + k] = v.of[k];
}

static __device__ inline quad summed(const kernel_sources &s, int64_t i, int64_t count,
                                     bool aligned)
{
    quad sum = {};
    for (int from = 0; from < s.count; from++) {
        const quad v = get(s.from[from], i, count, aligned);
        for (int k = 0; k < QUAD; k++)
            sum.of[k] = from ? sum.of[k] + s.scale[from] * v.of[k] : s.scale[from] * v.of[k];
    }
    return sum;
}

static __global__ void sum_up(const __grid_constant__ kernel_sources sources, int64_t count,
                              bool aligned, float *to)
{
    const int64_t i = QUAD * ((int64_t)blockIdx.x * EACH_THREADS + threadIdx.x);
    if (i < count)
        put(to, i, count, aligned, summed(sources, i, count, aligned));
}

/* One weight's step. */
static __device__ inline void step(enum step_rule rule, const step_coefficients &p, float g,
                                   float &w, float &m, float &v)
{
    const float d = g + p.decay * w;
    switch (rule) {
    case STEP_PLAIN:
        w -= p.lr * d;
        break;
    case STEP_SGD:
        m = p.momentum * m + d;
        w -= p.lr * m;
        break;
    case STEP_NESTEROV:
        m = p.momentum * m + d;
        w -= p.lr * (d + p.momentum * m);
        break;
    case STEP_ADAM:
        m = p.beta1 * m + p.fresh1 * d;
        v = p.beta2 * v + p.fresh2 * d * d;
        w = p.keep * w - p.lr * m / (sqrtf(v) + p.epsilon);
        break;
    case STEP_ADAGRAD:
        m += d * d;
        w -= p.lr * d / (sqrtf(m) + p.epsilon);
        break;
    }
}

/* The first no_decay range that does not end before `at`. */
static __device__ inline int spared_from(const range *no_decay, int count, int64_t at)
{
    int low = 0, high = count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (no_decay[middle].to <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static __global__ void update(const __grid_constant__ kernel_update u,
                              const __grid_constant__ kernel_sources sources, int64_t count,
                              bool aligned)
{
    const int64_t i = QUAD * ((int64_t)blockIdx.x * EACH_THREADS + threadIdx.x);
    if (i >= count)
        return;
    const quad g = summed(sources, i, count, aligned);
    quad w = get(u.w, i, count, aligned), m = {}, v = {};
    if (u.m)
        m = get(u.m, i, count, aligned);
    if (u.v)
        v = get(u.v, i, count, aligned);
    int no_decay = spared_from(u.no_decay, u.no_decay_count, u.from + i);
    for (int k = 0; k < QUAD; k++) {
        const int64_t at = u.from + i + k;
        while (no_decay < u.no_decay_count && u.no_decay[no_decay].to <= at)
            no_decay++;
        const bool decays = no_decay == u.no_decay_count || at < u.no_decay[no_decay].from;
        step(u.rule, u.step_coefficients[decays], g.of[k], w.of[k], m.of[k], v.of[k]);
    }
    put(u.w, i, count, aligned, w);
    if (u.m)
        put(u.m, i, count, aligned, m);
    if (u.v)
        put(u.v, i, count, aligned, v);
    if (u.g)
        put(u.g, i, count, aligned, g);
}

static bool aligned(const void *p)
{
    return (uintptr_t)p % (QUAD * sizeof(float)) == 0;
}

static bool all_aligned(const struct kernel_sources *s)
{
    bool all = true;
    for (int i = 0; i < s->count; i++)
        all = all && aligned(s->from[i]);
    return all;
}

void kernel_sum(cudaStream_t stream, const struct kernel_sources *sources, int64_t count, float *to)
{
    assert(sources->count >= 0 && sources->count <= KERNEL_SOURCES);
    launch(sum_up, each_blocks((count + QUAD - 1) / QUAD), EACH_THREADS, stream, *sources, count,
           all_aligned(sources) && aligned(to), to);
}

void kernel_step(cudaStream_t stream, const struct kernel_update *u,
                 const struct kernel_sources *sources, int64_t count)
{
    assert(sources->count >= 0 && sources->count <= KERNEL_SOURCES);
    bool all =
        all_aligned(sources) && aligned(u->w) && aligned(u->m) && aligned(u->v) && aligned(u->g);
    launch(update, each_blocks((count + QUAD - 1) / QUAD), EACH_THREADS, stream, *u, *sources,
           count, all);
}
