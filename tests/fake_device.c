/* Two views of one file of memory: the far one, whose addresses callers get, can't be touched; the
 * near one is what the units compute in. Backends are tables without a `self`, hence the static
 * state. */
#define _GNU_SOURCE
#include "tests/fake_device.h"
#include "tests/fake_device_private.h"

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

struct fake_device_state fake_state;

const struct backend *fake_ref(void)
{
    return backend_find("ref", DTYPE_F32);
}

void fake_device_begin(enum fake_device_mode mode)
{
    memset(&fake_state, 0, sizeof fake_state);
    fake_state.mode = mode;
}

const struct fake_device_counts *fake_device_counted(void)
{
    return &fake_state.counts;
}

/* ---- memory */

void *fake_host_of(const struct device *d, const void *far, const char *what)
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

struct device *fake_device_open(const struct device_options *options)
{
    struct device *d = xcalloc(1, sizeof *d);
    int file = memfd_create("fake_device", MFD_CLOEXEC);
    CHECK(file >= 0 && !ftruncate(file, (off_t)room), "no file for the far memory");
    d->real = fake_ref()->open(options);
    d->far = map(file, PROT_NONE);
    d->host = map(file, PROT_READ | PROT_WRITE);
    close(file);
    d->call = xcalloc(MOST, sizeof *d->call);
    d->up = xcalloc(MOST, sizeof *d->up);
    d->down = xcalloc(MOST, sizeof *d->down);
    return d;
}

void fake_outside_segments(const struct device *d, const char *what)
{
    if (d->open)
        fail_msg("%s within a segment cannot be recorded", what);
}

void *fake_memory_alloc(struct device *d, size_t bytes)
{
    fake_outside_segments(d, "alloc()");
    size_t at = d->used;
    d->used += (bytes + ALIGN - 1) / ALIGN * ALIGN + ALIGN;
    CHECK(d->used <= room, "the far memory is full");
    return d->far + at;
}

void fake_memory_free(struct device *d, void *block)
{
    fake_host_of(d, block, "what is released");
    assert_int_equal(d->called, d->calls);
}

/* ---- the three queues */

static void run_upload(struct device *d)
{
    const struct copy *c = &d->up[d->upped++ % MOST];
    memcpy(fake_host_of(d, c->to, "an upload's target"), c->from, c->bytes);
}

static void run_load_batch(const struct device *d, const struct call *c)
{
    const struct unit_shape *s = &c->unit->shape;
    size_t image = (size_t)(s->in_h * s->in_w * s->in_c);
    float *to = fake_host_of(d, c->io.x, "the images");
    const void *batch = fake_host_of(d, c->batch, "a batch");
    if (!c->resident) {
        memcpy(to, batch, (size_t)s->batch * image * sizeof *to);
        return;
    }
    struct dataset from = c->resident->set;
    from.pixels = fake_host_of(d, from.pixels, "a resident data set");
    for (int i = 0; i < s->batch; i++) {
        const struct crop *crop = (const struct crop *)batch + i;
        if (crop->sample < 0 || crop->sample >= from.count)
            fail_msg("sample %d is wanted of a resident data set of %d", crop->sample,
                     (int)from.count);
        image_write(to + (size_t)i * image, &from, crop->sample,
                    (struct augment){crop->down, crop->right, crop->mirror}, &c->resident->levels);
    }
}

void fake_run_call(struct device *d)
{
    struct call c = d->call[d->called++ % MOST];
    const struct unit_io *f = &c.io;
    const struct unit_io io = {.w = fake_host_of(d, f->w, "w"),
                               .g = fake_host_of(d, f->g, "g"),
                               .x = fake_host_of(d, f->x, "x"),
                               .skip = fake_host_of(d, f->skip, "skip"),
                               .y = fake_host_of(d, f->y, "y"),
                               .saved = fake_host_of(d, f->saved, "saved"),
                               .dy = fake_host_of(d, f->dy, "dy"),
                               .dy2 = fake_host_of(d, f->dy2, "dy2"),
                               .dx = fake_host_of(d, f->dx, "dx"),
                               .dskip = fake_host_of(d, f->dskip, "dskip"),
                               .mean = fake_host_of(d, f->mean, "mean"),
                               .variance = fake_host_of(d, f->variance, "variance")};
    if (c.task == WAIT)
        while (d->upped < c.count)
            run_upload(d);
    else if (c.task == LOAD_BATCH)
        run_load_batch(d, &c);
    else if (c.task == FORWARD)
        fake_ref()->forward(c.unit->real, &io, c.mode);
    else if (c.task == BACKWARD)
        fake_ref()->backward(c.unit->real, &io);
    else
        fake_ref()->loss(d->real, fake_host_of(d, c.logits, "logits"),
                         fake_host_of(d, c.labels, "labels"), (int)c.count, c.classes, c.smoothing,
                         fake_host_of(d, c.dlogits, "dlogits"), fake_host_of(d, c.sums, "sums"));
}

