/* The fake device's segments, registered memory, resident data sets and units; and its table. */
#include "tests/fake_device_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"

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
    fake_outside_segments(s->device, "segment_needs_uploads()");
    s->needs = s->device->ups;
}

static bool segment_begin(struct graph_segment *s)
{
    struct device *d = s->device;
    fake_outside_segments(d, "segment_begin()");
    fake_put(d, &(struct call){.task = WAIT, .count = s->needs >= 0 ? s->needs : d->ups});
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
        fake_put(d, &s->call[i]);
    s->runs++ == 0 ? fake_state.counts.run++
    : s->runs == 2 ? fake_state.counts.recorded++
                   : fake_state.counts.replayed++;
    s->last = d->calls;
    s->arrived = d->downs;
    s->looked = false;
    d->latest = s;
    if (++d->ahead > fake_state.counts.most_ahead)
        fake_state.counts.most_ahead = d->ahead;
    fake_note_waiting(d);
}

/* The device gets one call further each time that somebody looks; late downloads come only when all
 * calls are done that may be. */
static bool segment_is_done(struct graph_segment *s)
{
    struct device *d = s->device;
    if (d->called < s->last)
        fake_run_call(d);
    else if (d->downed < s->arrived && fake_state.mode == COPIES_LATE)
        fake_run_downloads(d, d->downed + 1);
    if (fake_state.mode == COPIES_EARLY)
        fake_run_downloads(d, d->downs);
    bool done = d->called >= s->last && d->downed >= s->arrived;
    if (done && !s->looked && d->ahead > 0)
        d->ahead--;
    s->looked |= done;
    fake_note_waiting(d);
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
    fake_state.counts.registered++;
}

static void unregister_memory(struct device *d, void *block)
{
    *find_registered(d, block) = NULL;
    fake_state.counts.unregistered++;
}

static struct resident_dataset *resident_open(struct device *d, const struct pixels *p)
{
    struct resident_dataset *a = xcalloc(1, sizeof *a);
    size_t bytes = (size_t)p->count * (size_t)(p->channels * p->height * p->width);
    void *there = fake_memory_alloc(d, bytes);
    memcpy(fake_host_of(d, there, "a resident data set"), p->bytes, bytes);
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
    fake_memory_free(a->device, (void *)a->set.pixels);
    xfree(a);
}

static struct unit *unit_open(struct device *d, const struct unit_shape *shape,
                              const struct unit *x_from, const struct unit *skip_from,
                              struct unit_sizes *sizes)
{
    struct unit *u = xcalloc(1, sizeof *u);
    u->device = d;
    u->shape = *shape;
    u->real = fake_ref()->unit_open(d->real, shape, x_from ? x_from->real : NULL,
                                    skip_from ? skip_from->real : NULL, sizes);
    sizes->x_bytes =
        shape->first
            ? (size_t)(shape->batch * shape->in_h * shape->in_w * shape->in_c) * sizeof(float)
            : 0;
    return u;
}

static void unit_close(struct unit *u)
{
    fake_ref()->unit_close(u->real);
    xfree(u);
}

static bool has(enum backend_dtype dtype)
{
    return dtype == DTYPE_F32;
}

static const struct device_kind fake_device = {
    .download = fake_download,
    .register_memory = register_memory,
    .unregister_memory = unregister_memory,
    .resident_open = resident_open,
    .resident_close = resident_close,
    .load_batch = fake_load_batch,
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
    .open = fake_device_open,
    .close = fake_device_close,
    .unit_open = unit_open,
    .unit_close = unit_close,
    .forward = fake_forward,
    .backward = fake_backward,
    .loss = fake_loss,
    .alloc = fake_memory_alloc,
    .free = fake_memory_free,
    .upload = fake_upload,
    .finish = fake_finish,
    .device = &fake_device,
};
