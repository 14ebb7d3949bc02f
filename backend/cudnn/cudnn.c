/* The backend for NVIDIA's GPUs: cuDNN's convolutions, our own kernels for everything between them,
 * float32 or bf16.
 *
 * Tensors lie channels-last, in the device's type, their channels padded to rows of 16 bytes
 * (kernels.h). A unit keeps nothing: what its backward needs lies in `saved`, and that is the
 * convolution's result, the batch's statistics and the weights as the convolution read them. So an
 * evaluation may come in between, with other weights, and a segment of calls can be recorded.
 * Without `saved` all of it goes to scratch. A dense layer is computed in float32 always: that
 * costs nothing, and keeps the logits' digits. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "backend/cudnn/check.h"
#include "backend/cudnn/device.h"
#include "base/alloc.h"
#include "base/random.h"

enum { ALIGN = 256, TILE = 4 << 20 };

struct unit {
    struct device *device;
    struct unit_shape shape;
    struct unit_shape padded;         /* the convolution's, channels as they lie */
    enum backend_dtype dtype;         /* of its operands */
    struct convolve *convolve;        /* NULL: no convolution and no dense layer */
    size_t statistics_at, weights_at; /* in saved, after z */
};

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t element_bytes(enum backend_dtype dtype)
{
    return dtype == DTYPE_BF16 ? 2 : sizeof(float);
}

static int64_t x_rows(const struct unit_shape *s)
{
    return (int64_t)s->batch * s->in_h * s->in_w;
}

static int64_t y_rows(const struct unit_shape *s)
{
    return (int64_t)s->batch * s->out_h * s->out_w;
}

static int64_t taps(const struct unit_shape *s)
{
    return (int64_t)s->kernel * s->kernel;
}

/* Floats of the convolution's weights in w; after them gamma and beta, or the bias. */
static int64_t plain_weights(const struct unit_shape *s)
{
    return s->out_c * taps(s) * s->in_c;
}

static size_t x_bytes(const struct unit *u)
{
    return (size_t)x_rows(&u->shape) * (size_t)u->padded.in_c * element_bytes(u->dtype);
}

static size_t z_bytes(const struct unit *u)
{
    return (size_t)y_rows(&u->shape) * (size_t)u->padded.out_c * element_bytes(u->dtype);
}

static size_t weight_bytes(const struct unit *u)
{
    return (size_t)plain_weights(&u->padded) * element_bytes(u->dtype);
}

static size_t statistic_bytes(const struct unit *u)
{
    return 2 * (size_t)u->shape.out_c * sizeof(float);
}

/* ---- opening */

/* Numbers in [-1, 1): zeros would run faster than a network does. */
static void fill(struct device *d, void *to, size_t bytes, enum backend_dtype dtype)
{
    struct random r = random_at(RANDOM_TEST, 1, 0, 0, 0);
    uint32_t *tile = xcalloc(TILE, 1);
    for (size_t i = 0; i < TILE / sizeof *tile; i++) {
        float v[2] = {(float)(2 * random_uniform(&r) - 1), (float)(2 * random_uniform(&r) - 1)};
        uint32_t bits[2];
        memcpy(bits, v, sizeof bits);
        tile[i] = dtype == DTYPE_BF16 ? bits[0] >> 16 | (bits[1] & 0xffff0000) : bits[0];
    }
    for (size_t at = 0; at < bytes; at += TILE)
        cuda_upload(d, (char *)to + at, tile, bytes - at < TILE ? bytes - at : TILE);
    cuda_finish(d);
    xfree(tile);
}

static void write_key(char key[CHOICE_KEY], enum direction d, const struct unit_shape *s)
{
    static const char *const name[DIRECTIONS] = {"forward", "data", "weights"};
    snprintf(key, CHOICE_KEY, "%s %d x %dx%dx%d to %dx%dx%d kernel %d/%d+%d", name[d], s->batch,
             s->in_h, s->in_w, s->in_c, s->out_h, s->out_w, s->out_c, s->kernel, s->stride, s->pad);
}

