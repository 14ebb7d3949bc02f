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

enum { MOST = 20000, MOST_CALLS = 400, MOST_SHARED = 8, ALIGN = 4096 };

static const size_t room = (size_t)1 << 30;

struct unit {
    struct unit *real;
    struct device *device;
    struct unit_shape shape;
};

struct album {
    struct device *device;
    struct dataset set; /* its pixels are far */
    struct levels levels;
};

enum task { LAY, FORWARD, BACKWARD, LOSS, WAIT };

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
    const struct album *album;
    const void *batch; /* LAY: to io.x */
};

struct copy {
    void *to;
    const void *from;
    size_t bytes;
    int64_t after; /* download: calls that come before it */
};

struct stretch {
    struct device *device;
    struct call call[MOST_CALLS];
    int calls, again;      /* in the first run; made in this one */
    int64_t runs, needs;   /* needs: uploads, -1: all */
    int64_t last, arrived; /* calls, and downloads, that are done when it is */
    bool looked;           /* known to be done */
};

struct device {
    struct device *real;
    char *far, *near;
    size_t used;
    struct call *call; /* [MOST], a ring, as the others */
    struct copy *up, *down;
    int64_t calls, called, ups, upped, downs, downed;
    struct stretch *open, *latest; /* under way; ended last */
    bool recorded;                 /* the open one is: calls are a mistake */
    int ahead;
    const void *shared[MOST_SHARED];
};

static struct {
    enum apart_mode mode;
    struct apart_counts counts;
} set;

static const struct backend *ref(void)
{
    return backend_find("ref", DTYPE_F32);
}

void apart_begin(enum apart_mode mode)
{
    memset(&set, 0, sizeof set);
    set.mode = mode;
}

const struct apart_counts *apart_counted(void)
{
    return &set.counts;
}

/* ---- memory */

static void *near(const struct device *d, const void *far, const char *what)
{
    const char *at = far;
    if (!far)
        return NULL;
    if (at < d->far || at >= d->far + d->used)
        fail_msg("%s is a pointer that is not of the device's memory", what);
    return d->near + (at - d->far);
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
    int file = memfd_create("apart", MFD_CLOEXEC);
    CHECK(file >= 0 && !ftruncate(file, (off_t)room), "no file for the far memory");
    d->real = ref()->open(options);
    d->far = map(file, PROT_NONE);
    d->near = map(file, PROT_READ | PROT_WRITE);
    close(file);
    d->call = xcalloc(MOST, sizeof *d->call);
    d->up = xcalloc(MOST, sizeof *d->up);
    d->down = xcalloc(MOST, sizeof *d->down);
    return d;
}

static void outside_stretches(const struct device *d, const char *what)
{
    if (d->open)
        fail_msg("%s within a stretch cannot be recorded", what);
}

static void *memory_obtain(struct device *d, size_t bytes)
{
    outside_stretches(d, "xcalloc()");
    size_t at = d->used;
    d->used += (bytes + ALIGN - 1) / ALIGN * ALIGN + ALIGN;
    CHECK(d->used <= room, "the far memory is full");
    return d->far + at;
}

static void memory_release(struct device *d, void *block)
{
    near(d, block, "what is released");
    assert_int_equal(d->called, d->calls);
}

/* ---- the three queues */

static void run_upload(struct device *d)
{
    const struct copy *c = &d->up[d->upped++ % MOST];
    memcpy(near(d, c->to, "an upload's target"), c->from, c->bytes);
}

static void run_lay(const struct device *d, const struct call *c)
{
    const struct unit_shape *s = &c->unit->shape;
    size_t image = (size_t)(s->in_h * s->in_w * s->in_c);
    float *to = near(d, c->io.x, "the images");
    const void *batch = near(d, c->batch, "a batch");
    if (!c->album) {
        memcpy(to, batch, (size_t)s->batch * image * sizeof *to);
        return;
    }
    struct dataset from = c->album->set;
    from.pixels = near(d, from.pixels, "an album");
    for (int i = 0; i < s->batch; i++) {
        const struct crop *crop = (const struct crop *)batch + i;
        if (crop->sample < 0 || crop->sample >= from.count)
            fail_msg("sample %d is wanted of an album of %d", crop->sample, (int)from.count);
        image_write(to + (size_t)i * image, &from, crop->sample,
                    (struct augment){crop->down, crop->right, crop->mirror}, &c->album->levels);
    }
}

