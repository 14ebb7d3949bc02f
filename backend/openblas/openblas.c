/* The backend that runs on any machine: matrix products by OpenBLAS, everything else by the kernels
 * of nhwc.h; float32.
 *
 * Tensors lie as [batch][h][w][c], so that 1x1 convolutions are products as they lie and others
 * products of patches (im2col); weights are used as they come. One parallel region a pass, in which
 * BLAS runs single-threaded: the threads are ours. Scratch is one block for the whole device, as
 * large as the unit opened so far that needs most. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/blas.h"
#include "backend/group_norm.h"
#include "backend/openblas/conv.h"
#include "backend/openblas/team.h"
#include "backend/host.h"
#include "base/alloc.h"
#include "base/check.h"

struct device {
    int threads;
    struct blas blas;
    float *scratch;
    size_t scratch_floats;
};

struct unit {
    struct device *device;
    struct unit_shape shape;
    struct conv_plan plan; /* of a convolution */
};

static void version(char *text, size_t size)
{
    snprintf(text, size, "%s", blas_open().config);
}

static bool has(enum backend_dtype dtype)
{
    return dtype == DTYPE_F32 && blas_open().sgemm;
}

static struct device *device_open(const struct device_options *options)
{
    assert(options->dtype == DTYPE_F32 && options->threads > 0);
    struct device *d = xcalloc(1, sizeof *d);
    d->blas = blas_open();
    CHECK(d->blas.sgemm, "%s", d->blas.config);
    d->threads = d->blas.reentrant ? options->threads : 1;
    return d;
}

static void device_close(struct device *d)
{
    xfree(d->scratch);
    xfree(d);
}

/* Floats: the sums of all images, then a room for each thread. */
static size_t group_scratch(const struct device *d, const struct unit_shape *s)
{
    size_t sums = (size_t)s->batch * group_norm_sums(s) * sizeof(double);
    return (sums + (size_t)d->threads * group_norm_room(s)) / sizeof(float);
}

static struct unit *unit_open(struct device *d, const struct unit_shape *shape,
                              const struct unit *x_from, const struct unit *skip_from,
                              struct unit_sizes *sizes)
{
    (void)x_from, (void)skip_from; /* there is but one layout */
    struct unit *u = xcalloc(1, sizeof *u);
    *u = (struct unit){.device = d, .shape = *shape};
    size_t floats = 0, outputs = (size_t)shape->batch * (size_t)shape->out_h *
                                 (size_t)shape->out_w * (size_t)shape->out_c;
    *sizes = (struct unit_sizes){.y_bytes = outputs * sizeof(float)};
    if (shape->kind == UNIT_CONV) {
        u->plan = conv_plan(shape, d->threads);
        floats = conv_scratch(&u->plan, shape, NULL).floats;
        sizes->saved_bytes = conv_saved(shape, NULL).bytes;
    } else if (shape->kind == UNIT_DENSE) {
        floats = outputs;
    } else if (shape->kind == UNIT_MAX_POOL) {
        sizes->saved_bytes = outputs; /* the tap taken, a byte each */
    } else if (shape->kind == UNIT_GROUP_NORM) {
        floats = group_scratch(d, shape);
        sizes->saved_bytes = (size_t)shape->batch * group_norm_saved(shape) * sizeof(float);
    }
    if (floats > d->scratch_floats) {
        xfree(d->scratch);
        d->scratch = xcalloc(floats, sizeof *d->scratch);
        d->scratch_floats = floats;
    }
    return u;
}

static void unit_close(struct unit *u)
{
    xfree(u);
}

/* A call of a unit that is no convolution. */
struct plain_call {
    const struct unit *u;
    const struct unit_io *io;
    enum unit_mode mode;
};

/* What a dense layer reads of a sample: a whole image, as it lies. */
static int64_t inputs_of(const struct unit_shape *s)
{
    return (int64_t)s->in_h * s->in_w * s->in_c;
}

