/* Two views of one file of memory: the far one, whose addresses callers get, can't be touched; the
 * near one is what the units compute in. Backends are tables without a `self`, hence the static
 * state. */
#define _GNU_SOURCE
#include "tests/fake_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "data_loader/augment.h"

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

static struct {
    enum fake_device_mode mode;
    struct fake_device_counts counts;
} set;

static const struct backend *ref(void)
{
    return backend_find("ref", DTYPE_F32);
}

void fake_device_begin(enum fake_device_mode mode)
{
    memset(&set, 0, sizeof set);
    set.mode = mode;
}

const struct fake_device_counts *fake_device_counted(void)
{
    return &set.counts;
}

/* ---- memory */

static void *host_of(const struct device *d, const void *far, const char *what)
{
    const char *at = far;
    if (!far)
        return NULL;
    if (at < d->far || at >= d->far + d->used)
        fail_msg("%s is a pointer that is not of the device's memory", what);
    return d->host + (at - d->far);
}

static void *map(int file, int protection)
{
    void *at = mmap(NULL, room, protection, MAP_SHARED | MAP_NORESERVE, file, 0);
    CHECK(at != MAP_FAILED, "no room for the far memory");
    return at;
}

static struct device *device_open(const struct device_options *options)
{
    struct device *d = xcalloc(1, sizeof *d);
    int file = memfd_create("fake_device", MFD_CLOEXEC);
    CHECK(file >= 0 && !ftruncate(file, (off_t)room), "no file for the far memory");
    d->real = ref()->open(options);
    d->far = map(file, PROT_NONE);
    d->host = map(file, PROT_READ | PROT_WRITE);
    close(file);
    d->call = xcalloc(MOST, sizeof *d->call);
    d->up = xcalloc(MOST, sizeof *d->up);
    d->down = xcalloc(MOST, sizeof *d->down);
    return d;
}

static void outside_segments(const struct device *d, const char *what)
{
    if (d->open)
        fail_msg("%s within a segment cannot be recorded", what);
}

static void *memory_alloc(struct device *d, size_t bytes)
{
    outside_segments(d, "alloc()");
    size_t at = d->used;
    d->used += (bytes + ALIGN - 1) / ALIGN * ALIGN + ALIGN;
    CHECK(d->used <= room, "the far memory is full");
    return d->far + at;
}

static void memory_free(struct device *d, void *block)
{
    host_of(d, block, "what is released");
    assert_int_equal(d->called, d->calls);
}

/* ---- the three queues */

static void run_upload(struct device *d)
{
    const struct copy *c = &d->up[d->upped++ % MOST];
    memcpy(host_of(d, c->to, "an upload's target"), c->from, c->bytes);
}

static void run_load_batch(const struct device *d, const struct call *c)
{
    const struct unit_shape *s = &c->unit->shape;
    size_t image = (size_t)(s->in_h * s->in_w * s->in_c);
    float *to = host_of(d, c->io.x, "the images");
    const void *batch = host_of(d, c->batch, "a batch");
    if (!c->resident) {
        memcpy(to, batch, (size_t)s->batch * image * sizeof *to);
        return;
    }
    struct dataset from = c->resident->set;
    from.pixels = host_of(d, from.pixels, "a resident data set");
    for (int i = 0; i < s->batch; i++) {
        const struct crop *crop = (const struct crop *)batch + i;
        if (crop->sample < 0 || crop->sample >= from.count)
            fail_msg("sample %d is wanted of a resident data set of %d", crop->sample,
                     (int)from.count);
        image_write(to + (size_t)i * image, &from, crop->sample,
                    (struct augment){crop->down, crop->right, crop->mirror}, &c->resident->levels);
    }
}

static void run_call(struct device *d)
{
    struct call c = d->call[d->called++ % MOST];
    const struct unit_io *f = &c.io;
    const struct unit_io io = {.w = host_of(d, f->w, "w"),
                               .g = host_of(d, f->g, "g"),
                               .x = host_of(d, f->x, "x"),
                               .skip = host_of(d, f->skip, "skip"),
                               .y = host_of(d, f->y, "y"),
                               .saved = host_of(d, f->saved, "saved"),
                               .dy = host_of(d, f->dy, "dy"),
                               .dy2 = host_of(d, f->dy2, "dy2"),
                               .dx = host_of(d, f->dx, "dx"),
                               .dskip = host_of(d, f->dskip, "dskip"),
                               .mean = host_of(d, f->mean, "mean"),
                               .variance = host_of(d, f->variance, "variance")};
    if (c.task == WAIT)
        while (d->upped < c.count)
            run_upload(d);
    else if (c.task == LOAD_BATCH)
        run_load_batch(d, &c);
    else if (c.task == FORWARD)
        ref()->forward(c.unit->real, &io, c.mode);
    else if (c.task == BACKWARD)
        ref()->backward(c.unit->real, &io);
    else
        ref()->loss(d->real, host_of(d, c.logits, "logits"), host_of(d, c.labels, "labels"),
                    (int)c.count, c.classes, c.smoothing, host_of(d, c.dlogits, "dlogits"),
                    host_of(d, c.sums, "sums"));
}

