/* The fast backend for CPUs: oneDNN's convolutions, our own kernels for everything between them,
 * float32 or bf16.
 *
 * Tensors lie channels-last, in the device's type. A unit keeps no activations: `saved` holds the
 * convolution's result and the batch's statistics, the mask of ReLU comes from y or is computed
 * anew. Scratch belongs to the device and is as large as the unit that needs most. Cost beside
 * the convolutions, in passes over y: 3 forward (4 with skip), 5 back (7 with skip). */
#include <assert.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "backend/onednn/algorithm.h"
#include "backend/onednn/convolution.h"
#include "backend/onednn/dense.h"
#include "backend/onednn/group_norm.h"
#include "backend/onednn/norm.h"
#include "backend/onednn/pool.h"
#include "backend/host.h"
#include "base/alloc.h"

enum { ALIGN = 64 };

struct unit {
    struct device *device;
    struct unit_shape shape;
    struct layout x, y;
    struct convolution *convolution; /* UNIT_CONV */
    struct dense dense;              /* UNIT_DENSE */
    struct group_norm group;         /* UNIT_GROUP_NORM */
    struct pool pool;                /* the others */
};

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static bool has(enum backend_dtype dtype)
{
    return dtype == DTYPE_F32 || library_has_bf16();
}

static void version(char *text, size_t size)
{
    library_version(text, size);
}

static struct device *device_open(const struct device_options *options)
{
    assert(options->threads > 0 && has((enum backend_dtype)options->dtype));
    struct device *d = xcalloc(1, sizeof *d);
    char library[32], setting[96];
    d->threads = options->threads;
    d->bf16 = options->dtype == DTYPE_BF16;
    d->quiet = options->quiet;
    d->library = library_open();
    d->blas = blas_open();
    d->tiles = tiles_for(d->bf16);
    library_version(library, sizeof library);
    snprintf(setting, sizeof setting, "%s, %s, %d threads, %s", library,
             d->tiles ? d->tiles->name : "no tiles", d->threads, d->bf16 ? "bf16" : "f32");
    d->choices = choices_open(options->cache, setting);
    if (options->without) {
        algorithms_leave_out(options->without, d->left_out);
        d->restricted = choices_open(NULL, setting);
    }
    return d;
}

static void device_close(struct device *d)
{
    choices_close(d->choices);
    choices_close(d->restricted);
    library_close(d->library);
    xfree(d->scratch);
    xfree(d);
}

/* oneDNN's team is OpenMP's default team, which belongs to the calling thread: it may have served
 * another device. */
static void take_threads(const struct device *d)
{
    if (omp_get_max_threads() != d->threads)
        omp_set_num_threads(d->threads);
}

/* Where the parts of scratch begin: norm's, then dz, then what the convolution wants. */
static size_t dz_at(const struct unit *u)
{
    return u->shape.norm || u->shape.bias ? aligned(norm_scratch(u->y.c, u->device->threads)) : 0;
}

static size_t convolution_at(const struct unit *u)
{
    return dz_at(u) + aligned(layout_bytes(&u->y));
}

static size_t open_convolution(struct unit *u)
{
    struct device *d = u->device;
    u->convolution = convolution_open(d, &u->shape, &u->x, &u->y);
    device_reserve(d, convolution_at(u) + convolution_scratch(u->convolution));
    return u->shape.norm ? aligned(layout_bytes(&u->y)) + norm_saved(u->y.c) : 0;
}

static size_t open_dense(struct unit *u)
{
    const struct unit_shape *s = &u->shape;
    u->dense = (struct dense){.batch = s->batch,
                              .in = s->in_h * s->in_w * s->in_c,
                              .out = s->out_c,
                              .relu = s->relu,
                              .x_bf16 = u->x.bf16,
                              .y_bf16 = u->y.bf16};
    device_reserve(u->device, dense_scratch(&u->dense));
    return 0;
}

static size_t open_group_norm(struct unit *u)
{
    u->group = (struct group_norm){
        .shape = &u->shape, .x = u->x, .y = u->y, .threads = u->device->threads};
    device_reserve(u->device, group_norm_scratch(&u->group));
    return group_norm_saved_bytes(&u->group);
}

static struct layout layout_of(const struct device *d, int n, int c, int h, int w)
{
    return (struct layout){.n = n, .c = c, .h = h, .w = w, .bf16 = d->bf16};
}

