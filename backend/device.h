/* What a backend with memory of its own (a GPU) adds to backend/backend.h: copies, recorded calls,
 * a data set that stays there, a vector that a library sums there.
 *
 * Calls of such a backend return before they are done; one runs after the other, in the order in
 * which they were made. Every pointer of unit_io, and logits, labels, dlogits and sums of the loss,
 * lies in the device's memory (backend's alloc()). finish() waits for all.
 *
 * Words. Upload: host to device. Download: device to host. Both are queued beside the computing. A
 * graph segment is a run of forward(), backward() and loss() with the same units, pointers and
 * modes each time; a device records it once and starts it as one. A resident data set lies in the
 * device's memory, and a batch of it is a list of crops. A device buffer is one vector's place on
 * the device, for a library that sums there. A device optimizer (optimizer/device.h) holds a
 * server's weights. */
#ifndef BACKEND_DEVICE_H
#define BACKEND_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data_loader/data_loader.h"
#include "optimizer/optimizer.h"

struct device; /* a backend opened, see backend/backend.h */
struct unit;
struct resident_dataset; /* these three are the backend's own */
struct graph_segment;
struct device_buffer;

/* A vector of the host and its place on the GPU where its rank computes.
 *
 * All is queued: the stream waits for earlier uploads, downloads wait for the stream. Vectors lie
 * in registered memory, so that copies keep nobody waiting. They stay where they are, and what
 * comes down is not read, until is_done(). */
struct device_buffer_kind {
    /* The GPU that the n-th rank of a host takes, in words: ranks of a host with the same words use
     * the same GPU. */
    void (*name)(int number, char *text, size_t size);
    /* Place for `count` floats; ends the program where there is no room. */
    struct device_buffer *(*open)(int number, int64_t count);
    void (*close)(struct device_buffer *);   /* all that was queued is done */
    float *(*data)(struct device_buffer *);  /* [count], the GPU's pointer */
    void *(*stream)(struct device_buffer *); /* a cudaStream_t */
    /* floats from .. from + count - 1 of the vector */
    void (*upload)(struct device_buffer *, const float *vector, int64_t from, int64_t count);
    void (*download)(struct device_buffer *, float *vector, int64_t from, int64_t count);
    bool (*is_done)(struct device_buffer *); /* all that was queued so far; never waits */
};

struct device_kind {
    /* Device memory to the host: what all calls so far have left there. Read `to` after finish(),
     * or when the segment that it belongs to is done. */
    void (*download)(struct device *, void *to, const void *from, size_t bytes);

    /* Host memory (whole pages) that will be copied from and to; copies of other memory may keep
     * the caller waiting. Unregister before it is freed. */
    void (*register_memory)(struct device *, void *block, size_t bytes);
    void (*unregister_memory)(struct device *, void *block);

    /* NULL: there is no room for it. The caller may free the pixels then. */
    struct resident_dataset *(*resident_open)(struct device *, const struct pixels *);
    void (*resident_close)(struct resident_dataset *); /* NULL is fine */
    /* x of the first unit (unit_sizes.x_bytes) from a whole batch in device memory: float32 NHWC,
     * or with a resident data set the crops [batch] out of it. Outside of segments. */
    void (*load_batch)(struct unit *first, const struct resident_dataset *resident,
                       const void *batch, void *x);

    /* segment_begin(), then if that is true the calls (false: they are recorded, make none), then
     * segment_end(), which starts them. Downloads between a segment's end and the next begin belong
     * to it. */
    struct graph_segment *(*segment_open)(struct device *);
    void (*segment_close)(struct graph_segment *);
    /* It waits for the uploads so far and for no later ones; without: for all before its begin. */
    void (*segment_needs_uploads)(struct graph_segment *);
    bool (*segment_begin)(struct graph_segment *);
    void (*segment_end)(struct graph_segment *);
    bool (*segment_is_done)(struct graph_segment *); /* with its downloads; never waits */

    /* Both are used without a device opened; NULL: it has none. */
    const struct device_optimizer_kind *optimizer;
    const struct device_buffer_kind *buffer;
};

#endif