static void run_downloads(struct device *d, int64_t before)
{
    while (d->downed < before && d->down[d->downed % MOST].after <= d->called) {
        const struct copy *c = &d->down[d->downed++ % MOST];
        memcpy(c->to, host_of(d, c->from, "a download's source"), c->bytes);
    }
}

static void note_waiting(const struct device *d)
{
    set.counts.waiting = d->calls - d->called + d->ups - d->upped + d->downs - d->downed;
}

static void finish(struct device *d)
{
    outside_segments(d, "finish()");
    while (d->called < d->calls) {
        run_call(d);
        if (set.mode == COPIES_EARLY)
            run_downloads(d, d->downs);
    }
    while (d->upped < d->ups)
        run_upload(d);
    run_downloads(d, d->downs);
    d->ahead = 0;
    note_waiting(d);
}

static void device_close(struct device *d)
{
    for (int i = 0; i < MOST_REGISTERED; i++)
        assert_null(d->registered[i]);
    assert_int_equal(set.counts.waiting, 0);
    ref()->close(d->real);
    munmap(d->far, room);
    munmap(d->host, room);
    xfree(d->call);
    xfree(d->up);
    xfree(d->down);
    xfree(d);
}

static void upload(struct device *d, void *to, const void *from, size_t bytes)
{
    outside_segments(d, "upload()");
    host_of(d, to, "an upload's target");
    assert_true(d->ups - d->upped < MOST);
    d->up[d->ups++ % MOST] = (struct copy){.to = to, .from = from, .bytes = bytes};
    set.counts.uploaded_bytes += (int64_t)bytes;
    while (set.mode == COPIES_EARLY && d->upped < d->ups)
        run_upload(d);
}

static void download(struct device *d, void *to, const void *from, size_t bytes)
{
    outside_segments(d, "download()");
    host_of(d, from, "a download's source");
    assert_true(d->downs - d->downed < MOST);
    d->down[d->downs++ % MOST] = (struct copy){to, from, bytes, d->calls};
    set.counts.downloaded_bytes += (int64_t)bytes;
    if (d->latest)
        d->latest->arrived = d->downs;
}

/* ---- what is computed */

static void put(struct device *d, const struct call *c)
{
    assert_true(d->calls - d->called < MOST);
    d->call[d->calls++ % MOST] = *c;
}

/* A call outside of segments waits for all uploads; one within goes into the recording, or must be
 * as it was before. */
static void ask(struct device *d, const struct call *c)
{
    struct graph_segment *s = d->open;
    if (!s) {
        put(d, &(struct call){.task = WAIT, .count = d->ups});
        put(d, c);
        return;
    }
    if (d->recorded)
        fail_msg("a call within a segment that is recorded already");
    if (s->runs == 0) {
        assert_true(s->calls < MOST_CALLS);
        s->call[s->calls++] = *c;
    } else if (s->again >= s->calls || memcmp(&s->call[s->again++], c, sizeof *c) != 0) {
        fail_msg("call %d of a segment is not what it was the first time", s->again - 1);
    }
}

static struct call new_call(enum task task)
{
    struct call c;
    memset(&c, 0, sizeof c); /* compared as bytes */
    c.task = task;
    return c;
}

static void load_batch(struct unit *u, const struct resident_dataset *resident, const void *batch,
                       void *x)
{
    struct call c = new_call(LOAD_BATCH);
    outside_segments(u->device, "load_batch()");
    assert_true(u->shape.first);
    c.unit = u;
    c.resident = resident;
    c.batch = batch;
    c.io.x = x;
    ask(u->device, &c);
}

static void forward(struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    struct call c = new_call(FORWARD);
    c.unit = u;
    c.io = *io;
    c.mode = mode;
    ask(u->device, &c);
}

static void backward(struct unit *u, const struct unit_io *io)
{
    struct call c = new_call(BACKWARD);
    c.unit = u;
    c.io = *io;
    ask(u->device, &c);
}

static void loss(struct device *d, const float *logits, const int32_t *labels, int batch,
                 int classes, float smoothing, float *dlogits, struct loss *sums)
{
    struct call c = new_call(LOSS);
    c.logits = logits;
    c.labels = labels;
    c.count = batch;
    c.classes = classes;
    c.smoothing = smoothing;
    c.dlogits = dlogits;
    c.sums = sums;
    ask(d, &c);
}

/* ---- segments */

static struct graph_segment *segment_open(struct device *d)
{
    struct graph_segment *s = xcalloc(1, sizeof *s);
    s->device = d;
    s->needs = -1;
    return s;
}

static void segment_close(struct graph_segment *s)
{
    if (s->device->latest == s)
        s->device->latest = NULL;
    xfree(s);
}

static void segment_needs_uploads(struct graph_segment *s)
{
    outside_segments(s->device, "segment_needs_uploads()");
    s->needs = s->device->ups;
}

