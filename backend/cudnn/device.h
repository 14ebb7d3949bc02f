/* One GPU as this backend has it opened: its streams, its memory, copies that hide behind
 * computing, and recorded stretches.
 *
 * Three streams: computing, uploads, downloads. What is computed waits for the uploads asked for
 * before it (or, in a stretch, for those that it needs); a download waits for what was computed
 * before it. Recording: a stretch is run once as it comes (libraries load their kernels then),
 * captured into a graph the second time, and that graph is started from then on. */
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

struct block { /* of scratch that was outgrown, while stretches recorded with it may still be
                  started */
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
    struct stretch *open, *latest; /* under way; ended last */
};

struct album {
    struct device *device;
    struct kernel_album there;
    void *block; /* holds it */
};

bool cuda_has(enum backend_dtype dtype);
void cuda_version(char *text, size_t size);
int cuda_choose(int number); /* the GPU of that rank of this host, which is current in this thread
                                from now on */
struct device *cuda_open(const struct device_options *options);
void cuda_close(struct device *d);

void cuda_reserve(struct device *d, enum area area, size_t bytes); /* makes it at least so large */
void cuda_ready(struct device *d); /* to be called before anything is computed */

/* As in backend/backend.h. */
void *cuda_obtain(struct device *d, size_t bytes);
void cuda_release(struct device *d, void *block);
void cuda_upload(struct device *d, void *to, const void *from, size_t bytes);
void cuda_download(struct device *d, void *to, const void *from, size_t bytes);
void cuda_finish(struct device *d);
struct album *cuda_album_open(struct device *d, const struct pixels *pixels);
void cuda_album_close(struct album *a);
void cuda_share(struct device *d, void *block, size_t bytes);
void cuda_unshare(struct device *d, void *block);
struct stretch *cuda_stretch_open(struct device *d);
void cuda_stretch_close(struct stretch *s);
void cuda_stretch_needs(struct stretch *s);
bool cuda_stretch_begin(struct stretch *s);
void cuda_stretch_end(struct stretch *s);
bool cuda_stretch_reached(struct stretch *s);

extern const struct holder_kind cuda_holder; /* holder.c */
extern const struct twin_kind cuda_twin;     /* twin.c */

#endif
