/* A stream is a ring of tasks. An event counts how often it was recorded (asked) and how far that
 * has come (done); a wait in a stream lasts until the recording that it was asked for is done. */
#include "tests/cuda/emulate/runtime.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cuda_runtime_api.h>

#include "base/alloc.h"
#include "base/check.h"

enum {
    MOST_STREAMS = 16,
    MOST_TASKS = 8192,
    MOST_BYTES = 512,
    ALIGN = 256,
    PAGE = 4096,
    MANY_PAGES = 64 << 20
};

struct task {
    void (*body)(const void *argument); /* NULL: an event's */
    _Alignas(16) char argument[MOST_BYTES];
    struct CUevent_st *event;
    int64_t number; /* of the recording */
    bool waits;     /* for it, or records it */
};

struct CUevent_st {
    int64_t asked, done;
};

struct CUgraph_st {
    struct task *task;
    int count;
};

struct CUstream_st {
    struct task *task; /* [MOST_TASKS] */
    int64_t put, taken;
    struct CUgraph_st *capture; /* NULL: tasks go into the queue */
};

static struct {
    struct CUstream_st *stream[MOST_STREAMS];
    bool backwards;
    int same_way; /* so many tasks more */
    uint32_t dice;
    int questions;
    int64_t allocations;
} all;

static bool step(struct CUstream_st *s)
{
    if (s->taken == s->put)
        return false;
    struct task *t = &s->task[s->taken % MOST_TASKS];
    if (!t->body && t->waits && t->event->done < t->number)
        return false;
    if (t->body)
        t->body(t->argument);
    else if (!t->waits)
        t->event->done = t->number;
    s->taken++;
    return true;
}

/* One task of some stream that can go on: for one task or many the first stream that can, then the
 * last. False: none can. */
static bool step_any(void)
{
    if (all.same_way-- == 0) {
        all.dice = 1664525 * all.dice + 1013904223;
        all.same_way = (int)(all.dice >> 27); /* up to 31 */
        all.backwards = !all.backwards;
    }
    for (int i = 0; i < MOST_STREAMS; i++) {
        struct CUstream_st *s = all.stream[all.backwards ? MOST_STREAMS - 1 - i : i];
        if (s && step(s))
            return true;
    }
    return false;
}

static void drain(void)
{
    while (step_any())
        ;
    for (int i = 0; i < MOST_STREAMS; i++)
        CHECK(!all.stream[i] || all.stream[i]->taken == all.stream[i]->put,
              "a stream waits for an event that nobody records");
}

static void put(struct CUstream_st *s, const struct task *t)
{
    if (s->capture) {
        struct CUgraph_st *g = s->capture;
        CHECK(g->count < MOST_TASKS, "more than %d tasks are captured", MOST_TASKS);
        CHECK(t->body, "an event within a capture");
        g->task[g->count++] = *t;
        return;
    }
    CHECK(s->put - s->taken < MOST_TASKS, "more than %d tasks wait in a stream", MOST_TASKS);
    s->task[s->put++ % MOST_TASKS] = *t;
}

void emulate_enqueue(cudaStream_t stream, void (*body)(const void *argument), const void *argument,
                     size_t bytes)
{
    struct task t = {.body = body};
    CHECK(bytes <= MOST_BYTES, "an argument of %zu bytes", bytes);
    memcpy(t.argument, argument, bytes);
    if (stream) {
        put(stream, &t);
        return;
    }
    drain();
    body(t.argument);
}

/* ---- devices and errors */

static struct {
    int count, old;
    cudaError_t error;
    int driver;
} machine = {.count = 1, .driver = CUDART_VERSION};

void emulate_gpus(int count, int old, int error, int driver)
{
    machine.count = count;
    machine.old = old;
    machine.error = (cudaError_t)error;
    machine.driver = driver;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = machine.count;
    return machine.error;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    int capability = device < machine.old ? CUDA_ARCH - 10 : CUDA_ARCH;
    *value = attribute == cudaDevAttrComputeCapabilityMajor ? capability / 10 : capability % 10;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = machine.driver;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    (void)device;
    memset(properties, 0, sizeof *properties);
    strcpy(properties->name, "emulated");
    return cudaSuccess;
}

static bool is_usable(int device)
{
    return device >= machine.old && device < machine.count;
}