static void dense_forward(const struct plain_call *call, int thread, int threads)
{
    const struct unit_shape *s = &call->u->shape;
    const struct unit_io *io = call->io;
    int64_t in_c = inputs_of(s), out_c = s->out_c;
    struct span outputs = span_of(out_c, thread, threads);
    const float *bias = io->w + out_c * in_c;
    float *y = io->y;
    for (int64_t n = 0; n < s->batch; n++)
        memcpy(y + n * out_c + outputs.first, bias + outputs.first,
               (size_t)span_length(outputs) * sizeof *y);
    blas_multiply(&call->u->device->blas, BLAS_NT, s->batch, span_length(outputs), in_c,
                  (struct matrix){io->x, in_c}, (struct matrix){io->w + outputs.first * in_c, in_c},
                  true, y + outputs.first, out_c);
    for (int64_t n = 0; n < s->batch && s->relu; n++)
        nhwc_relu(span_length(outputs), y + n * out_c + outputs.first);
}

static void dense_backward(const struct plain_call *call, int thread, int threads)
{
    const struct unit_shape *s = &call->u->shape;
    const struct unit_io *io = call->io;
    const struct device *d = call->u->device;
    int64_t in_c = inputs_of(s), out_c = s->out_c;
    struct span outputs = span_of(out_c, thread, threads), inputs = span_of(in_c, thread, threads);
    const float *dy = io->dy;
    if (io->dy2 || s->relu) {
        struct span mine = span_of(s->batch * out_c, thread, threads);
        struct nhwc_norm none = {0};
        nhwc_relu_backward(s->relu ? NHWC_BY_Y : NHWC_OPEN, (const float *)io->y + mine.first, none,
                           dy + mine.first, io->dy2 ? (const float *)io->dy2 + mine.first : NULL, 1,
                           (int)span_length(mine), d->scratch + mine.first);
        dy = d->scratch;
#pragma omp barrier
    }
    float *dbias = io->g + out_c * in_c;
    memset(dbias + outputs.first, 0, (size_t)span_length(outputs) * sizeof *dbias);
    for (int64_t n = 0; n < s->batch; n++)
        nhwc_add(dy + n * out_c + outputs.first, span_length(outputs), dbias + outputs.first);
    blas_multiply(&d->blas, BLAS_TN, span_length(outputs), in_c, s->batch,
                  (struct matrix){dy + outputs.first, out_c}, (struct matrix){io->x, in_c}, false,
                  io->g + outputs.first * in_c, in_c);
    if (io->dx)
        blas_multiply(&d->blas, BLAS_NN, s->batch, span_length(inputs), out_c,
                      (struct matrix){dy, out_c}, (struct matrix){io->w + inputs.first, in_c},
                      false, (float *)io->dx + inputs.first, in_c);
}

/* Of some images. */
static void group_forward(const struct plain_call *call, int thread, struct span images)
{
    const struct unit_shape *s = &call->u->shape;
    const struct unit_io *io = call->io;
    size_t image = (size_t)s->out_h * (size_t)s->out_w * (size_t)s->out_c;
    char *room = (char *)call->u->device->scratch + (size_t)thread * group_norm_room(s);
    for (size_t n = (size_t)images.first; n < (size_t)images.last; n++)
        group_norm_forward(s, io->w, (const float *)io->x + n * image,
                           s->skip ? (const float *)io->skip + n * image : NULL,
                           (float *)io->y + n * image,
                           io->saved ? (float *)io->saved + n * group_norm_saved(s) : NULL, room);
}