/* Every plan is timed for directions that no earlier run has timed here. */
static void choose_plans(struct unit *u)
{
    struct device *d = u->device;
    const size_t bytes[OPERANDS] = {x_bytes(u), weight_bytes(u), z_bytes(u)};
    void *operand[OPERANDS] = {NULL}, *workspace = NULL;
    char key[CHOICE_KEY];
    for (enum direction dir = 0; dir < DIRECTIONS; dir++) {
        if (dir == BACKWARD_DATA && u->shape.first)
            continue;
        write_key(key, dir, &u->padded);
        const char *kept = choices_find(d->choices, key);
        if (kept && convolve_choose(u->convolve, dir, kept))
            continue;
        for (int i = 0; i < OPERANDS && !workspace; i++)
            fill(d, operand[i] = cuda_alloc(d, bytes[i]), bytes[i], u->dtype);
        workspace = workspace ? workspace : cuda_alloc(d, CONVOLVE_WORKSPACE);
        cuda_ready(d);
        convolve_time(u->convolve, dir, operand, workspace, CONVOLVE_WORKSPACE);
        choices_store(d->choices, key, convolve_plan(u->convolve, dir)->name);
    }
    for (int i = 0; i < OPERANDS && workspace; i++)
        cuda_free(d, operand[i]);
    if (workspace)
        cuda_free(d, workspace);
}

static size_t open_convolution(struct unit *u)
{
    struct device *d = u->device;
    const struct unit_shape *s = &u->shape;
    u->padded = *s;
    u->padded.in_c = kernel_padded(s->in_c);
    u->padded.out_c = kernel_padded(s->out_c);
    u->dtype = s->kind == UNIT_DENSE ? DTYPE_F32 : d->dtype;
    u->convolve = convolve_open(d->convolver, &u->padded, u->dtype);
    choose_plans(u);
    cuda_reserve(d, AREA_Z, z_bytes(u));
    cuda_reserve(d, AREA_W, weight_bytes(u));
    cuda_reserve(d, AREA_X, u->dtype != d->dtype ? x_bytes(u) : 0);
    cuda_reserve(d, AREA_STATISTICS, statistic_bytes(u));
    cuda_reserve(d, AREA_WORK, convolve_workspace(u->convolve));
    u->statistics_at = s->norm ? aligned(z_bytes(u)) : 0;
    u->weights_at = u->statistics_at + (s->norm ? aligned(statistic_bytes(u)) : 0);
    return u->weights_at + aligned(weight_bytes(u));
}

static bool has_unit(enum backend_dtype dtype, const struct unit_shape *s)
{
    (void)dtype;
    return unit_is_basic(s);
}

static struct unit *unit_open(struct device *d, const struct unit_shape *s,
                              const struct unit *x_from, const struct unit *skip_from,
                              struct unit_sizes *sizes)
{
    (void)x_from, (void)skip_from; /* there is but one layout */
    if (!has_unit(d->dtype, s))
        unit_unsupported("cudnn", s);
    struct unit *u = xcalloc(1, sizeof *u);
    *u = (struct unit){.device = d, .shape = *s, .dtype = d->dtype};
    assert(s->kind == UNIT_CONV || !s->first);
    cuda_reserve(d, AREA_SUMS, kernel_scratch_bytes(s->out_c, s->batch));
    size_t elements = (size_t)y_rows(s) * (size_t)kernel_padded(s->out_c);
    sizes->y_bytes = s->kind == UNIT_DENSE ? (size_t)s->batch * (size_t)s->out_c * sizeof(float)
                                           : elements * element_bytes(d->dtype);
    sizes->saved_bytes = s->kind == UNIT_CONV || s->kind == UNIT_DENSE ? open_convolution(u)
                         : s->kind == UNIT_MAX_POOL                    ? elements
                                                                       : 0;
    sizes->x_bytes = s->first ? x_bytes(u) : 0;
    return u;
}

static void unit_close(struct unit *u)
{
    convolve_close(u->convolve);
    xfree(u);
}

/* ---- running */

static void run(const struct unit *u, enum direction d, const void *x, const void *w, const void *y)
{
    /* the direction says which one is written */
    void *const operand[OPERANDS] = {(void *)x, (void *)w, (void *)y};
    convolve_run(u->convolve, d, operand, u->device->area[AREA_WORK]);
}

static struct kernel_plane plane_of(const struct unit *u)
{
    return (struct kernel_plane){
        .type = u->dtype, .rows = y_rows(&u->shape), .channels = u->shape.out_c};
}

/* Where a part of `saved` lies, or of scratch when nothing is saved. */
static void *part(const struct unit *u, const struct unit_io *io, size_t at, enum area area)
{
    return io->saved ? (char *)io->saved + at : u->device->area[area];
}

/* Are these floats of the caller's, weights or their gradient, just what the convolution's plans
 * want? */
static bool as_wanted(const struct unit *u, const float *w)
{
    return u->dtype == DTYPE_F32 && u->shape.in_c == u->padded.in_c &&
           u->shape.out_c == u->padded.out_c && (uintptr_t)w % PLAN_ALIGN == 0;
}

