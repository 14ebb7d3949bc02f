/* Batch normalisation (Ioffe and Szegedy 2015) with what follows it, + skip and ReLU: forward and
 * back in two passes each.
 *
 * Bytes moved an element of bf16: measure reads 2; apply reads 2, and 2 of skip, and writes 2; sums
 * read dy, dy2, z, and y where there is a skip, and write dskip; gradient reads z and dskip
 * (without a skip dy and dy2 again) and writes dz. Statistics are sums of z - z0 and its square, z0
 * being the channel's first pixel: no cancellation where the mean is far from zero. A thread keeps
 * to its eight channels, whose coefficients stay in registers, and loads a BATCH of rows before it
 * works on any of them: memory wants some 25 KB under way on each processor. */
#include "backend/cudnn/kernels/sums.cuh"

enum { BATCH = 4 };

static const __device__ double epsilon = 1e-5;

/* The channel whose sums add_up() has left at `at` for this group. */
static __device__ inline int channel_of(const spread &s, const chunk_part &me, int at)
{
    return (me.group * s.wide + at % s.wide) * LANES + at / s.wide;
}

template <class E>
static __global__ void __launch_bounds__(TEAM)
    measure(int64_t rows, int channels, spread s, const void *__restrict__ z, kernel_statistics to,
            scratch *scratch)
{
    const chunk_part me = my_part(s);
    const lanes origin = me.column < s.columns ? load<E>(z, me.column) : lanes{};
    float sum[2 * LANES] = {};
    for (int64_t row = me.first; row < rows; row += BATCH * me.step) {
        lanes v[BATCH];
        for (int k = 0; k < BATCH; k++)
            v[k] = load_if<E>(row + k * me.step < rows, z,
                              (row + k * me.step) * s.columns + me.column);
        for (int k = 0; k < BATCH; k++)
            for (int i = 0; i < LANES; i++) {
                float shifted = row + k * me.step < rows ? v[k].of[i] - origin.of[i] : 0;
                sum[i] += shifted;
                sum[LANES + i] += shifted * shifted;
            }
    }
    const double *total = add_up(sum, s, me, scratch);
    const int at = threadIdx.x, channel = channel_of(s, me, at);
    if (!total || at >= LANES * s.wide || channel >= channels)
        return;
    double shift = total[at] / rows, spread = total[LANES * s.wide + at] / rows - shift * shift;
    double mean = element<E>(z, channel) + shift,
           variance = spread < 0 ? 0 : spread; /* a NaN stays one */
    to.mean[channel] = mean;
    to.inverse[channel] = 1 / sqrt(variance + epsilon);
    if (to.batch_mean)
        to.batch_mean[channel] = mean;
    if (to.batch_variance)
        to.batch_variance[channel] = variance;
}

/* v = (z - mean) scale + beta, of a thread's channels. */
struct coefficients {
    lanes mean, inverse, scale, beta;
};

static __device__ inline coefficients coefficients_of(const kernel_norm &n, int channel,
                                                      int channels)
{
    coefficients c = {};
    if (!n.gamma) {
        for (int i = 0; i < LANES; i++)
            c.scale.of[i] = 1;
        return c;
    }
    c.mean = load_channels(n.mean, channel, channels);
    c.beta = load_channels(n.beta, channel, channels);
    c.inverse = load_channels(n.inverse ? n.inverse : n.variance, channel, channels);
    c.scale = load_channels(n.gamma, channel, channels);
    for (int i = 0; i < LANES; i++) {
        if (!n.inverse)
            c.inverse.of[i] = 1 / sqrtf(c.inverse.of[i] + (float)epsilon);
        c.scale.of[i] *= c.inverse.of[i];
    }
    return c;
}

static __device__ inline float normalised(const coefficients &c, int lane, float z)
{
    return (z - c.mean.of[lane]) * c.scale.of[lane] + c.beta.of[lane];
}

