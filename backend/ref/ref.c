/* The oracle: the kernels of kernels.h in float32, under the contract of backend/backend.h.
 *
 * Tensors lie plainly as [batch][h][w][c]. Scratch belongs to the device and is as large as the
 * largest unit opened so far. Cost: ResNet-20 at batch 16 takes about half a second a step on one
 * core: right first, fast elsewhere. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/host.h"
#include "base/alloc.h"

#define real float
#include "backend/ref/kernels.h"

struct device {
    int threads;
    float *scratch;
    size_t scratch_floats;
};

struct unit {
    struct device *device;
    struct unit_shape shape;
};

static void ref_version(char *text, size_t size)
{
    snprintf(text, size, "plain loops, float32, sums in double");
}

static bool ref_has(enum backend_dtype dtype)
{
    return dtype == DTYPE_F32;
}

static struct device *ref_open(const struct device_options *options)
{
    assert(options->dtype == DTYPE_F32 && options->threads > 0);
    struct device *d = xcalloc(1, sizeof *d);
    d->threads = options->threads;
    return d;
}

static void ref_close(struct device *d)
{
    xfree(d->scratch);
    xfree(d);
}

/* Do the numbers of a shape agree with each other? */
static bool consistent(const struct unit_shape *s)
{
    bool positive = s->batch > 0 && s->in_c > 0 && s->in_h > 0 && s->in_w > 0 && s->out_c > 0 &&
                    s->out_h > 0 && s->out_w > 0;
    bool one = s->out_h == 1 && s->out_w == 1, same_c = s->out_c == s->in_c;
    bool window = s->kernel > 0 && s->stride > 0 && s->pad >= 0 && s->pad < s->kernel &&
                  s->out_h == (s->in_h + 2 * s->pad - s->kernel) / s->stride + 1 &&
                  s->out_w == (s->in_w + 2 * s->pad - s->kernel) / s->stride + 1;
    switch (s->kind) {
    case UNIT_CONV:
        return positive && window;
    case UNIT_DENSE:
        return positive && one;
    case UNIT_MAX_POOL: /* with more padding a window could lie in it altogether */
        return positive && window && same_c && 2 * s->pad <= s->kernel;
    case UNIT_MEAN_POOL:
        return positive && same_c;
    case UNIT_SHORTCUT:
        return positive && s->stride > 0 && s->out_c >= s->in_c &&
               s->out_h == (s->in_h - 1) / s->stride + 1 &&
               s->out_w == (s->in_w - 1) / s->stride + 1;
    case UNIT_DROPOUT:
        return positive && same_c && s->out_h == s->in_h && s->out_w == s->in_w && s->drop >= 0 &&
               s->drop < 1;
    case UNIT_GROUP_NORM:
        return positive && same_c && s->out_h == s->in_h && s->out_w == s->in_w && s->groups > 0 &&
               s->out_c % s->groups == 0 && !s->first;
    }
    return false;
}

static struct unit *ref_unit_open(struct device *d, const struct unit_shape *shape,
                                  const struct unit *x_from, const struct unit *skip_from,
                                  struct unit_sizes *sizes)
{
    (void)x_from, (void)skip_from; /* there is but one layout */
    assert(consistent(shape));
    struct unit *u = xcalloc(1, sizeof *u);
    *u = (struct unit){d, *shape};
    size_t floats = ref_scratch(shape);
    if (floats > d->scratch_floats) {
        xfree(d->scratch);
        d->scratch = xcalloc(floats, sizeof *d->scratch);
        d->scratch_floats = floats;
    }
    *sizes = (struct unit_sizes){.y_bytes = y_count(shape) * sizeof(float),
                                 .saved_bytes = ref_saved(shape) * sizeof(float)};
    return u;
}

static void ref_unit_close(struct unit *u)
{
    xfree(u);
}

static struct ref_call call_of(const struct unit *u, const struct unit_io *io)
{
    return (struct ref_call){.w = io->w,
                             .g = io->g,
                             .x = io->x,
                             .skip = io->skip,
                             .y = io->y,
                             .saved = io->saved,
                             .dy = io->dy,
                             .dy2 = io->dy2,
                             .dx = io->dx,
                             .dskip = io->dskip,
                             .mean = io->mean,
                             .variance = io->variance,
                             .key = io->key,
                             .scratch = u->device->scratch,
                             .threads = u->device->threads};
}

static void forward(struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    struct ref_call call = call_of(u, io);
    ref_forward(&u->shape, &call, mode);
}

static void backward(struct unit *u, const struct unit_io *io)
{
    struct ref_call call = call_of(u, io);
    ref_backward(&u->shape, &call);
}

const struct backend backend_ref = {
    .name = "ref",
    .version = ref_version,
    .has = ref_has,
    .open = ref_open,
    .close = ref_close,
    .unit_open = ref_unit_open,
    .unit_close = ref_unit_close,
    .forward = forward,
    .backward = backward,
    HOST_MEMORY,
};
