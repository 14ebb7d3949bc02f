/* Pools and the shortcut without weights (He et al. 2015, option A): a thread makes eight channels
 * of one pixel.
 *
 * Bytes moved are those of x and y, once each; windows that overlap are read from the caches. The
 * backward gathers: a thread asks who took its pixel, so nothing is added by two threads. */
#include "backend/cudnn/kernels/lanes.cuh"

struct window {
    uint32_t in_h, in_w, out_h, out_w, columns;
    int kernel, stride, pad;

    explicit window(const struct unit_shape *s)
        : in_h(s->in_h), in_w(s->in_w), out_h(s->out_h), out_w(s->out_w),
          columns(kernel_padded(s->in_c) / LANES), kernel(s->kernel), stride(s->stride), pad(s->pad)
    {
    }
};

static int64_t vectors_in(const struct unit_shape *s)
{
    return (int64_t)s->batch * s->in_h * s->in_w * (kernel_padded(s->in_c) / LANES);
}

static int64_t vectors_out(const struct unit_shape *s)
{
    return (int64_t)s->batch * s->out_h * s->out_w * (kernel_padded(s->out_c) / LANES);
}

struct alignas(LANES) taps { /* which one of a window was taken */
    uint8_t of[LANES];
};

template <class E>
static __global__ void max_pool(window w, uint32_t vectors, const void *__restrict__ x,
                                void *__restrict__ y, taps *__restrict__ taken)
{
    const uint32_t at = my_vector();
    if (at >= vectors)
        return;
    const place o = place_of(at, w.out_h, w.out_w, w.columns);
    lanes best = {};
    taps which = {};
    bool none = true;
    for (int tap = 0; tap < w.kernel * w.kernel; tap++) {
        const uint32_t iy = o.y * w.stride + tap / w.kernel - w.pad,
                       ix = o.x * w.stride + tap % w.kernel - w.pad;
        if (iy >= w.in_h || ix >= w.in_w) /* a negative one is huge */
            continue;
        const lanes v = load<E>(x, vector_at(o.image, iy, ix, o.column, w.in_h, w.in_w, w.columns));
        for (int i = 0; i < LANES; i++)
            if (none || v.of[i] > best.of[i] || v.of[i] != v.of[i]) {
                best.of[i] = v.of[i];
                which.of[i] = tap;
            }
        none = false;
    }
    store<E>(y, at, best);
    if (taken)
        taken[at] = which;
}

template <class E>
static __global__ void max_pool_back(window w, uint32_t vectors, const taps *__restrict__ taken,
                                     const void *__restrict__ dy, const void *__restrict__ dy2,
                                     void *__restrict__ dx)
{
    const uint32_t at = my_vector();
    if (at >= vectors)
        return;
    const place in = place_of(at, w.in_h, w.in_w, w.columns);
    lanes sum = {};
    for (int tap = 0; tap < w.kernel * w.kernel; tap++) {
        const int below = in.y + w.pad - tap / w.kernel, right = in.x + w.pad - tap % w.kernel;
        const uint32_t oy = below / w.stride, ox = right / w.stride;
        if (below < 0 || right < 0 || below % w.stride || right % w.stride || oy >= w.out_h ||
            ox >= w.out_w)
            continue;
        const int64_t from = vector_at(in.image, oy, ox, in.column, w.out_h, w.out_w, w.columns);
        const taps which = taken[from];
        const lanes v = load_sum<E>(true, dy, dy2, from);
        for (int i = 0; i < LANES; i++)
            sum.of[i] += which.of[i] == tap ? v.of[i] : 0;
    }
    store<E>(dx, at, sum);
}

/* mean_window() of backend/mean_pool.h. */
struct span {
    uint32_t first, end;
};

static __device__ inline span mean_span(uint32_t i, uint32_t from_size, uint32_t to_size)
{
    return {i * from_size / to_size, ((i + 1) * from_size + to_size - 1) / to_size};
}

template <class E>
static __global__ void mean_pool(window w, uint32_t vectors, const void *__restrict__ x,
                                 void *__restrict__ y)
{
    const uint32_t at = my_vector();
    if (at >= vectors)
        return;
    const place o = place_of(at, w.out_h, w.out_w, w.columns);
    const span rows = mean_span(o.y, w.in_h, w.out_h), columns = mean_span(o.x, w.in_w, w.out_w);
    lanes sum = {};
    for (uint32_t iy = rows.first; iy < rows.end; iy++)
        for (uint32_t ix = columns.first; ix < columns.end; ix++) {
            const lanes v =
                load<E>(x, vector_at(o.image, iy, ix, o.column, w.in_h, w.in_w, w.columns));
            for (int i = 0; i < LANES; i++)
                sum.of[i] += v.of[i];
        }
    for (int i = 0; i < LANES; i++)
        sum.of[i] /= (rows.end - rows.first) * (columns.end - columns.first);
    store<E>(y, at, sum);
}

