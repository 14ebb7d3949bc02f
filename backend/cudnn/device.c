/* Streams, memory, copies and recorded segments of one GPU.
 *
 * Waiting for the device sleeps (cudaDeviceScheduleBlockingSync): a rank that waits takes no core
 * from one that works. Events carry no times. An event may be recorded anew while somebody still
 * waits for its earlier recording: a wait means what was recorded when it was asked for. */
#include "backend/cudnn/device.h"

#include <stdio.h>

#include "backend/cudnn/check.h"
#include "base/alloc.h"

struct graph_segment {
    struct device *device;
    int runs;
    bool waits_for_own; /* for its own uploads alone */
    bool downloads;     /* some belong to its latest run */
    cudaEvent_t uploaded, computed, downloaded;
    cudaGraphExec_t graph; /* NULL: not recorded yet */
};

static void make_event(cudaEvent_t *event)
{
    CUDA(cudaEventCreateWithFlags(event, cudaEventDisableTiming));
}

struct device *cuda_open(const struct device_options *options)
{
    struct device *d = xcalloc(1, sizeof *d);
    char name[100], setting[200], cudnn[64];
    d->gpu = cuda_choose(options->number);
    d->dtype = (enum backend_dtype)options->dtype;
    CUDA(cudaStreamCreateWithFlags(&d->compute, cudaStreamNonBlocking));
    CUDA(cudaStreamCreateWithFlags(&d->up, cudaStreamNonBlocking));
    CUDA(cudaStreamCreateWithFlags(&d->down, cudaStreamNonBlocking));
    make_event(&d->uploaded);
    make_event(&d->computed);
    d->convolver = convolver_open(NULL, options->tf32);
    convolver_stream(d->convolver, d->compute);
    cuda_name(d->gpu, name, sizeof name);
    planner_version(cudnn, sizeof cudnn);
    snprintf(setting, sizeof setting, "%.40s, %.30s, %s%s", name, cudnn,
             d->dtype == DTYPE_BF16 ? "bf16" : "f32", options->tf32 ? ", tf32" : "");
    d->choices = choices_open(options->cache, setting);
    return d;
}

void cuda_close(struct device *d)
{
    cuda_finish(d);
    choices_close(d->choices);
    convolver_close(d->convolver);
    while (d->outgrown) {
        struct block *next = d->outgrown->next;
        CUDA(cudaFree(d->outgrown->at));
        xfree(d->outgrown);
        d->outgrown = next;
    }
    for (int i = 0; i < AREAS; i++)
        CUDA(cudaFree(d->area[i]));
    CUDA(cudaEventDestroy(d->uploaded));
    CUDA(cudaEventDestroy(d->computed));
    CUDA(cudaStreamDestroy(d->compute));
    CUDA(cudaStreamDestroy(d->up));
    CUDA(cudaStreamDestroy(d->down));
    xfree(d);
}

void cuda_reserve(struct device *d, enum area area, size_t bytes)
{
    if (bytes <= d->area_bytes[area])
        return;
    if (d->area[area]) {
        struct block *b = xcalloc(1, sizeof *b);
        *b = (struct block){d->area[area], d->outgrown};
        d->outgrown = b;
    }
    d->area[area] = cuda_alloc(d, bytes);
    d->area_bytes[area] = bytes;
}

/* Within a segment it has been seen to already, and a recording can't hold it. */
void cuda_ready(struct device *d)
{
    if (d->open || !d->fresh)
        return;
    CUDA(cudaStreamWaitEvent(d->compute, d->uploaded, 0));
    d->fresh = false;
}

/* ---- memory */

void *cuda_alloc(struct device *d, size_t bytes)
{
    void *block = NULL;
    size_t left = 0, all = 0;
    bytes = bytes ? bytes : 1;
    cudaError_t error = cudaMalloc(&block, bytes);
    if (error != cudaSuccess)
        cudaMemGetInfo(&left, &all);
    CHECK(error == cudaSuccess,
          "no memory for %zu bytes on GPU %d, where %zu of %zu are left (%s): take more "
          "--minibatches, --dtype bf16, or fewer ranks a GPU",
          bytes, d->gpu, left, all, cudaGetErrorString(error));
    CUDA(cudaMemsetAsync(block, 0, bytes, d->compute));
    /* an upload, which is another stream's, must not come before the zeros */
    CUDA(cudaStreamSynchronize(d->compute));
    return block;
}

void cuda_free(struct device *d, void *block)
{
    (void)d;
    CUDA(cudaFree(block)); /* waits for the device */
}

void cuda_upload(struct device *d, void *to, const void *from, size_t bytes)
{
    CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, d->up));
    CUDA(cudaEventRecord(d->uploaded, d->up));
    d->fresh = true;
}

void cuda_download(struct device *d, void *to, const void *from, size_t bytes)
{
    CUDA(cudaEventRecord(d->computed, d->compute));
    CUDA(cudaStreamWaitEvent(d->down, d->computed, 0));
    CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, d->down));
    if (!d->latest)
        return;
    CUDA(cudaEventRecord(d->latest->downloaded, d->down));
    d->latest->downloads = true;
}

