/* The end of the network: the dense layer's bias, and softmax cross-entropy with label smoothing as
 * backend/softmax.c has it.
 *
 * A few kilobytes: what counts is the launch. Logits, their gradient and the sums are as exact as
 * on the CPU: double. */
#include <limits.h>

#include "backend/cudnn/kernels/sums.cuh"

template <class E>
static __global__ void add_bias(int64_t logits, int classes, int padded, const void *__restrict__ z,
                                const float *__restrict__ bias, float *__restrict__ y)
{
    const int64_t at = (int64_t)blockIdx.x * EACH_THREADS + threadIdx.x;
    if (at >= logits)
        return;
    const int64_t sample = at / classes, label = at % classes;
    y[at] = element<E>(z, sample * padded + label) + bias[label];
}

/* A block has eight classes of all samples. */
template <class E>
static __global__ void __launch_bounds__(TEAM)
    bias_back(int batch, int classes, int columns, const float *__restrict__ dy,
              const float *__restrict__ dy2, void *__restrict__ dz, float *__restrict__ dbias)
{
    __shared__ float tree[LANES][TEAM];
    const int first = blockIdx.x * LANES, thread = threadIdx.x;
    lanes sum = {};
    for (int b = thread; b < batch; b += TEAM) {
        lanes g = load_channels(dy + (int64_t)b * classes, first, classes);
        lanes more = dy2 ? load_channels(dy2 + (int64_t)b * classes, first, classes) : lanes{};
        for (int i = 0; i < LANES; i++) {
            g.of[i] += more.of[i];
            sum.of[i] += g.of[i];
        }
        store<E>(dz, (int64_t)b * columns + blockIdx.x, g);
    }
    for (int i = 0; i < LANES; i++)
        tree[i][thread] = sum.of[i];
    fold<LANES>(tree, 1);
    if (thread < LANES && first + thread < classes)
        dbias[first + thread] = tree[thread][0];
}

enum { CROWD = 128 }; /* threads of a sample */

/* What a sample adds to the batch's sums. */
struct sample {
    double loss;
    int top1, top5;
};

struct sum_of {
    template <class T> __device__ T operator()(T a, T b) const
    {
        return a + b;
    }
};

struct greater_of { /* of which a NaN is never one: it shows in the sum */
    __device__ double operator()(double a, double b) const
    {
        return b > a ? b : a;
    }
};

/* What all threads hold, put together two by two; all of them get it. */
template <class T, class How> static __device__ inline T together(T mine, How how)
{
    __shared__ T tree[CROWD];
    const int thread = threadIdx.x;
    tree[thread] = mine;
    for (int half = CROWD / 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half)
            tree[thread] = how(tree[thread], tree[thread + half]);
    }
    __syncthreads();
    const T all = tree[0];
    __syncthreads();
    return all;
}

static __device__ inline double log_sum_exp(const float *row, int classes)
{
    double greatest = -INFINITY, sum = 0;
    for (int c = threadIdx.x; c < classes; c += CROWD)
        greatest = greater_of()(greatest, row[c]);
    greatest = together(greatest, greater_of());
    for (int c = threadIdx.x; c < classes; c += CROWD)
        sum += exp(row[c] - greatest);
    return greatest + log(together(sum, sum_of()));
}

/* A block has one sample; the last to come adds them up, in their order. */
static __global__ void __launch_bounds__(CROWD)
    softmax(const float *__restrict__ logits, const int32_t *__restrict__ labels, int batch,
            int classes, float smoothing, float *__restrict__ dlogits, loss *__restrict__ sums,
            scratch *scratch)
{
    const int b = blockIdx.x, label = labels[b];
    const float *row = logits + (int64_t)b * classes;
    const double floor = (double)smoothing / classes, peak = 1.0 - smoothing,
                 all = log_sum_exp(row, classes);
    double total = 0;
    int ahead = 0; /* other classes that are not below the label's */
    for (int c = threadIdx.x; c < classes; c += CROWD) {
        total += all - row[c];
        ahead += c != label && row[c] >= row[label];
        if (dlogits)
            dlogits[(int64_t)b * classes + c] =
                (exp(row[c] - all) - floor - (c == label ? peak : 0.0)) / batch;
    }
    total = together(total, sum_of());
    ahead = isnan(all) ? INT_MAX : together(ahead, sum_of());
    sample *each = (sample *)scratch->each;
    if (threadIdx.x == 0)
        each[b] = {peak * (all - row[label]) + floor * total, ahead < 1, ahead < 5};
    if (!last_to_come(scratch->arrived, batch))
        return;
    sample sum = {};
    for (int i = threadIdx.x; i < batch; i += CROWD) {
        sum.loss += read_shared(&each[i].loss);
        sum.top1 += read_shared(&each[i].top1);
        sum.top5 += read_shared(&each[i].top5);
    }
    sum = {together(sum.loss, sum_of()), together(sum.top1, sum_of()),
           together(sum.top5, sum_of())};
    if (threadIdx.x == 0)
        *sums = {sum.loss, sum.top1, sum.top5};
}

void kernel_bias(cudaStream_t stream, enum backend_dtype type_of_z, const void *z, int batch,
                 int classes, const float *bias, float *y)
{
    const int64_t logits = (int64_t)batch * classes;
    launch(BY_TYPE(type_of_z, add_bias), each_blocks(logits), EACH_THREADS, stream, logits, classes,
           kernel_padded(classes), z, bias, y);
}

void kernel_bias_back(cudaStream_t stream, enum backend_dtype type, const float *dy,
                      const float *dy2, int batch, int classes, void *dz, float *dbias)
{
    const int columns = kernel_padded(classes) / LANES;
    launch(BY_TYPE(type, bias_back), columns, TEAM, stream, batch, classes, columns, dy, dy2, dz,
           dbias);
}

void kernel_loss(cudaStream_t stream, const float *logits, const int32_t *labels, int batch,
                 int classes, float smoothing, float *dlogits, struct loss *sums, void *scratch)
{
    launch(softmax, batch, CROWD, stream, logits, labels, batch, classes, smoothing, dlogits, sums,
           (struct scratch *)scratch);
}