/* A window over the images: its x is float32, its y would be bf16. */
static bool has_unit(enum backend_dtype dtype, const struct unit_shape *s)
{
    bool window = s->kind == UNIT_MAX_POOL || s->kind == UNIT_MEAN_POOL || s->kind == UNIT_SHORTCUT;
    return !(s->first && dtype == DTYPE_BF16 && window);
}

static struct unit *unit_open(struct device *d, const struct unit_shape *s,
                              const struct unit *x_from, const struct unit *skip_from,
                              struct unit_sizes *sizes)
{
    if (!has_unit(d->bf16 ? DTYPE_BF16 : DTYPE_F32, s))
        unit_unsupported("onednn", s);
    struct unit *u = xcalloc(1, sizeof *u);
    take_threads(d);
    *u = (struct unit){.device = d, .shape = *s};
    u->x = (struct layout){.n = s->batch, .c = s->in_c, .h = s->in_h, .w = s->in_w, .bf16 = false};
    if (x_from)
        u->x = x_from->y;
    assert(u->x.n == s->batch && u->x.c == s->in_c && u->x.h == s->in_h && u->x.w == s->in_w);
    u->y = layout_of(d, s->batch, s->out_c, s->out_h, s->out_w);
    u->y.bf16 = d->bf16 && (s->kind != UNIT_DENSE || s->hidden);
    assert(!skip_from || (skip_from->y.bf16 == u->y.bf16));
    u->pool = (struct pool){.shape = &u->shape, .x = u->x, .y = u->y, .threads = d->threads};
    sizes->y_bytes = layout_bytes(&u->y);
    sizes->saved_bytes = 0;
    if (s->kind == UNIT_CONV)
        sizes->saved_bytes = open_convolution(u);
    else if (s->kind == UNIT_DENSE)
        sizes->saved_bytes = open_dense(u);
    else if (s->kind == UNIT_GROUP_NORM)
        sizes->saved_bytes = open_group_norm(u);
    else
        sizes->saved_bytes = pool_saved(&u->pool);
    return u;
}

static void unit_close(struct unit *u)
{
    convolution_close(u->convolution);
    xfree(u);
}

/* Without `saved` nothing will go back: the convolution's result is normalised in y. */
static void conv_forward(const struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    const struct unit_shape *s = &u->shape;
    int threads = u->device->threads;
    char *scratch = u->device->scratch;
    bool keep = s->norm && io->saved;
    void *z = keep ? io->saved : io->y;
    convolution_forward(u->convolution, io->x, io->w, z, scratch + convolution_at(u));
    struct norm n;
    const float *bias = s->bias ? io->w + unit_bias_at(s) : NULL;
    if (!s->norm && s->bias) {
        norm_place(&n, u->y.c, threads, NULL, scratch);
        norm_bias(&n, u->y.c, bias);
    }
    if (!s->norm) {
        if (s->bias || s->skip || s->relu)
            norm_apply(s->bias ? &n : NULL, &u->y, threads, z, io->skip, s->relu, io->y);
        return;
    }
    norm_place(&n, u->y.c, threads, keep ? (char *)io->saved + aligned(layout_bytes(&u->y)) : NULL,
               scratch);
    if (mode == UNIT_TRAIN)
        norm_measure(&n, &u->y, threads, z, io->variance);
    else
        norm_given(&n, u->y.c, io->mean, io->variance);
    for (int c = 0; c < u->y.c && mode == UNIT_TRAIN && io->mean; c++)
        io->mean[c] = n.mean[c] + (s->bias ? bias[c] : 0);
    for (int c = 0; c < u->y.c && mode == UNIT_INFER && s->bias; c++)
        n.mean[c] -= bias[c]; /* z lies without it */
    const float *gamma = io->w + unit_gamma_at(s);
    norm_coefficients(&n, u->y.c, gamma, gamma + u->y.c);
    norm_apply(&n, &u->y, threads, z, io->skip, s->relu, io->y);
}

