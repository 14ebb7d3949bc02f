/* Three streams: up, the library's, down; so a piece goes up while the one before it is summed, and
 * the one before that comes down. */
#include "backend/device_buffer.h"

#include <stdio.h>

#include "backend/cudnn/check.h"
#include "backend/cudnn/device.h"
#include "base/alloc.h"

struct twin {
    float *there;
    cudaStream_t up, queue, down;
    cudaEvent_t risen, summed,
        fallen;  /* the latest of each; `fallen` is behind all the others ... */
    bool marked; /* ... once it has been recorded since something was asked for */
};

static void name(int number, char *text, size_t size)
{
    char id[32] = "";
    CUDA(cudaDeviceGetPCIBusId(id, sizeof id, cuda_choose(number)));
    snprintf(text, size, "GPU %s", id);
}

static struct twin *twin_open(int number, int64_t count)
{
    struct twin *t = xcalloc(1, sizeof *t);
    cudaStream_t *streams[] = {&t->up, &t->queue, &t->down};
    cudaEvent_t *events[] = {&t->risen, &t->summed, &t->fallen};
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
    t->there = block;
    return t;
}

static void twin_close(struct twin *t)
{
    CUDA(cudaStreamSynchronize(t->up));
    CUDA(cudaStreamSynchronize(t->queue));
    CUDA(cudaStreamSynchronize(t->down));
    CUDA(cudaFree(t->there));
    CUDA(cudaEventDestroy(t->risen));
    CUDA(cudaEventDestroy(t->summed));
    CUDA(cudaEventDestroy(t->fallen));
    CUDA(cudaStreamDestroy(t->up));
    CUDA(cudaStreamDestroy(t->queue));
    CUDA(cudaStreamDestroy(t->down));
    xfree(t);
}

static float *there(struct twin *t)
{
    return t->there;
}

static void *queue(struct twin *t)
{
    return t->queue;
}

static void up(struct twin *t, const float *vector, int64_t from, int64_t count)
{
    CUDA(cudaMemcpyAsync(t->there + from, vector + from, (size_t)count * sizeof *vector,
                         cudaMemcpyHostToDevice, t->up));
    CUDA(cudaEventRecord(t->risen, t->up));
    CUDA(cudaStreamWaitEvent(t->queue, t->risen, 0));
    t->marked = false;
}

static void down(struct twin *t, float *vector, int64_t from, int64_t count)
{
    CUDA(cudaEventRecord(t->summed, t->queue));
    CUDA(cudaStreamWaitEvent(t->down, t->summed, 0));
    CUDA(cudaMemcpyAsync(vector + from, t->there + from, (size_t)count * sizeof *vector,
                         cudaMemcpyDeviceToHost, t->down));
    t->marked = false;
}

/* What went up and did not come down is waited for, too. */
static bool reached(struct twin *t)
{
    if (!t->marked) {
        CUDA(cudaEventRecord(t->summed, t->queue));
        CUDA(cudaStreamWaitEvent(t->down, t->summed, 0));
        CUDA(cudaEventRecord(t->fallen, t->down));
    }
    t->marked = true;
    cudaError_t error = cudaEventQuery(t->fallen);
    if (error == cudaErrorNotReady)
        (void)cudaGetLastError(); /* an answer, not a failure */
    else
        CUDA(error);
    return error == cudaSuccess;
}

const struct twin_kind cuda_twin = {
    .name = name,
    .open = twin_open,
    .close = twin_close,
    .there = there,
    .queue = queue,
    .up = up,
    .down = down,
    .reached = reached,
};