static void group_backward(const struct plain_call *call, int thread, int threads,
                           struct span images)
{
    const struct unit_shape *s = &call->u->shape;
    const struct unit_io *io = call->io;
    size_t image = (size_t)s->out_h * (size_t)s->out_w * (size_t)s->out_c;
    double *sums = (double *)(void *)call->u->device->scratch;
    char *room = (char *)(sums + (size_t)s->batch * group_norm_sums(s)) +
                 (size_t)thread * group_norm_room(s);
    for (size_t n = (size_t)images.first; n < (size_t)images.last; n++) {
        const struct group_norm_gradient of = {
            .x = (const float *)io->x + n * image,
            .y = (const float *)io->y + n * image,
            .dy = (const float *)io->dy + n * image,
            .dy2 = io->dy2 ? (const float *)io->dy2 + n * image : NULL,
            .dx = (float *)io->dx + n * image,
            .dskip = s->skip ? (float *)io->dskip + n * image : NULL,
            .saved = (const float *)io->saved + n * group_norm_saved(s),
            .sums = sums + n * group_norm_sums(s)};
        group_norm_backward(s, io->w, &of, room);
    }
#pragma omp barrier
    struct span channels = span_of(s->out_c, thread, threads);
    group_norm_finish(s, sums, channels.first, channels.last, io->g);
}

/* Everything but convolutions: one thread's outputs, or its images. */
static void forward_part(const void *plain, int thread)
{
    const struct plain_call *call = plain;
    const struct unit_shape *s = &call->u->shape;
    const struct unit_io *io = call->io;
    int threads = call->u->device->threads;
    struct span images = span_of(s->batch, thread, threads);
    int first = (int)images.first, last = (int)images.last;
    switch (s->kind) {
    case UNIT_CONV:
        break;
    case UNIT_DENSE:
        dense_forward(call, thread, threads);
        break;
    case UNIT_MAX_POOL:
        nhwc_max_pool(s, io->x, first, last, io->y, io->saved);
        break;
    case UNIT_MEAN_POOL:
        nhwc_mean_pool(s, io->x, first, last, io->y);
        break;
    case UNIT_SHORTCUT:
        nhwc_shortcut(s, io->x, first, last, io->y);
        break;
    case UNIT_DROPOUT:
        nhwc_dropout(s, call->mode == UNIT_TRAIN ? io->key : NULL, io->x, first, last, io->y);
        break;
    case UNIT_GROUP_NORM:
        group_forward(call, thread, images);
        break;
    }
}

static void backward_part(const void *plain, int thread)
{
    const struct plain_call *call = plain;
    const struct unit_shape *s = &call->u->shape;
    const struct unit_io *io = call->io;
    int threads = call->u->device->threads;
    struct span images = span_of(s->batch, thread, threads);
    int first = (int)images.first, last = (int)images.last;
    if (s->kind == UNIT_DENSE)
        dense_backward(call, thread, threads);
    else if (s->kind == UNIT_GROUP_NORM)
        group_backward(call, thread, threads, images);
    else if (!io->dx)
        return;
    else if (s->kind == UNIT_MAX_POOL)
        nhwc_max_pool_back(s, io->saved, io->dy, io->dy2, first, last, io->dx);
    else if (s->kind == UNIT_MEAN_POOL)
        nhwc_mean_pool_back(s, io->dy, io->dy2, first, last, io->dx);
    else if (s->kind == UNIT_SHORTCUT)
        nhwc_shortcut_back(s, io->dy, io->dy2, first, last, io->dx);
    else
        nhwc_dropout_back(s, io->key, io->dy, io->dy2, first, last, io->dx);
}

static void forward(struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    const struct device *d = u->device;
    if (u->shape.kind == UNIT_CONV)
        conv_forward(&(struct conv){&u->shape, &u->plan, &d->blas, io, d->scratch}, mode);
    else
        team_run(d->threads, forward_part, &(struct plain_call){u, io, mode});
}

static void backward(struct unit *u, const struct unit_io *io)
{
    const struct device *d = u->device;
    if (u->shape.kind == UNIT_CONV)
        conv_backward(&(struct conv){&u->shape, &u->plan, &d->blas, io, d->scratch});
    else
        team_run(d->threads, backward_part, &(struct plain_call){u, io, UNIT_TRAIN});
}

const struct backend backend_openblas = {
    .name = "openblas",
    .version = version,
    .has = has,
    .open = device_open,
    .close = device_close,
    .unit_open = unit_open,
    .unit_close = unit_close,
    .forward = forward,
    .backward = backward,
    HOST_MEMORY,
};
