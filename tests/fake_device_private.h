/* What the two files of the fake device have in common: its memory, and its three queues. */
#ifndef TESTS_FAKE_DEVICE_PRIVATE_H
#define TESTS_FAKE_DEVICE_PRIVATE_H

#include "data_loader/augment.h"
#include "data_loader/data_loader.h"
#include "tests/fake_device.h"

enum { MOST = 20000, MOST_CALLS = 400, MOST_REGISTERED = 8, ALIGN = 4096 };

static const size_t room = (size_t)1 << 30;

struct unit {
    struct unit *real;
    struct device *device;
    struct unit_shape shape;
};

struct resident_dataset {
    struct device *device;
    struct dataset set; /* its pixels are far */
    struct levels levels;
};

enum task { LOAD_BATCH, FORWARD, BACKWARD, LOSS, WAIT };

struct call { /* of the computing queue; WAIT: for the uploads before number `count` */
    enum task task;
    enum unit_mode mode;
    struct unit *unit;
    struct unit_io io;
    const float *logits;
    const int32_t *labels;
    float *dlogits, smoothing;
    struct loss *sums;
    int64_t count;
    int classes;
    const struct resident_dataset *resident;
    const void *batch; /* LOAD_BATCH: to io.x */
};

struct copy {
    void *to;
    const void *from;
    size_t bytes;
    int64_t after; /* download: calls that come before it */
};

struct graph_segment {
    struct device *device;
    struct call call[MOST_CALLS];
    int calls, again;      /* in the first run; made in this one */
    int64_t runs, needs;   /* needs: uploads, -1: all */
    int64_t last, arrived; /* calls, and downloads, that are done when it is */
    bool looked;           /* known to be done */
};

struct device {
    struct device *real;
    char *far, *host;
    size_t used;
    struct call *call; /* [MOST], a ring, as the others */
    struct copy *up, *down;
    int64_t calls, called, ups, upped, downs, downed;
    struct graph_segment *open, *latest; /* under way; ended last */
    bool recorded;                       /* the open one is: calls are a mistake */
    int ahead;
    const void *registered[MOST_REGISTERED];
};

struct fake_device_state {
    enum fake_device_mode mode;
    struct fake_device_counts counts;
};

extern struct fake_device_state fake_state; /* backends are tables without a `self` */

void *fake_host_of(const struct device *d, const void *far, const char *what);
void fake_outside_segments(const struct device *d, const char *what);
void *fake_memory_alloc(struct device *d, size_t bytes);
void fake_memory_free(struct device *d, void *block);
void fake_run_call(struct device *d);
void fake_run_downloads(struct device *d, int64_t before);
void fake_note_waiting(const struct device *d);
void fake_put(struct device *d, const struct call *c);
void fake_load_batch(struct unit *u, const struct resident_dataset *resident, const void *batch,
                     void *x);
void fake_forward(struct unit *u, const struct unit_io *io, enum unit_mode mode);
void fake_backward(struct unit *u, const struct unit_io *io);
void fake_loss(struct device *d, const float *logits, const int32_t *labels, int batch, int classes,
               float smoothing, float *dlogits, struct loss *sums);
void fake_upload(struct device *d, void *to, const void *from, size_t bytes);
void fake_download(struct device *d, void *to, const void *from, size_t bytes);
void fake_finish(struct device *d);
struct device *fake_device_open(const struct device_options *options);
void fake_device_close(struct device *d);
const struct backend *fake_ref(void);

#endif
