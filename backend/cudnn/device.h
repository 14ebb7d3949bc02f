/* One GPU as this backend has it opened: its streams, its memory, copies that overlap with
 * computing, and recorded segments.
 *
 * Three streams: computing, uploads, downloads. What is computed waits for the uploads queued
 * before it (or, in a segment, for those that it needs); a download waits for what was computed
 * before it. Recording: a segment runs as it comes the first time (libraries load their kernels
 * then), is captured into a graph the second time, and that graph is started from then on. */
#ifndef BACKEND_CUDNN_DEVICE_H
#define BACKEND_CUDNN_DEVICE_H

#include "backend/backend.h"
#include "backend/choice.h"
#include "backend/cudnn/convolve.h"
#include "backend/cudnn/kernels.h"

/* Memory that every call may use until its end: the result of a convolution or its gradient,
 * weights or their gradient, a unit's input in another type, statistics, the workspace of cuDNN,
 * and the sums of our kernels (zero between two calls). */
enum area { AREA_Z, AREA_W, AREA_X, AREA_STATISTICS, AREA_WORK, AREA_SUMS, AREAS };

struct block { /* of scratch that was outgrown: segments recorded with it may still be started */
    void *at;
    struct block *next;
};

struct device {
    int gpu;
    enum backend_dtype dtype;
    cudaStream_t compute, up, down;
    cudaEvent_t uploaded, computed; /* the latest upload; what a download waits for */
    bool fresh;                     /* computing was not told to wait for the latest upload */
    struct convolver *convolver;
    struct choices *choices;
    void *area[AREAS];
    size_t area_bytes[AREAS];
    struct block *outgrown;
    struct graph_segment *open, *latest; /* under way; ended last */
};

struct resident_dataset {
    struct device *device;
    struct kernel_dataset data;
    void *block; /* holds it */
};

/* ---- gpus.c */

bool cuda_has(enum backend_dtype dtype);
void cuda_why_not(enum backend_dtype dtype, char *text,
                  size_t size); /* where cuda_has() is false */
/* Which of the driver's files in that folder (/dev) may not be opened, and what to do; false: all
 * may. */
bool cuda_explain_files(const char *folder, char *text, size_t size);
void cuda_version(char *text, size_t size);
/* The GPU of that rank of this host; it is current in this thread from now on. */
int cuda_choose(int number);
void cuda_name(int gpu, char *text, size_t size);

/* ---- device.c */

struct device *cuda_open(const struct device_options *options);
void cuda_close(struct device *d);

void cuda_reserve(struct device *d, enum area area, size_t bytes); /* makes it at least so large */
void cuda_ready(struct device *d); /* to be called before anything is computed */

/* Is all done that was queued before the event? Never waits. */
bool cuda_event_is_done(cudaEvent_t event);

/* Page-locks host memory for copies. False: it was registered already, or the system refuses; then
 * the driver copies through memory of its own, and the caller waits for that. */
bool cuda_register(void *block, size_t bytes);
void cuda_unregister(void *block);

/* As in backend/backend.h and backend/device.h. */
void *cuda_alloc(struct device *d, size_t bytes);
void cuda_free(struct device *d, void *block);
void cuda_upload(struct device *d, void *to, const void *from, size_t bytes);
void cuda_download(struct device *d, void *to, const void *from, size_t bytes);
void cuda_finish(struct device *d);
struct resident_dataset *cuda_resident_open(struct device *d, const struct pixels *pixels);
void cuda_resident_close(struct resident_dataset *r);
void cuda_register_memory(struct device *d, void *block, size_t bytes);
void cuda_unregister_memory(struct device *d, void *block);
struct graph_segment *cuda_segment_open(struct device *d);
void cuda_segment_close(struct graph_segment *s);
void cuda_segment_needs_uploads(struct graph_segment *s);
bool cuda_segment_begin(struct graph_segment *s);
void cuda_segment_end(struct graph_segment *s);
bool cuda_segment_is_done(struct graph_segment *s);

extern const struct device_optimizer_kind cuda_device_optimizer; /* device_optimizer.c */
extern const struct device_buffer_kind cuda_device_buffer;       /* device_buffer.c */

#endif