/* The weights as the convolution reads them; backward finds what forward has left. */
static const void *weights(const struct unit *u, const struct unit_io *io, bool forward)
{
    if (as_wanted(u, io->w))
        return io->w;
    void *to = part(u, io, u->weights_at, AREA_W);
    if (forward)
        kernel_cast(u->device->compute, u->dtype, io->w, u->shape.out_c * taps(&u->shape),
                    u->shape.in_c, u->padded.out_c * taps(&u->shape), to);
    return to;
}

static void write_gradient(const struct unit *u, const struct unit_io *io, const void *x,
                           const void *dz)
{
    void *dw = as_wanted(u, io->g) ? (void *)io->g : u->device->area[AREA_W];
    run(u, BACKWARD_WEIGHTS, x, dw, dz);
    if (dw != io->g)
        kernel_cast_back(u->device->compute, u->dtype, dw, u->shape.out_c * taps(&u->shape),
                         u->shape.in_c, io->g);
}

/* Of a norm: the statistics lie after z; in inference they are given. */
static struct kernel_norm norm_of(const struct unit *u, const struct unit_io *io,
                                  enum unit_mode mode)
{
    const float *gamma = io->w + plain_weights(&u->shape);
    const float *kept = part(u, io, u->statistics_at, AREA_STATISTICS);
    struct kernel_norm n = {.gamma = gamma, .beta = gamma + u->shape.out_c};
    if (mode == UNIT_INFER) {
        n.mean = io->mean;
        n.variance = io->variance;
    } else {
        n.mean = kept;
        n.inverse = kept + u->shape.out_c;
    }
    return n;
}

static void conv_forward(const struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    const struct unit_shape *s = &u->shape;
    struct device *d = u->device;
    void *z = s->norm ? part(u, io, 0, AREA_Z) : s->skip || s->relu ? d->area[AREA_Z] : io->y;
    run(u, FORWARD, io->x, weights(u, io, true), z);
    if (!s->norm) {
        if (z != io->y)
            kernel_apply(d->compute, plane_of(u), NULL, z, io->skip, s->relu, io->y);
        return;
    }
    struct kernel_norm n = norm_of(u, io, mode);
    if (mode == UNIT_TRAIN)
        kernel_norm_measure(d->compute, plane_of(u), z,
                            (struct kernel_statistics){.mean = (float *)n.mean,
                                                       .inverse = (float *)n.inverse,
                                                       .batch_mean = io->mean,
                                                       .batch_variance = io->variance},
                            d->area[AREA_SUMS]);
    kernel_apply(d->compute, plane_of(u), &n, z, io->skip, s->relu, io->y);
}

/* The gradient of the convolution's result: in scratch, or where it lies already. */
static const void *gradient_of_result(const struct unit *u, const struct unit_io *io)
{
    const struct unit_shape *s = &u->shape;
    struct device *d = u->device;
    void *dz = d->area[AREA_Z];
    struct kernel_output_gradient in = {
        .dy = io->dy, .dy2 = io->dy2, .y = s->norm && !s->skip ? NULL : io->y, .relu = s->relu};
    if (!s->norm) {
        if (!s->relu && !io->dy2 && !io->dskip)
            return io->dy;
        if (io->dskip)
            dz = io->dskip;
        kernel_mask(d->compute, plane_of(u), &in, dz);
        return dz;
    }
    struct kernel_norm n = norm_of(u, io, UNIT_TRAIN);
    float *dgamma = io->g + plain_weights(s), *dbeta = dgamma + s->out_c;
    kernel_norm_sums(d->compute, plane_of(u), &n, io->saved, &in, io->dskip, dgamma, dbeta,
                     d->area[AREA_SUMS]);
    if (io->dskip)
        in = (struct kernel_output_gradient){.dy = io->dskip};
    kernel_norm_gradient(d->compute, plane_of(u), &n, io->saved, &in, dgamma, dbeta, dz);
    return dz;
}

static void conv_backward(const struct unit *u, const struct unit_io *io)
{
    const void *dz = gradient_of_result(u, io);
    if (io->dx)
        run(u, BACKWARD_DATA, io->dx, weights(u, io, false), dz);
    write_gradient(u, io, io->x, dz);
}

/* The dense layer's input in float32. */
static const void *wide_input(const struct unit *u, const struct unit_io *io)
{
    struct device *d = u->device;
    if (d->dtype == DTYPE_F32)
        return io->x;
    kernel_cast_back(d->compute, d->dtype, io->x, u->shape.batch, u->padded.in_c, d->area[AREA_X]);
    return d->area[AREA_X];
}