static void run_call(struct device *d)
{
    struct call c = d->call[d->called++ % MOST];
    const struct unit_io *f = &c.io;
    const struct unit_io io = {.w = near(d, f->w, "w"),
                               .g = near(d, f->g, "g"),
                               .x = near(d, f->x, "x"),
                               .skip = near(d, f->skip, "skip"),
                               .y = near(d, f->y, "y"),
                               .saved = near(d, f->saved, "saved"),
                               .dy = near(d, f->dy, "dy"),
                               .dy2 = near(d, f->dy2, "dy2"),
                               .dx = near(d, f->dx, "dx"),
                               .dskip = near(d, f->dskip, "dskip"),
                               .mean = near(d, f->mean, "mean"),
                               .variance = near(d, f->variance, "variance")};
    if (c.task == WAIT)
        while (d->upped < c.count)
            run_upload(d);
    else if (c.task == LAY)
        run_lay(d, &c);
    else if (c.task == FORWARD)
        ref()->forward(c.unit->real, &io, c.mode);
    else if (c.task == BACKWARD)
        ref()->backward(c.unit->real, &io);
    else
        ref()->loss(d->real, near(d, c.logits, "logits"), near(d, c.labels, "labels"), (int)c.count,
                    c.classes, c.smoothing, near(d, c.dlogits, "dlogits"), near(d, c.sums, "sums"));
}

static void run_downloads(struct device *d, int64_t before)
{
    while (d->downed < before && d->down[d->downed % MOST].after <= d->called) {
        const struct copy *c = &d->down[d->downed++ % MOST];
        memcpy(c->to, near(d, c->from, "a download's source"), c->bytes);
    }
}

static void note_waiting(const struct device *d)
{
    set.counts.waiting = d->calls - d->called + d->ups - d->upped + d->downs - d->downed;
}