/* The comparison lets a NaN through: a diverged run must be seen in the loss. */
template <class E>
static __global__ void __launch_bounds__(TEAM)
    apply(int64_t rows, int channels, spread s, kernel_norm norm, const void *__restrict__ z,
          const void *__restrict__ skip, bool relu, void *__restrict__ y)
{
    const chunk_part me = my_part(s);
    const coefficients c = coefficients_of(norm, me.column * LANES, channels);
    for (int64_t row = me.first; row < rows; row += BATCH * me.step) {
        lanes v[BATCH], more[BATCH];
        for (int k = 0; k < BATCH; k++) {
            const int64_t there = row + k * me.step, at = there * s.columns + me.column;
            v[k] = load_if<E>(there < rows, z, at);
            more[k] = load_if<E>(there < rows && skip, skip, at);
        }
        for (int k = 0; k < BATCH; k++) {
            for (int i = 0; i < LANES; i++) {
                float sum = normalised(c, i, v[k].of[i]) + more[k].of[i];
                v[k].of[i] = relu && sum < 0 ? 0 : sum;
            }
            if (row + k * me.step < rows)
                store<E>(y, (row + k * me.step) * s.columns + me.column, v[k]);
        }
    }
}

/* PAIR rows of z and of the gradient g that gets through ReLU there; zero after the last row. */
enum { PAIR = 2 };

struct output_gradient {
    lanes z[PAIR], g[PAIR];
};

template <class E>
static __device__ inline output_gradient
load_output_gradient(const chunk_part &me, int64_t row, int64_t rows, int columns,
                     const coefficients &c, const void *z, const void *dy, const void *dy2,
                     const void *y, bool relu)
{
    output_gradient a;
    lanes out[PAIR];
    for (int k = 0; k < PAIR; k++) {
        const int64_t there = row + k * me.step, at = there * columns + me.column;
        a.z[k] = load_if<E>(there < rows, z, at);
        a.g[k] = load_sum<E>(there < rows, dy, dy2, at);
        out[k] = load_if<E>(there < rows && y, y, at);
    }
    for (int k = 0; k < PAIR; k++)
        for (int i = 0; i < LANES; i++) {
            float seen = y ? out[k].of[i] : normalised(c, i, a.z[k].of[i]);
            a.g[k].of[i] = relu && seen <= 0 ? 0 : a.g[k].of[i];
        }
    return a;
}

/* Sums of g and g (z - mean); of g as dskip keeps it for the second pass, so that dz sums to
 * nothing. */
template <class E>
static __global__ void __launch_bounds__(TEAM)
    sums(int64_t rows, int channels, spread s, kernel_norm norm, const void *__restrict__ z,
         const void *__restrict__ dy, const void *__restrict__ dy2, const void *__restrict__ y,
         bool relu, void *__restrict__ dskip, float *dgamma, float *dbeta, scratch *scratch)
{
    const chunk_part me = my_part(s);
    const coefficients c = coefficients_of(norm, me.column * LANES, channels);
    float sum[2 * LANES] = {};
    for (int64_t row = me.first; row < rows; row += PAIR * me.step) {
        output_gradient a =
            load_output_gradient<E>(me, row, rows, s.columns, c, z, dy, dy2, y, relu);
        for (int k = 0; k < PAIR; k++) {
            if (dskip)
                a.g[k] = rounded<E>(a.g[k]);
            for (int i = 0; i < LANES; i++) {
                sum[i] += a.g[k].of[i];
                sum[LANES + i] += a.g[k].of[i] * (a.z[k].of[i] - c.mean.of[i]);
            }
            if (dskip && row + k * me.step < rows)
                store<E>(dskip, (row + k * me.step) * s.columns + me.column, a.g[k]);
        }
    }
    const double *total = add_up(sum, s, me, scratch);
    const int at = threadIdx.x, channel = channel_of(s, me, at);
    if (!total || at >= LANES * s.wide || channel >= channels)
        return;
    dbeta[channel] = total[at];
    dgamma[channel] = total[LANES * s.wide + at] * norm.inverse[channel];
}

/* dz = scale (g - dbeta / rows - (z - mean) inverse dgamma / rows): the batch's mean and deviation
 * depend on every pixel. */