static void dense_forward(const struct unit *u, const struct unit_io *io)
{
    struct device *d = u->device;
    const struct unit_shape *s = &u->shape;
    run(u, FORWARD, wide_input(u, io), weights(u, io, true), d->area[AREA_Z]);
    kernel_bias(d->compute, DTYPE_F32, d->area[AREA_Z], s->batch, s->out_c,
                io->w + plain_weights(s), io->y);
}

static void dense_backward(const struct unit *u, const struct unit_io *io)
{
    struct device *d = u->device;
    const struct unit_shape *s = &u->shape;
    void *dz = d->area[AREA_Z], *dx = d->dtype == DTYPE_F32 ? io->dx : d->area[AREA_X];
    kernel_bias_back(d->compute, DTYPE_F32, io->dy, io->dy2, s->batch, s->out_c, dz,
                     io->g + plain_weights(s));
    write_gradient(u, io, wide_input(u, io), dz);
    if (!io->dx)
        return;
    run(u, BACKWARD_DATA, dx, weights(u, io, false), dz);
    if (dx != io->dx)
        kernel_cast(d->compute, d->dtype, dx, s->batch, u->padded.in_c, s->batch, io->dx);
}

static void forward(struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    struct device *d = u->device;
    cuda_ready(d);
    switch (u->shape.kind) {
    case UNIT_CONV:
        conv_forward(u, io, mode);
        break;
    case UNIT_DENSE:
        dense_forward(u, io);
        break;
    case UNIT_MAX_POOL:
        kernel_max_pool(d->compute, d->dtype, &u->shape, io->x, io->y, io->saved);
        break;
    case UNIT_MEAN_POOL:
        kernel_mean_pool(d->compute, d->dtype, &u->shape, io->x, io->y);
        break;
    case UNIT_SHORTCUT:
        kernel_shortcut(d->compute, d->dtype, &u->shape, io->x, io->y);
        break;
    case UNIT_DROPOUT: /* refused when it was opened, as is the next */
    case UNIT_GROUP_NORM:
        break;
    }
}

static void backward(struct unit *u, const struct unit_io *io)
{
    struct device *d = u->device;
    cuda_ready(d);
    if (u->shape.kind == UNIT_CONV)
        conv_backward(u, io);
    else if (u->shape.kind == UNIT_DENSE)
        dense_backward(u, io);
    else if (!io->dx)
        return;
    else if (u->shape.kind == UNIT_MAX_POOL)
        kernel_max_pool_back(d->compute, d->dtype, &u->shape, io->saved, io->dy, io->dy2, io->dx);
    else if (u->shape.kind == UNIT_MEAN_POOL)
        kernel_mean_pool_back(d->compute, d->dtype, &u->shape, io->dy, io->dy2, io->dx);
    else
        kernel_shortcut_back(d->compute, d->dtype, &u->shape, io->dy, io->dy2, io->dx);
}

static void load_batch(struct unit *u, const struct resident_dataset *resident, const void *batch,
                       void *x)
{
    struct device *d = u->device;
    int64_t rows = x_rows(&u->shape);
    cuda_ready(d);
    if (resident)
        kernel_images(d->compute, u->dtype, &resident->data, batch, u->shape.batch, x);
    else
        kernel_cast(d->compute, u->dtype, batch, rows, u->shape.in_c, rows, x);
}

static void loss(struct device *d, const float *logits, const int32_t *labels, int batch,
                 int classes, float smoothing, float *dlogits, struct loss *sums)
{
    cuda_ready(d);
    kernel_loss(d->compute, logits, labels, batch, classes, smoothing, dlogits, sums,
                d->area[AREA_SUMS]);
}

static const struct device_kind cuda_device = {
    .download = cuda_download,
    .register_memory = cuda_register_memory,
    .unregister_memory = cuda_unregister_memory,
    .resident_open = cuda_resident_open,
    .resident_close = cuda_resident_close,
    .load_batch = load_batch,
    .segment_open = cuda_segment_open,
    .segment_close = cuda_segment_close,
    .segment_needs_uploads = cuda_segment_needs_uploads,
    .segment_begin = cuda_segment_begin,
    .segment_end = cuda_segment_end,
    .segment_is_done = cuda_segment_is_done,
    .optimizer = &cuda_device_optimizer,
    .buffer = &cuda_device_buffer,
};

const struct backend backend_cudnn = {
    .name = "cudnn",
    .version = cuda_version,
    .has = cuda_has,
    .why_not = cuda_why_not,
    .has_unit = has_unit,
    .tf32 = true,
    .open = cuda_open,
    .close = cuda_close,
    .unit_open = unit_open,
    .unit_close = unit_close,
    .forward = forward,
    .backward = backward,
    .loss = loss,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .upload = cuda_upload,
    .finish = cuda_finish,
    .device = &cuda_device,
};