void fake_run_downloads(struct device *d, int64_t before)
{
    while (d->downed < before && d->down[d->downed % MOST].after <= d->called) {
        const struct copy *c = &d->down[d->downed++ % MOST];
        memcpy(c->to, fake_host_of(d, c->from, "a download's source"), c->bytes);
    }
}

void fake_note_waiting(const struct device *d)
{
    fake_state.counts.waiting = d->calls - d->called + d->ups - d->upped + d->downs - d->downed;
}

void fake_finish(struct device *d)
{
    fake_outside_segments(d, "finish()");
    while (d->called < d->calls) {
        fake_run_call(d);
        if (fake_state.mode == COPIES_EARLY)
            fake_run_downloads(d, d->downs);
    }
    while (d->upped < d->ups)
        run_upload(d);
    fake_run_downloads(d, d->downs);
    d->ahead = 0;
    fake_note_waiting(d);
}

void fake_device_close(struct device *d)
{
    for (int i = 0; i < MOST_REGISTERED; i++)
        assert_null(d->registered[i]);
    assert_int_equal(fake_state.counts.waiting, 0);
    fake_ref()->close(d->real);
    munmap(d->far, room);
    munmap(d->host, room);
    xfree(d->call);
    xfree(d->up);
    xfree(d->down);
    xfree(d);
}

void fake_upload(struct device *d, void *to, const void *from, size_t bytes)
{
    fake_outside_segments(d, "upload()");
    fake_host_of(d, to, "an upload's target");
    assert_true(d->ups - d->upped < MOST);
    d->up[d->ups++ % MOST] = (struct copy){.to = to, .from = from, .bytes = bytes};
    fake_state.counts.uploaded_bytes += (int64_t)bytes;
    while (fake_state.mode == COPIES_EARLY && d->upped < d->ups)
        run_upload(d);
}

void fake_download(struct device *d, void *to, const void *from, size_t bytes)
{
    fake_outside_segments(d, "download()");
    fake_host_of(d, from, "a download's source");
    assert_true(d->downs - d->downed < MOST);
    d->down[d->downs++ % MOST] = (struct copy){to, from, bytes, d->calls};
    fake_state.counts.downloaded_bytes += (int64_t)bytes;
    if (d->latest)
        d->latest->arrived = d->downs;
}

/* ---- what is computed */

void fake_put(struct device *d, const struct call *c)
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
        fake_put(d, &(struct call){.task = WAIT, .count = d->ups});
        fake_put(d, c);
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

void fake_load_batch(struct unit *u, const struct resident_dataset *resident, const void *batch,
                     void *x)
{
    struct call c = new_call(LOAD_BATCH);
    fake_outside_segments(u->device, "load_batch()");
    assert_true(u->shape.first);
    c.unit = u;
    c.resident = resident;
    c.batch = batch;
    c.io.x = x;
    ask(u->device, &c);
}

void fake_forward(struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    struct call c = new_call(FORWARD);
    c.unit = u;
    c.io = *io;
    c.mode = mode;
    ask(u->device, &c);
}

void fake_backward(struct unit *u, const struct unit_io *io)
{
    struct call c = new_call(BACKWARD);
    c.unit = u;
    c.io = *io;
    ask(u->device, &c);
}

void fake_loss(struct device *d, const float *logits, const int32_t *labels, int batch, int classes,
               float smoothing, float *dlogits, struct loss *sums)
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
