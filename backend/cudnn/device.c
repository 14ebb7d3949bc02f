/* Everything that calls CUDA's runtime but the kernels themselves and holder.c.
 *
 * Waiting for the device sleeps (cudaDeviceScheduleBlockingSync): a rank that waits takes no core
 * from one that works. Events carry no times. An event may be recorded anew while somebody still
 * waits for its earlier recording: a wait means what was recorded when it was asked for. */
#include "backend/cudnn/device.h"

#include <stdio.h>

#include "backend/cudnn/check.h"
#include "base/alloc.h"

struct stretch {
    struct device *device;
    int runs;
    bool needy, arrives; /* waits for its own uploads alone; downloads belong to its latest run */
    cudaEvent_t needs, done, arrived; /* uploads; calls; downloads */
    cudaGraphExec_t graph;            /* NULL: not recorded yet */
};

/* 0 where there is no driver, no device, or one that our kernels were not compiled for. */
static int count_devices(void)
{
    int count = 0;
    bool there = cudaGetDeviceCount(&count) == cudaSuccess;
    for (int i = 0; i < count && there; i++) {
        int major = 0, minor = 0;
        there =
            cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, i) == cudaSuccess &&
            cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, i) == cudaSuccess &&
            10 * major + minor >= CUDA_ARCH;
    }
    (void)cudaGetLastError(); /* an answer, and no call's failure */
    return there ? count : 0;
}

bool cuda_has(enum backend_dtype dtype)
{
    (void)dtype; /* all that CUDA_ARCH allows have both */
    return count_devices() > 0;
}

static void name_device(int gpu, char *text, size_t size)
{
    struct cudaDeviceProp properties;
    CUDA(cudaGetDeviceProperties(&properties, gpu));
    snprintf(text, size, "%s", properties.name);
}

void cuda_version(char *text, size_t size)
{
    int runtime = 0, count = count_devices();
    char cudnn[64], name[256] = "no device";
    cudaRuntimeGetVersion(&runtime);
    planner_version(cudnn, sizeof cudnn);
    if (count > 0)
        name_device(0, name, sizeof name);
    int used = snprintf(text, size, "CUDA %d.%d, %s, %s", runtime / 1000, runtime % 1000 / 10,
                        cudnn, name);
    if (count > 1 && used > 0 && (size_t)used < size)
        snprintf(text + used, size - (size_t)used, " x %d", count);
}

static void make_event(cudaEvent_t *event)
{
    CUDA(cudaEventCreateWithFlags(event, cudaEventDisableTiming));
}

int cuda_choose(int number)
{
    int count = count_devices();
    CHECK(count > 0, "no CUDA device");
    CUDA(cudaInitDevice(number % count, cudaDeviceScheduleBlockingSync,
                        cudaInitDeviceFlagsAreValid));
    CUDA(cudaSetDevice(number % count));
    return number % count;
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
    name_device(d->gpu, name, sizeof name);
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
    d->area[area] = cuda_obtain(d, bytes);
    d->area_bytes[area] = bytes;
}

/* Within a stretch it has been seen to already, and a recording can't hold it. */
void cuda_ready(struct device *d)
{
    if (d->open || !d->fresh)
        return;
    CUDA(cudaStreamWaitEvent(d->compute, d->uploaded, 0));
    d->fresh = false;
}

/* ---- memory */

void *cuda_obtain(struct device *d, size_t bytes)
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
    /* the zeros must not come behind an upload, which is another stream's */
    CUDA(cudaStreamSynchronize(d->compute));
    return block;
}

void cuda_release(struct device *d, void *block)
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
    CUDA(cudaEventRecord(d->latest->arrived, d->down));
    d->latest->arrives = true;
}

void cuda_finish(struct device *d)
{
    CUDA(cudaStreamSynchronize(d->up));
    CUDA(cudaStreamSynchronize(d->compute));
    CUDA(cudaStreamSynchronize(d->down));
}

/* An eighth of what is free is room: other ranks may come to this GPU, and evaluations take memory
 * of their own. */
struct album *cuda_album_open(struct device *d, const struct pixels *p)
{
    enum { BYTES = 256, ROOM = 8 };
    size_t levels = (size_t)p->channels * BYTES * sizeof *p->levels, left = 0, all = 0;
    size_t image = (size_t)p->channels * (size_t)p->height * (size_t)p->width;
    CUDA(cudaMemGetInfo(&left, &all));
    if (p->channels > KERNEL_LANES || (size_t)p->count > left / ROOM / image)
        return NULL;
    struct album *a = xcalloc(1, sizeof *a);
    char *block = cuda_obtain(d, levels + (size_t)p->count * image);
    cuda_upload(d, block, p->levels, levels);
    cuda_upload(d, block + levels, p->bytes, (size_t)p->count * image);
    cuda_finish(d);
    *a = (struct album){.device = d, .block = block};
    a->there = (struct kernel_album){(uint8_t *)block + levels, (float *)block, p->channels,
                                     p->height, p->width};
    return a;
}

void cuda_album_close(struct album *a)
{
    if (!a)
        return;
    cuda_release(a->device, a->block);
    xfree(a);
}

/* Where the system refuses, copies go through the driver's own memory: slower, and the caller
 * waits. */
void cuda_share(struct device *d, void *block, size_t bytes)
{
    (void)d;
    if (cudaHostRegister(block, bytes, cudaHostRegisterPortable) != cudaSuccess)
        (void)cudaGetLastError();
}

void cuda_unshare(struct device *d, void *block)
{
    (void)d;
    if (cudaHostUnregister(block) != cudaSuccess)
        (void)cudaGetLastError();
}

/* ---- stretches */

struct stretch *cuda_stretch_open(struct device *d)
{
    struct stretch *s = xcalloc(1, sizeof *s);
    s->device = d;
    make_event(&s->needs);
    make_event(&s->done);
    make_event(&s->arrived);
    return s;
}

void cuda_stretch_close(struct stretch *s)
{
    if (s->device->latest == s)
        s->device->latest = NULL;
    if (s->graph)
        CUDA(cudaGraphExecDestroy(s->graph));
    CUDA(cudaEventDestroy(s->needs));
    CUDA(cudaEventDestroy(s->done));
    CUDA(cudaEventDestroy(s->arrived));
    xfree(s);
}

void cuda_stretch_needs(struct stretch *s)
{
    CUDA(cudaEventRecord(s->needs, s->device->up));
    s->needy = true;
}

bool cuda_stretch_begin(struct stretch *s)
{
    struct device *d = s->device;
    if (s->needy)
        CUDA(cudaStreamWaitEvent(d->compute, s->needs, 0));
    else
        cuda_ready(d);
    s->needy = false;
    d->open = s;
    if (s->runs == 1)
        CUDA(cudaStreamBeginCapture(d->compute, cudaStreamCaptureModeThreadLocal));
    return !s->graph;
}

void cuda_stretch_end(struct stretch *s)
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
    CUDA(cudaEventRecord(s->done, d->compute));
    s->arrives = false;
    d->open = NULL;
    d->latest = s;
}

bool cuda_stretch_reached(struct stretch *s)
{
    cudaError_t error = cudaEventQuery(s->arrives ? s->arrived : s->done);
    if (error == cudaErrorNotReady)
        (void)cudaGetLastError(); /* an answer, not a failure */
    else
        CUDA(error);
    return error == cudaSuccess;
}
