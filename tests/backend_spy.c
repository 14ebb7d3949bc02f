/* The record: for each address the hash of what was written there last. A tensor is read with the
 * length with which it was written, and by the contract its bytes are the same then. Backends are
 * tables without a `self`: hence the one static state. */
#include "tests/backend_spy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "model/model.h"

enum { MOST_TENSORS = 8 * MAX_UNITS, MOST_BLOCKS = 4 };

struct unit_seen {
    const struct unit *unit, *x_from, *skip_from;
    struct unit_sizes sizes;
    size_t image_bytes, label_bytes;
};

struct entry {
    const void *at;
    size_t bytes;
    uint64_t hash;
};

static struct {
    const struct backend *real;
    struct backend table;
    bool records;
    int units, entries, blocks;
    struct unit_seen unit[MAX_UNITS];
    struct entry entry[MOST_TENSORS];
    struct entry block[MOST_BLOCKS]; /* of memory for activations */
    /* of the last loss, as its bytes lay: their place is used again afterwards */
    double logits[4096];
    int64_t reads;
} spy;

static const struct unit_seen *seen(const struct unit *u)
{
    for (int i = 0; i < spy.units; i++)
        if (spy.unit[i].unit == u)
            return &spy.unit[i];
    fail_msg("a unit that was never opened");
    return NULL;
}

static struct entry *find(const void *at)
{
    for (int i = 0; i < spy.entries; i++)
        if (spy.entry[i].at == at)
            return &spy.entry[i];
    return NULL;
}

static void wrote(const void *at, size_t bytes)
{
    if (!spy.records || !at || !bytes)
        return;
    struct entry *e = find(at);
    assert_true(e || spy.entries < MOST_TENSORS);
    if (!e)
        e = &spy.entry[spy.entries++];
    *e = (struct entry){at, bytes, XXH3_64bits(at, bytes)};
}

static void reads(const struct unit_seen *u, const char *step, const char *what, const void *at,
                  size_t bytes)
{
    if (!spy.records || !at || !bytes)
        return;
    const struct entry *e = find(at);
    int unit = (int)(u - spy.unit);
    spy.reads++;
    if (!e)
        fail_msg("%s of unit %d reads as %s what nobody wrote", step, unit, what);
    else if (e->bytes != bytes)
        fail_msg("%s of unit %d reads %zu bytes as %s; %zu were written there", step, unit, bytes,
                 what, e->bytes);
    else if (e->hash != XXH3_64bits(at, bytes))
        fail_msg("%s of unit %d reads as %s a tensor that was overwritten", step, unit, what);
}

static struct unit *unit_open(struct device *d, const struct unit_shape *shape,
                              const struct unit *x_from, const struct unit *skip_from,
                              struct unit_sizes *sizes)
{
    assert_true(spy.units < MAX_UNITS);
    struct unit_seen *u = &spy.unit[spy.units++];
    u->unit = spy.real->unit_open(d, shape, x_from, skip_from, sizes);
    u->x_from = x_from;
    u->skip_from = skip_from;
    u->sizes = *sizes;
    u->image_bytes =
        (size_t)shape->batch * (size_t)(shape->in_h * shape->in_w * shape->in_c) * sizeof(float);
    u->label_bytes = (size_t)shape->batch * sizeof(int32_t);
    return (struct unit *)u->unit;
}

static size_t bytes_of(const struct unit *writer)
{
    return writer ? seen(writer)->sizes.y_bytes : 0;
}

static void reads_inputs(const struct unit_seen *u, const char *step, const struct unit_io *io)
{
    reads(u, step, "x", io->x, u->x_from ? bytes_of(u->x_from) : u->image_bytes);
    reads(u, step, "skip", io->skip, bytes_of(u->skip_from));
}

static void forward(struct unit *unit, const struct unit_io *io, enum unit_mode mode)
{
    const struct unit_seen *u = seen(unit);
    reads_inputs(u, "forward", io);
    spy.real->forward(unit, io, mode);
    wrote(io->y, u->sizes.y_bytes);
    wrote(io->saved, u->sizes.saved_bytes);
}

static void backward(struct unit *unit, const struct unit_io *io)
{
    const struct unit_seen *u = seen(unit);
    reads_inputs(u, "backward", io);
    reads(u, "backward", "y", io->y, u->sizes.y_bytes);
    reads(u, "backward", "saved", io->saved, u->sizes.saved_bytes);
    reads(u, "backward", "dy", io->dy, u->sizes.y_bytes);
    reads(u, "backward", "dy2", io->dy2, u->sizes.y_bytes);
    spy.real->backward(unit, io);
    wrote(io->dx, bytes_of(u->x_from));
    wrote(io->dskip, bytes_of(u->skip_from));
}

static void loss(struct device *d, const float *logits, const int32_t *labels, int batch,
                 int classes, float smoothing, float *dlogits, struct loss *sums)
{
    const struct unit_seen *last = &spy.unit[spy.units - 1];
    reads(last, "the loss", "logits", logits, last->sizes.y_bytes);
    reads(last, "the loss", "labels", labels, last->label_bytes);
    spy.real->loss(d, logits, labels, batch, classes, smoothing, dlogits, sums);
    wrote(dlogits, last->sizes.y_bytes);
    CHECK(last->sizes.y_bytes <= sizeof spy.logits,
          "%zu bytes of logits are more than the spy keeps", last->sizes.y_bytes);
    memcpy(spy.logits, logits, last->sizes.y_bytes);
}

static void upload(struct device *d, void *to, const void *from, size_t bytes)
{
    spy.real->upload(d, to, from, bytes);
    wrote(to, bytes);
}

static void *alloc_block(struct device *d, size_t bytes)
{
    assert_true(spy.blocks < MOST_BLOCKS);
    struct entry *block = &spy.block[spy.blocks++];
    *block = (struct entry){.at = spy.real->alloc(d, bytes), .bytes = bytes};
    return (void *)block->at;
}

const struct backend *spy_on(const struct backend *real, bool records)
{
    memset(&spy, 0, sizeof spy);
    spy.real = real;
    spy.records = records;
    spy.table = *real;
    spy.table.unit_open = unit_open;
    spy.table.forward = forward;
    spy.table.backward = backward;
    spy.table.loss = loss;
    spy.table.upload = upload;
    spy.table.alloc = alloc_block;
    return &spy.table;
}

const float *spy_logits(void)
{
    return (const float *)(const void *)spy.logits;
}

void spy_poison(void)
{
    for (int i = 0; i < spy.blocks; i++)
        memset((void *)spy.block[i].at, 0xff, spy.block[i].bytes);
}

int64_t spy_reads(void)
{
    return spy.reads;
}

int64_t spy_kept(void)
{
    int64_t bytes = 0;
    for (int i = 0; i < spy.units; i++)
        bytes += (int64_t)(spy.unit[i].sizes.y_bytes + spy.unit[i].sizes.saved_bytes);
    return bytes;
}

int64_t spy_greatest(void)
{
    size_t bytes = 0;
    for (int i = 0; i < spy.units; i++)
        bytes = spy.unit[i].sizes.y_bytes > bytes ? spy.unit[i].sizes.y_bytes : bytes;
    return (int64_t)bytes;
}