cudaError_t cudaInitDevice(int device, unsigned device_flags, unsigned flags)
{
    (void)device_flags, (void)flags;
    return is_usable(device) ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaSetDevice(int device)
{
    return is_usable(device) ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int size, int device)
{
    snprintf(id, (size_t)size, "0000:0%d:00.0", device);
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaSuccess ? "no error" : "an error of the emulation";
}

const char *cudaGetErrorName(cudaError_t error)
{
    return cudaGetErrorString(error);
}

/* ---- memory; exact sizes, so that a sanitizer sees what goes beyond */

int64_t emulate_allocations(void)
{
    return all.allocations;
}

cudaError_t cudaMalloc(void **block, size_t bytes)
{
    all.allocations++;
    return posix_memalign(block, ALIGN, bytes) ? cudaErrorMemoryAllocation : cudaSuccess;
}

cudaError_t cudaFree(void *block)
{
    drain();
    free(block);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *total)
{
    *left = *total = (size_t)16 << 30;
    return cudaSuccess;
}

cudaError_t cudaHostRegister(void *block, size_t bytes, unsigned flags)
{
    (void)block, (void)bytes, (void)flags;
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *block)
{
    (void)block;
    return cudaSuccess;
}

struct copy {
    void *to;
    const void *from;
    size_t bytes;
    int value;
};

/* Whole pages of zeros are handed out by the system when they are touched: a gigabyte of workspace
 * never is. */
static void clear(char *to, size_t bytes)
{
    size_t before = (PAGE - (uintptr_t)to % PAGE) % PAGE,
           pages = bytes > before ? (bytes - before) / PAGE * PAGE : 0;
    if (pages < MANY_PAGES || madvise(to + before, pages, MADV_DONTNEED)) {
        memset(to, 0, bytes);
        return;
    }
    memset(to, 0, before);
    memset(to + before + pages, 0, bytes - before - pages);
}

static void copy(const void *argument)
{
    const struct copy *c = argument;
    if (c->from)
        memcpy(c->to, c->from, c->bytes);
    else if (c->value)
        memset(c->to, c->value, c->bytes);
    else
        clear(c->to, c->bytes);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    struct copy c = {to, from, bytes, 0};
    (void)kind;
    CHECK(stream && !stream->capture, "a copy without a stream, or within a capture");
    emulate_enqueue(stream, copy, &c, sizeof c);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    struct copy c = {to, NULL, bytes, value};
    emulate_enqueue(stream, copy, &c, sizeof c);
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    (void)kind;
    drain();
    memcpy(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    drain();
    memset(to, value, bytes);
    return cudaSuccess;
}

/* ---- streams */

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    int i = 0;
    while (i < MOST_STREAMS && all.stream[i])
        i++;
    CHECK(i < MOST_STREAMS, "more than %d streams", MOST_STREAMS);
    *stream = all.stream[i] = xcalloc(1, sizeof **stream);
    (*stream)->task = xcalloc(MOST_TASKS, sizeof(struct task));
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    (void)flags;
    return cudaStreamCreate(stream);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    drain();
    for (int i = 0; i < MOST_STREAMS; i++)
        if (all.stream[i] == stream)
            all.stream[i] = NULL;
    xfree(stream->task);
    xfree(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    CHECK(!stream->capture, "waiting within a capture");
    while (stream->taken < stream->put)
        CHECK(step(stream) || step_any(), "a stream waits for an event that nobody records");
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)flags;
    put(stream, &(struct task){.event = event, .number = event->asked, .waits = true});
    return cudaSuccess;
}

/* ---- events */

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    *event = xcalloc(1, sizeof **event);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    return cudaEventCreate(event);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    drain();
    xfree(event);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    put(stream, &(struct task){.event = event, .number = ++event->asked});
    return cudaSuccess;
}

/* Each question lets the device do some things more: one to as many as a unit takes. */
cudaError_t cudaEventQuery(cudaEvent_t event)
{
    for (int i = all.questions++ % 13; i >= 0 && event->done < event->asked; i--)
        CHECK(step_any(), "an event that nobody records");
    return event->done == event->asked ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    while (event->done < event->asked)
        CHECK(step_any(), "an event that nobody records");
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t begin, cudaEvent_t end)
{
    (void)begin, (void)end;
    *ms = 40; /* once is enough, where a kernel is timed */
    return cudaSuccess;
}

/* ---- graphs; a recorded one is the same thing */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    (void)mode;
    CHECK(!stream->capture, "a capture within a capture");
    stream->capture = xcalloc(1, sizeof *stream->capture);
    stream->capture->task = xcalloc(MOST_TASKS, sizeof(struct task));
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    *graph = stream->capture;
    stream->capture = NULL;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *recorded, cudaGraph_t graph,
                                          unsigned long long flags)
{
    (void)flags;
    struct CUgraph_st *g = xcalloc(1, sizeof *g);
    *g = (struct CUgraph_st){xcalloc((size_t)graph->count + 1, sizeof *g->task), graph->count};
    memcpy(g->task, graph->task, (size_t)graph->count * sizeof *g->task);
    *recorded = (cudaGraphExec_t)g;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t recorded, cudaStream_t stream)
{
    const struct CUgraph_st *g = (const struct CUgraph_st *)recorded;
    for (int i = 0; i < g->count; i++)
        put(stream, &g->task[i]);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    xfree(graph->task);
    xfree(graph);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t recorded)
{
    drain();
    return cudaGraphDestroy((cudaGraph_t)recorded);
}