void cuda_finish(struct device *d)
{
    CUDA(cudaStreamSynchronize(d->up));
    CUDA(cudaStreamSynchronize(d->compute));
    CUDA(cudaStreamSynchronize(d->down));
}

/* An eighth of what is free is room: other ranks may come to this GPU, and evaluations take memory
 * of their own. */
struct resident_dataset *cuda_resident_open(struct device *d, const struct pixels *p)
{
    enum { BYTES = 256, ROOM = 8 };
    size_t levels = (size_t)p->channels * BYTES * sizeof *p->levels, left = 0, all = 0;
    size_t image = (size_t)p->channels * (size_t)p->height * (size_t)p->width;
    CUDA(cudaMemGetInfo(&left, &all));
    if (p->channels > KERNEL_LANES || (size_t)p->count > left / ROOM / image)
        return NULL;
    struct resident_dataset *r = xcalloc(1, sizeof *r);
    char *block = cuda_alloc(d, levels + (size_t)p->count * image);
    cuda_upload(d, block, p->levels, levels);
    cuda_upload(d, block + levels, p->bytes, (size_t)p->count * image);
    cuda_finish(d);
    *r = (struct resident_dataset){.device = d, .block = block};
    r->data = (struct kernel_dataset){(uint8_t *)block + levels, (float *)block, p->channels,
                                      p->height, p->width};
    return r;
}

void cuda_resident_close(struct resident_dataset *r)
{
    if (!r)
        return;
    cuda_free(r->device, r->block);
    xfree(r);
}

/* Another rank's memory is mapped read-only. */
bool cuda_register(void *block, size_t bytes)
{
    const unsigned flags[] = {cudaHostRegisterPortable,
                              cudaHostRegisterPortable | cudaHostRegisterReadOnly};
    for (int i = 0; i < 2; i++) {
        if (cudaHostRegister(block, bytes, flags[i]) == cudaSuccess)
            return true;
        (void)cudaGetLastError();
    }
    return false;
}

void cuda_unregister(void *block)
{
    if (cudaHostUnregister(block) != cudaSuccess)
        (void)cudaGetLastError();
}

void cuda_register_memory(struct device *d, void *block, size_t bytes)
{
    (void)d;
    cuda_register(block, bytes);
}

void cuda_unregister_memory(struct device *d, void *block)
{
    (void)d;
    cuda_unregister(block);
}

bool cuda_event_is_done(cudaEvent_t event)
{
    cudaError_t error = cudaEventQuery(event);
    if (error == cudaErrorNotReady)
        (void)cudaGetLastError(); /* an answer, not a failure */
    else
        CUDA(error);
    return error == cudaSuccess;
}

/* ---- segments */

struct graph_segment *cuda_segment_open(struct device *d)
{
    struct graph_segment *s = xcalloc(1, sizeof *s);
    s->device = d;
    make_event(&s->uploaded);
    make_event(&s->computed);
    make_event(&s->downloaded);
    return s;
}

void cuda_segment_close(struct graph_segment *s)
{
    if (s->device->latest == s)
        s->device->latest = NULL;
    if (s->graph)
        CUDA(cudaGraphExecDestroy(s->graph));
    CUDA(cudaEventDestroy(s->uploaded));
    CUDA(cudaEventDestroy(s->computed));
    CUDA(cudaEventDestroy(s->downloaded));
    xfree(s);
}

void cuda_segment_needs_uploads(struct graph_segment *s)
{
    CUDA(cudaEventRecord(s->uploaded, s->device->up));
    s->waits_for_own = true;
}

bool cuda_segment_begin(struct graph_segment *s)
{
    struct device *d = s->device;
    if (s->waits_for_own)
        CUDA(cudaStreamWaitEvent(d->compute, s->uploaded, 0));
    else
        cuda_ready(d);
    s->waits_for_own = false;
    d->open = s;
    if (s->runs == 1)
        CUDA(cudaStreamBeginCapture(d->compute, cudaStreamCaptureModeThreadLocal));
    return !s->graph;
}

void cuda_segment_end(struct graph_segment *s)
{
    struct device *d = s->device;
    if (s->runs == 1) {
        cudaGraph_t graph = NULL;
        CUDA(cudaStreamEndCapture(d->compute, &graph));
        CUDA(cudaGraphInstantiateWithFlags(&s->graph, graph, 0));
        CUDA(cudaGraphDestroy(graph));
    }
    s->runs += s->runs < 2;
    if (s->graph)
        CUDA(cudaGraphLaunch(s->graph, d->compute));
    CUDA(cudaEventRecord(s->computed, d->compute));
    s->downloads = false;
    d->open = NULL;
    d->latest = s;
}

bool cuda_segment_is_done(struct graph_segment *s)
{
    return cuda_event_is_done(s->downloads ? s->downloaded : s->computed);
}
