/* Three streams: uploads, the library's, downloads; so a piece goes up while the one before it is
 * summed, and the one before that comes down. */
#include "backend/device.h"

#include <stdio.h>

#include "backend/cudnn/check.h"
#include "backend/cudnn/device.h"
#include "base/alloc.h"

struct device_buffer {
    float *data;
    cudaStream_t up, sums, down;
    cudaEvent_t uploaded, summed; /* the latest of each */
    cudaEvent_t downloaded;       /* comes after all the others ... */
    bool marked;                  /* ... once it has been recorded since something was queued */
};

static void name(int number, char *text, size_t size)
{
    char id[32] = "";
    CUDA(cudaDeviceGetPCIBusId(id, sizeof id, cuda_choose(number)));
    snprintf(text, size, "GPU %s", id);
}

static struct device_buffer *buffer_open(int number, int64_t count)
{
    struct device_buffer *b = xcalloc(1, sizeof *b);
    cudaStream_t *streams[] = {&b->up, &b->sums, &b->down};
    cudaEvent_t *events[] = {&b->uploaded, &b->summed, &b->downloaded};
    int gpu = cuda_choose(number);
    void *block = NULL;
    for (int i = 0; i < 3; i++) {
        CUDA(cudaStreamCreateWithFlags(streams[i], cudaStreamNonBlocking));
        CUDA(cudaEventCreateWithFlags(events[i], cudaEventDisableTiming));
    }
    cudaError_t error = cudaMalloc(&block, (size_t)count * sizeof(float));
    CHECK(error == cudaSuccess,
          "no memory on GPU %d for a sum of %lld floats (%s): use --allreduce direct or ring", gpu,
          (long long)count, cudaGetErrorString(error));
    b->data = block;
    return b;
}

static void buffer_close(struct device_buffer *b)
{
    cudaStream_t streams[] = {b->up, b->sums, b->down};
    cudaEvent_t events[] = {b->uploaded, b->summed, b->downloaded};
    for (int i = 0; i < 3; i++)
        CUDA(cudaStreamSynchronize(streams[i]));
    CUDA(cudaFree(b->data));
    for (int i = 0; i < 3; i++) {
        CUDA(cudaEventDestroy(events[i]));
        CUDA(cudaStreamDestroy(streams[i]));
    }
    xfree(b);
}

static float *data(struct device_buffer *b)
{
    return b->data;
}

static void *stream(struct device_buffer *b)
{
    return b->sums;
}

static void upload(struct device_buffer *b, const float *vector, int64_t from, int64_t count)
{
    CUDA(cudaMemcpyAsync(b->data + from, vector + from, (size_t)count * sizeof *vector,
                         cudaMemcpyHostToDevice, b->up));
    CUDA(cudaEventRecord(b->uploaded, b->up));
    CUDA(cudaStreamWaitEvent(b->sums, b->uploaded, 0));
    b->marked = false;
}

static void download(struct device_buffer *b, float *vector, int64_t from, int64_t count)
{
    CUDA(cudaEventRecord(b->summed, b->sums));
    CUDA(cudaStreamWaitEvent(b->down, b->summed, 0));
    CUDA(cudaMemcpyAsync(vector + from, b->data + from, (size_t)count * sizeof *vector,
                         cudaMemcpyDeviceToHost, b->down));
    b->marked = false;
}

/* What went up and did not come down is waited for, too. */
static bool is_done(struct device_buffer *b)
{
    if (!b->marked) {
        CUDA(cudaEventRecord(b->summed, b->sums));
        CUDA(cudaStreamWaitEvent(b->down, b->summed, 0));
        CUDA(cudaEventRecord(b->downloaded, b->down));
    }
    b->marked = true;
    return cuda_event_is_done(b->downloaded);
}

const struct device_buffer_kind cuda_device_buffer = {
    .name = name,
    .open = buffer_open,
    .close = buffer_close,
    .data = data,
    .stream = stream,
    .upload = upload,
    .download = download,
    .is_done = is_done,
};