template <class E>
static __global__ void mean_pool_back(window w, uint32_t vectors, const void *__restrict__ dy,
                                      const void *__restrict__ dy2, void *__restrict__ dx)
{
    const uint32_t at = my_vector();
    if (at >= vectors)
        return;
    const place in = place_of(at, w.in_h, w.in_w, w.columns);
    const span over = mean_span(in.y, w.out_h, w.in_h), across = mean_span(in.x, w.out_w, w.in_w);
    lanes sum = {};
    for (uint32_t oy = over.first; oy < over.end; oy++)
        for (uint32_t ox = across.first; ox < across.end; ox++) {
            const span rows = mean_span(oy, w.in_h, w.out_h),
                       columns = mean_span(ox, w.in_w, w.out_w);
            const lanes v = load_sum<E>(
                true, dy, dy2, vector_at(in.image, oy, ox, in.column, w.out_h, w.out_w, w.columns));
            for (int i = 0; i < LANES; i++)
                sum.of[i] += v.of[i] / ((rows.end - rows.first) * (columns.end - columns.first));
        }
    store<E>(dx, at, sum);
}

/* Every stride-th pixel of x; the channels that x does not have are zero. */
template <class E>
static __global__ void shortcut(window w, uint32_t out_columns, uint32_t vectors,
                                const void *__restrict__ x, void *__restrict__ y)
{
    const uint32_t at = my_vector();
    if (at >= vectors)
        return;
    const place o = place_of(at, w.out_h, w.out_w, out_columns);
    lanes v = {};
    if (o.column < w.columns)
        v = load<E>(x, vector_at(o.image, o.y * w.stride, o.x * w.stride, o.column, w.in_h, w.in_w,
                                 w.columns));
    store<E>(y, at, v);
}

template <class E>
static __global__ void shortcut_back(window w, uint32_t out_columns, int channels, uint32_t vectors,
                                     const void *__restrict__ dy, const void *__restrict__ dy2,
                                     void *__restrict__ dx)
{
    const uint32_t at = my_vector();
    if (at >= vectors)
        return;
    const place in = place_of(at, w.in_h, w.in_w, w.columns);
    lanes v = {};
    if (in.y % w.stride == 0 && in.x % w.stride == 0)
        v = load_sum<E>(true, dy, dy2,
                        vector_at(in.image, in.y / w.stride, in.x / w.stride, in.column, w.out_h,
                                  w.out_w, out_columns));
    for (int i = 0; i < LANES; i++) /* what is padding in x is a channel in y */
        v.of[i] = (int)in.column * LANES + i < channels ? v.of[i] : 0;
    store<E>(dx, at, v);
}

void kernel_max_pool(cudaStream_t stream, enum backend_dtype type, const struct unit_shape *shape,
                     const void *x, void *y, uint8_t *taken)
{
    const int64_t vectors = vectors_out(shape);
    assert(shape->kernel * shape->kernel <= UINT8_MAX + 1);
    launch(BY_TYPE(type, max_pool), each_blocks(vectors), EACH_THREADS, stream, window(shape),
           (uint32_t)vectors, x, y, (taps *)taken);
}

void kernel_max_pool_back(cudaStream_t stream, enum backend_dtype type,
                          const struct unit_shape *shape, const uint8_t *taken, const void *dy,
                          const void *dy2, void *dx)
{
    const int64_t vectors = vectors_in(shape);
    launch(BY_TYPE(type, max_pool_back), each_blocks(vectors), EACH_THREADS, stream, window(shape),
           (uint32_t)vectors, (const taps *)taken, dy, dy2, dx);
}

void kernel_mean_pool(cudaStream_t stream, enum backend_dtype type, const struct unit_shape *shape,
                      const void *x, void *y)
{
    const int64_t vectors = vectors_out(shape);
    launch(BY_TYPE(type, mean_pool), each_blocks(vectors), EACH_THREADS, stream, window(shape),
           (uint32_t)vectors, x, y);
}

void kernel_mean_pool_back(cudaStream_t stream, enum backend_dtype type,
                           const struct unit_shape *shape, const void *dy, const void *dy2,
                           void *dx)
{
    const int64_t vectors = vectors_in(shape);
    launch(BY_TYPE(type, mean_pool_back), each_blocks(vectors), EACH_THREADS, stream, window(shape),
           (uint32_t)vectors, dy, dy2, dx);
}

void kernel_shortcut(cudaStream_t stream, enum backend_dtype type, const struct unit_shape *shape,
                     const void *x, void *y)
{
    const int64_t vectors = vectors_out(shape);
    launch(BY_TYPE(type, shortcut), each_blocks(vectors), EACH_THREADS, stream, window(shape),
           (uint32_t)kernel_padded(shape->out_c) / LANES, (uint32_t)vectors, x, y);
}

void kernel_shortcut_back(cudaStream_t stream, enum backend_dtype type,
                          const struct unit_shape *shape, const void *dy, const void *dy2, void *dx)
{
    const int64_t vectors = vectors_in(shape);
    launch(BY_TYPE(type, shortcut_back), each_blocks(vectors), EACH_THREADS, stream, window(shape),
           (uint32_t)kernel_padded(shape->out_c) / LANES, shape->in_c, (uint32_t)vectors, dy, dy2,
           dx);
}