static void finish(struct device *d)
{
    outside_stretches(d, "finish()");
    while (d->called < d->calls) {
        run_call(d);
        if (set.mode == APART_EARLY)
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
    for (int i = 0; i < MOST_SHARED; i++)
        assert_null(d->shared[i]);
    assert_int_equal(set.counts.waiting, 0);
    ref()->close(d->real);
    munmap(d->far, room);
    munmap(d->near, room);
    xfree(d->call);
    xfree(d->up);
    xfree(d->down);
    xfree(d);
}

static void upload(struct device *d, void *to, const void *from, size_t bytes)
{
    outside_stretches(d, "upload()");
    near(d, to, "an upload's target");
    assert_true(d->ups - d->upped < MOST);
    d->up[d->ups++ % MOST] = (struct copy){.to = to, .from = from, .bytes = bytes};
    set.counts.uploaded_bytes += (int64_t)bytes;
    while (set.mode == APART_EARLY && d->upped < d->ups)
        run_upload(d);
}

static void download(struct device *d, void *to, const void *from, size_t bytes)
{
    outside_stretches(d, "download()");
    near(d, from, "a download's source");
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

/* A call outside of stretches waits for all uploads; one within goes into the recording, or must be
 * as it was before. */
static void ask(struct device *d, const struct call *c)
{
    struct stretch *s = d->open;
    if (!s) {
        put(d, &(struct call){.task = WAIT, .count = d->ups});
        put(d, c);
        return;
    }
    if (d->recorded)
        fail_msg("a call within a stretch that is recorded already");
    if (s->runs == 0) {
        assert_true(s->calls < MOST_CALLS);
        s->call[s->calls++] = *c;
    } else if (s->again >= s->calls || memcmp(&s->call[s->again++], c, sizeof *c) != 0) {
        fail_msg("call %d of a stretch is not what it was the first time", s->again - 1);
    }
}

static struct call new_call(enum task task)
{
    struct call c;
    memset(&c, 0, sizeof c); /* compared as bytes */
    c.task = task;
    return c;
}

static void lay(struct unit *u, const struct album *album, const void *batch, void *x)
{
    struct call c = new_call(LAY);
    outside_stretches(u->device, "lay()");
    assert_true(u->shape.first);
    c.unit = u;
    c.album = album;
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

/* ---- stretches */

static struct stretch *stretch_open(struct device *d)
{
    struct stretch *s = xcalloc(1, sizeof *s);
    s->device = d;
    s->needs = -1;
    return s;
}

static void stretch_close(struct stretch *s)
{
    if (s->device->latest == s)
        s->device->latest = NULL;
    xfree(s);
}

static void stretch_needs(struct stretch *s)
{
    outside_stretches(s->device, "stretch_needs()");
    s->needs = s->device->ups;
}

static bool stretch_begin(struct stretch *s)
{
    struct device *d = s->device;
    outside_stretches(d, "stretch_begin()");
    put(d, &(struct call){.task = WAIT, .count = s->needs >= 0 ? s->needs : d->ups});
    s->needs = -1;
    s->again = 0;
    d->open = s;
    d->recorded = s->runs >= 2;
    return !d->recorded;
}

static void stretch_end(struct stretch *s)
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
static bool stretch_reached(struct stretch *s)
{
    struct device *d = s->device;
    if (d->called < s->last)
        run_call(d);
    else if (d->downed < s->arrived && set.mode == APART_LATE)
        run_downloads(d, d->downed + 1);
    if (set.mode == APART_EARLY)
        run_downloads(d, d->downs);
    bool done = d->called >= s->last && d->downed >= s->arrived;
    if (done && !s->looked && d->ahead > 0)
        d->ahead--;
    s->looked |= done;
    note_waiting(d);
    return done;
}

/* ---- the rest */

static const void **find_shared(struct device *d, const void *block)
{
    for (int i = 0; i < MOST_SHARED; i++)
        if (d->shared[i] == block)
            return &d->shared[i];
    CHECK(false, "%s",
          block ? "a block is unshared that is not shared" : "too many blocks are shared");
    return NULL;
}

static void share(struct device *d, void *block, size_t bytes)
{
    assert_int_equal((uintptr_t)block % ALIGN, 0);
    assert_int_equal(bytes % ALIGN, 0);
    *find_shared(d, NULL) = block;
    set.counts.shared++;
}

static void unshare(struct device *d, void *block)
{
    *find_shared(d, block) = NULL;
    set.counts.unshared++;
}

static struct album *album_open(struct device *d, const struct pixels *p)
{
    struct album *a = xcalloc(1, sizeof *a);
    size_t bytes = (size_t)p->count * (size_t)(p->channels * p->height * p->width);
    void *there = memory_obtain(d, bytes);
    memcpy(near(d, there, "an album"), p->bytes, bytes);
    memcpy(a->levels.of, p->levels, (size_t)p->channels * sizeof *a->levels.of);
    a->device = d;
    a->set = (struct dataset){.count = p->count,
                              .channels = p->channels,
                              .height = p->height,
                              .width = p->width,
                              .pixels = there};
    return a;
}

static void album_close(struct album *a)
{
    if (!a)
        return;
    memory_release(a->device, (void *)a->set.pixels);
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

const struct backend backend_apart = {
    .name = "apart",
    .has = has,
    .open = device_open,
    .close = device_close,
    .unit_open = unit_open,
    .unit_close = unit_close,
    .forward = forward,
    .backward = backward,
    .loss = loss,
    .alloc = memory_obtain,
    .free = memory_release,
    .upload = upload,
    .finish = finish,
    .apart = true,
    .album_open = album_open,
    .album_close = album_close,
    .lay = lay,
    .download = download,
    .stretch_open = stretch_open,
    .stretch_close = stretch_close,
    .stretch_needs = stretch_needs,
    .stretch_begin = stretch_begin,
    .stretch_end = stretch_end,
    .stretch_reached = stretch_reached,
    .share = share,
    .unshare = unshare,
};