static bool segment_begin(struct graph_segment *s)
{
    struct device *d = s->device;
    outside_segments(d, "segment_begin()");
    put(d, &(struct call){.task = WAIT, .count = s->needs >= 0 ? s->needs : d->ups});
    s->needs = -1;
    s->again = 0;
    d->open = s;
    d->recorded = s->runs >= 2;
    return !d->recorded;
}

static void segment_end(struct graph_segment *s)
{
    struct device *d = s->device;
    assert_ptr_equal(d->open, s);
    if (s->runs == 1)
        assert_int_equal(s->again, s->calls);
    d->open = NULL;
    for (int i = 0; i < s->calls; i++)
        put(d, &s->call[i]);
    s->runs++ == 0 ? set.counts.run++
    : s->runs == 2 ? set.counts.recorded++
                   : set.counts.replayed++;
    s->last = d->calls;
    s->arrived = d->downs;
    s->looked = false;
    d->latest = s;
    if (++d->ahead > set.counts.most_ahead)
        set.counts.most_ahead = d->ahead;
    note_waiting(d);
}

/* The device gets one call further each time that somebody looks; late downloads come only when all
 * calls are done that may be. */
static bool segment_is_done(struct graph_segment *s)
{
    struct device *d = s->device;
    if (d->called < s->last)
        run_call(d);
    else if (d->downed < s->arrived && set.mode == COPIES_LATE)
        run_downloads(d, d->downed + 1);
    if (set.mode == COPIES_EARLY)
        run_downloads(d, d->downs);
    bool done = d->called >= s->last && d->downed >= s->arrived;
    if (done && !s->looked && d->ahead > 0)
        d->ahead--;
    s->looked |= done;
    note_waiting(d);
    return done;
}

/* ---- the rest */

static const void **find_registered(struct device *d, const void *block)
{
    for (int i = 0; i < MOST_REGISTERED; i++)
        if (d->registered[i] == block)
            return &d->registered[i];
    CHECK(false, "%s",
          block ? "a block is unregistered that is not registered"
                : "too many blocks are registered");
    return NULL;
}

static void register_memory(struct device *d, void *block, size_t bytes)
{
    assert_int_equal((uintptr_t)block % ALIGN, 0);
    assert_int_equal(bytes % ALIGN, 0);
    *find_registered(d, NULL) = block;
    set.counts.registered++;
}

static void unregister_memory(struct device *d, void *block)
{
    *find_registered(d, block) = NULL;
    set.counts.unregistered++;
}

static struct resident_dataset *resident_open(struct device *d, const struct pixels *p)
{
    struct resident_dataset *a = xcalloc(1, sizeof *a);
    size_t bytes = (size_t)p->count * (size_t)(p->channels * p->height * p->width);
    void *there = memory_alloc(d, bytes);
    memcpy(host_of(d, there, "a resident data set"), p->bytes, bytes);
    memcpy(a->levels.of, p->levels, (size_t)p->channels * sizeof *a->levels.of);
    a->device = d;
    a->set = (struct dataset){.count = p->count,
                              .channels = p->channels,
                              .height = p->height,
                              .width = p->width,
                              .pixels = there};
    return a;
}

static void resident_close(struct resident_dataset *a)
{
    if (!a)
        return;
    memory_free(a->device, (void *)a->set.pixels);
    xfree(a);
}

static struct unit *unit_open(struct device *d, const struct unit_shape *shape,
                              const struct unit *x_from, const struct unit *skip_from,
                              struct unit_sizes *sizes)
{
    struct unit *u = xcalloc(1, sizeof *u);
    u->device = d;
    u->shape = *shape;
    u->real = ref()->unit_open(d->real, shape, x_from ? x_from->real : NULL,
                               skip_from ? skip_from->real : NULL, sizes);
    sizes->x_bytes =
        shape->first
            ? (size_t)(shape->batch * shape->in_h * shape->in_w * shape->in_c) * sizeof(float)
            : 0;
    return u;
}

static void unit_close(struct unit *u)
{
    ref()->unit_close(u->real);
    xfree(u);
}

static bool has(enum backend_dtype dtype)
{
    return dtype == DTYPE_F32;
}

static const struct device_kind fake_device = {
    .download = download,
    .register_memory = register_memory,
    .unregister_memory = unregister_memory,
    .resident_open = resident_open,
    .resident_close = resident_close,
    .load_batch = load_batch,
    .segment_open = segment_open,
    .segment_close = segment_close,
    .segment_needs_uploads = segment_needs_uploads,
    .segment_begin = segment_begin,
    .segment_end = segment_end,
    .segment_is_done = segment_is_done,
};

const struct backend backend_fake_device = {
    .name = "fake",
    .has = has,
    .open = device_open,
    .close = device_close,
    .unit_open = unit_open,
    .unit_close = unit_close,
    .forward = forward,
    .backward = backward,
    .loss = loss,
    .alloc = memory_alloc,
    .free = memory_free,
    .upload = upload,
    .finish = finish,
    .device = &fake_device,
};