/* The gradient of the convolution's result: in scratch, or where it lies already. */
static const void *gradient_of_result(const struct unit *u, const struct unit_io *io)
{
    const struct unit_shape *s = &u->shape;
    int threads = u->device->threads;
    char *scratch = u->device->scratch;
    void *dz = scratch + dz_at(u);
    struct output_gradient in = {
        .dy = io->dy, .dy2 = io->dy2, .y = s->norm && !s->skip ? NULL : io->y, .relu = s->relu};
    if (!s->norm) {
        if (!s->relu && !io->dy2 && !io->dskip)
            return io->dy;
        if (io->dskip)
            dz = io->dskip;
        norm_mask(&u->y, threads, &in, dz);
        return dz;
    }
    struct norm n;
    const float *gamma = io->w + unit_gamma_at(s);
    float *dgamma = io->g + unit_gamma_at(s);
    norm_place(&n, u->y.c, threads, (char *)io->saved + aligned(layout_bytes(&u->y)), scratch);
    norm_coefficients(&n, u->y.c, gamma, gamma + u->y.c);
    norm_sum_gradient(&n, &u->y, threads, io->saved, &in, io->dskip, dgamma, dgamma + u->y.c);
    if (io->dskip)
        in = (struct output_gradient){.dy = io->dskip};
    norm_gradient(&n, &u->y, threads, io->saved, &in, dz);
    return dz;
}

static void conv_backward(const struct unit *u, const struct unit_io *io)
{
    char *scratch = u->device->scratch;
    const void *dz = gradient_of_result(u, io);
    float *dbias = io->g + unit_bias_at(&u->shape);
    if (u->shape.bias && u->shape.norm)
        memset(dbias, 0, (size_t)u->y.c * sizeof *dbias);
    else if (u->shape.bias)
        norm_sum_bias(&u->y, u->device->threads, dz, dbias);
    if (io->dx)
        convolution_backward_data(u->convolution, io->dx, io->w, dz, scratch + convolution_at(u));
    convolution_backward_weights(u->convolution, io->x, io->g, dz, scratch + convolution_at(u));
}

static void forward(struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    take_threads(u->device);
    if (u->shape.kind == UNIT_CONV)
        conv_forward(u, io, mode);
    else if (u->shape.kind == UNIT_DENSE)
        dense_forward(&u->dense, io->x, io->w, io->y, u->device->scratch);
    else if (u->shape.kind == UNIT_GROUP_NORM)
        group_norm_run(&u->group, io, u->device->scratch);
    else
        pool_forward(&u->pool, io, mode);
}

static void backward(struct unit *u, const struct unit_io *io)
{
    take_threads(u->device);
    if (u->shape.kind == UNIT_CONV)
        conv_backward(u, io);
    else if (u->shape.kind == UNIT_DENSE)
        dense_backward(&u->dense, io, u->device->scratch);
    else if (u->shape.kind == UNIT_GROUP_NORM)
        group_norm_run_back(&u->group, io, u->device->scratch);
    else if (io->dx)
        pool_backward(&u->pool, io);
}

/* As conv_forward() and conv_backward() go through the tensors, in passes over x and y. */
static double conv_traffic(const struct unit *u, const struct unit_io *io)
{
    const struct unit_shape *s = &u->shape;
    double x = (double)layout_bytes(&u->x), y = (double)layout_bytes(&u->y);
    bool skip = s->skip, mask = s->relu && (skip || !s->norm), writes = io->dskip,
         apply = s->norm || s->bias || skip || s->relu;
    int dy = 1 + (io->dy2 != NULL), of_y = 1;           /* the convolution's result */
    of_y += (s->norm ? 1 : 0) + (apply ? 2 + skip : 0); /* statistics; z (and skip) to y */
    if (s->norm)
        of_y += (1 + dy + mask + writes) + (writes ? 3 : 2 + dy + mask); /* sums; dz */
    else if (s->relu || io->dy2 || io->dskip)
        of_y += dy + mask + 1;
    of_y += s->bias + 1 + (io->dx != NULL); /* its gradient; dw and dx read dz */
    return of_y * y + (io->dx ? 3 : 2) * x; /* forward and dw read x */
}

static double traffic(const struct unit *u, const struct unit_io *io)
{
    double x = (double)layout_bytes(&u->x), y = (double)layout_bytes(&u->y);
    if (u->shape.kind == UNIT_CONV)
        return conv_traffic(u, io);
    if (u->shape.kind == UNIT_DENSE)
        return (io->dx ? 3 : 2) * (x + y); /* three products, or two */
    return x + y + 2 * (double)pool_saved(&u->pool) +
           (io->dx ? (1 + (io->dy2 != NULL)) * y + x : 0);
}

const struct backend backend_onednn = {
    .name = "onednn",
    .version = version,
    .has = has,
    .has_unit = has_unit,
    .without = true,
    .open = device_open,
    .close = device_close,
    .unit_open = unit_open,
    .unit_close = unit_close,
    .forward = forward,
    .backward = backward,
    .traffic = traffic,
    HOST_MEMORY,
};
