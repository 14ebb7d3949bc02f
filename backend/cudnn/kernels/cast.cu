/* From float32 in the host's order to elements with padded channels, and back. Bytes moved per
 * float: 4 and an element's. */
#include "backend/cudnn/kernels/lanes.cuh"

template <class E>
static __global__ void cast(const float *__restrict__ from, uint32_t filled, int columns,
                            int channels, uint32_t vectors, void *__restrict__ to)
{
    const uint32_t at = my_vector();
    if (at >= vectors)
        return;
    const int channel = at % columns * LANES;
    store<E>(to, at,
             at < filled
                 ? load_channels(from + (int64_t)(at / columns) * channels, channel, channels)
                 : lanes{});
}

template <class E>
static __global__ void cast_back(const void *__restrict__ from, int columns, int channels,
                                 uint32_t vectors, float *__restrict__ to)
{
    const uint32_t at = my_vector();
    if (at >= vectors)
        return;
    const int channel = at % columns * LANES;
    const lanes v = load<E>(from, at);
    to += (int64_t)(at / columns) * channels + channel;
    for (int i = 0; i < LANES; i++)
        if (channel + i < channels)
            to[i] = v.of[i];
}

/* A block per image, a thread per pixel: its channels are one vector. */
template <class E>
static __global__ void images(kernel_dataset dataset, const crop *__restrict__ crops,
                              void *__restrict__ to)
{
    const int width = dataset.width, height = dataset.height, pixels = width * height;
    const crop wanted = crops[blockIdx.x];
    const uint8_t *image = dataset.pixels + (int64_t)wanted.sample * dataset.channels * pixels;
    for (int pixel = threadIdx.x; pixel < pixels; pixel += EACH_THREADS) {
        const int x = pixel % width, row = pixel / width + wanted.down,
                  column = (wanted.mirror ? width - 1 - x : x) + wanted.right;
        const bool inside = 0 <= row && row < height && 0 <= column && column < width;
        lanes v = {};
        for (int c = 0; c < LANES; c++)
            if (c < dataset.channels) /* black outside */
                v.of[c] = dataset.levels[c * 256 +
                                         (inside ? image[(c * height + row) * width + column] : 0)];
        store<E>(to, (int64_t)blockIdx.x * pixels + pixel, v);
    }
}

void kernel_cast(cudaStream_t stream, enum backend_dtype type, const float *from, int64_t rows,
                 int channels, int64_t to_rows, void *to)
{
    const int columns = kernel_padded(channels) / LANES;
    assert(rows <= to_rows);
    launch(BY_TYPE(type, cast), each_blocks(to_rows * columns), EACH_THREADS, stream, from,
           (uint32_t)(rows * columns), columns, channels, (uint32_t)(to_rows * columns), to);
}

void kernel_cast_back(cudaStream_t stream, enum backend_dtype type, const void *from, int64_t rows,
                      int channels, float *to)
{
    const int columns = kernel_padded(channels) / LANES;
    launch(BY_TYPE(type, cast_back), each_blocks(rows * columns), EACH_THREADS, stream, from,
           columns, channels, (uint32_t)(rows * columns), to);
}

void kernel_images(cudaStream_t stream, enum backend_dtype type,
                   const struct kernel_dataset *dataset, const struct crop *crops, int batch,
                   void *to)
{
    assert(dataset->channels <= LANES);
    launch(BY_TYPE(type, images), batch, EACH_THREADS, stream, *dataset, crops, to);
}