template <class E>
static __global__ void __launch_bounds__(TEAM)
    gradient(int64_t rows, int channels, spread s, kernel_norm norm, const void *__restrict__ z,
             const void *__restrict__ dy, const void *__restrict__ dy2, const void *__restrict__ y,
             bool relu, const float *__restrict__ dgamma, const float *__restrict__ dbeta,
             void *__restrict__ dz)
{
    const chunk_part me = my_part(s);
    const coefficients c = coefficients_of(norm, me.column * LANES, channels);
    lanes from_z = load_channels(dgamma, me.column * LANES, channels),
          constant = load_channels(dbeta, me.column * LANES, channels);
    for (int i = 0; i < LANES; i++) {
        from_z.of[i] *= -c.scale.of[i] * c.inverse.of[i] / rows;
        constant.of[i] *= -c.scale.of[i] / rows;
    }
    for (int64_t row = me.first; row < rows; row += PAIR * me.step) {
        output_gradient a =
            load_output_gradient<E>(me, row, rows, s.columns, c, z, dy, dy2, y, relu);
        for (int k = 0; k < PAIR; k++) {
            for (int i = 0; i < LANES; i++)
                a.g[k].of[i] = c.scale.of[i] * a.g[k].of[i] +
                               ((a.z[k].of[i] - c.mean.of[i]) * from_z.of[i] + constant.of[i]);
            if (row + k * me.step < rows)
                store<E>(dz, (row + k * me.step) * s.columns + me.column, a.g[k]);
        }
    }
}

template <class E>
static __global__ void mask(uint32_t vectors, const void *__restrict__ dy,
                            const void *__restrict__ dy2, const void *__restrict__ y,
                            void *__restrict__ dz)
{
    const uint32_t at = my_vector();
    if (at >= vectors)
        return;
    lanes g = load_sum<E>(true, dy, dy2, at);
    if (y) {
        lanes out = load<E>(y, at);
        for (int i = 0; i < LANES; i++)
            g.of[i] = out.of[i] <= 0 ? 0 : g.of[i];
    }
    store<E>(dz, at, g);
}

void kernel_norm_measure(cudaStream_t stream, struct kernel_plane p, const void *z,
                         struct kernel_statistics to, void *scratch)
{
    const spread s = spread_of(p.rows, p.channels);
    launch(BY_TYPE(p.type, measure), (int64_t)s.groups * s.chunks, TEAM, stream, p.rows, p.channels,
           s, z, to, (struct scratch *)scratch);
}

void kernel_apply(cudaStream_t stream, struct kernel_plane p, const struct kernel_norm *norm,
                  const void *z, const void *skip, bool relu, void *y)
{
    const spread s = spread_of(p.rows, p.channels);
    launch(BY_TYPE(p.type, apply), (int64_t)s.groups * s.chunks, TEAM, stream, p.rows, p.channels,
           s, norm ? *norm : kernel_norm{}, z, skip, relu, y);
}

void kernel_norm_sums(cudaStream_t stream, struct kernel_plane p, const struct kernel_norm *norm,
                      const void *z, const struct kernel_output_gradient *in, void *dskip,
                      float *dgamma, float *dbeta, void *scratch)
{
    const spread s = spread_of(p.rows, p.channels);
    launch(BY_TYPE(p.type, sums), (int64_t)s.groups * s.chunks, TEAM, stream, p.rows, p.channels, s,
           *norm, z, in->dy, in->dy2, in->relu ? in->y : NULL, in->relu, dskip, dgamma, dbeta,
           (struct scratch *)scratch);
}

void kernel_norm_gradient(cudaStream_t stream, struct kernel_plane p,
                          const struct kernel_norm *norm, const void *z,
                          const struct kernel_output_gradient *in, const float *dgamma,
                          const float *dbeta, void *dz)
{
    const spread s = spread_of(p.rows, p.channels);
    launch(BY_TYPE(p.type, gradient), (int64_t)s.groups * s.chunks, TEAM, stream, p.rows,
           p.channels, s, *norm, z, in->dy, in->dy2, in->relu ? in->y : NULL, in->relu, dgamma,
           dbeta, dz);
}

void kernel_mask(cudaStream_t stream, struct kernel_plane p,
                 const struct kernel_output_gradient *in, void *dz)
{
    const int64_t vectors = p.rows * (kernel_padded(p.channels) / LANES);
    launch(BY_TYPE(p.type, mask), each_blocks(vectors), EACH_THREADS, stream, (uint32_t)vectors,
           in->dy, in->dy2, in->relu ? in->y : NULL, dz);
}

size_t kernel_scratch_bytes(int channels, int batch)
{
    const int groups = (kernel_padded(channels) / LANES + COLUMNS_AT_ONCE - 1) / COLUMNS_AT_ONCE;
    const size_t blocks = groups > MOST_BLOCKS ? groups : MOST_BLOCKS;
    const size_t sums = blocks * 2 * LANES * COLUMNS_AT_ONCE * sizeof(float),
                 samples = (size_t)batch * 2 * sizeof(double);
    return offsetof(scratch, partial) + (sums > samples ? sums : samples);
}
