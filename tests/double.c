/* backend_double: the reference's loops compiled for double, under the contract of
 * backend/backend.h.
 *
 * With it a network's execution can be compared with PyTorch's double and against finite
 * differences to seven digits, where float32 leaves three to five. Scratch as in the reference
 * backend: one for all units, as large as the greediest wants it. */
#include <math.h>
#include <string.h>

#include "backend/host.h"
#include "base/alloc.h"
#include "tests/network_fixture.h"

#define real double
#include "backend/ref/kernels.h"

struct device {
    int threads;
    double *scratch;
    size_t scratch_count;
};

struct unit {
    struct device *device;
    struct unit_shape shape;
    double *w, *g, *mean, *variance; /* what the contract has in float32 */
};

static bool has(enum backend_dtype dtype)
{
    return dtype == DTYPE_F32;
}

static struct device *open_device(const struct device_options *options)
{
    struct device *d = xcalloc(1, sizeof *d);
    d->threads = options->threads;
    return d;
}

static void close_device(struct device *d)
{
    xfree(d->scratch);
    xfree(d);
}

static struct unit *open_unit(struct device *d, const struct unit_shape *shape,
                              const struct unit *x_from, const struct unit *skip_from,
                              struct unit_sizes *sizes)
{
    (void)x_from, (void)skip_from;
    struct unit *u = xcalloc(1, sizeof *u);
    size_t parameters = (size_t)unit_parameters(shape), channels = (size_t)shape->out_c,
           scratch = ref_scratch(shape);
    double *block = xcalloc(2 * parameters + 2 * channels, sizeof *block);
    *u = (struct unit){d,
                       *shape,
                       block,
                       block + parameters,
                       block + 2 * parameters,
                       block + 2 * parameters + channels};
    if (scratch > d->scratch_count) {
        xfree(d->scratch);
        d->scratch = xcalloc(scratch, sizeof *d->scratch);
        d->scratch_count = scratch;
    }
    *sizes = (struct unit_sizes){.y_bytes = y_count(shape) * sizeof(double),
                                 .saved_bytes = ref_saved(shape) * sizeof(double)};
    return u;
}

static void close_unit(struct unit *u)
{
    xfree(u->w);
    xfree(u);
}

static void widen(double *to, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = from[i];
}

static void narrow(float *to, const double *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = (float)from[i];
}

static struct ref_call call_of(const struct unit *u, const struct unit_io *io)
{
    struct ref_call c = {.w = u->w,
                         .g = u->g,
                         .y = io->y,
                         .saved = io->saved,
                         .x = io->x,
                         .skip = io->skip,
                         .dy = io->dy,
                         .dy2 = io->dy2};
    c.dx = io->dx;
    c.dskip = io->dskip;
    c.mean = io->mean ? u->mean : NULL;
    c.variance = io->variance ? u->variance : NULL;
    c.key = io->key;
    c.scratch = u->device->scratch;
    c.threads = u->device->threads;
    return c;
}

/* Images come in float32: the unit that reads them gets a copy. */
static double *images_of(const struct unit *u, struct ref_call *c, const struct unit_io *io)
{
    if (!u->shape.first)
        return NULL;
    double *x = xcalloc(x_count(&u->shape), sizeof *x);
    widen(x, io->x, (int64_t)x_count(&u->shape));
    c->x = x;
    return x;
}

static void forward(struct unit *u, const struct unit_io *io, enum unit_mode mode)
{
    struct ref_call c = call_of(u, io);
    double *images = images_of(u, &c, io);
    bool norm_in = u->shape.norm && mode == UNIT_INFER,
         norm_out = u->shape.norm && mode == UNIT_TRAIN && io->mean;
    widen(u->w, io->w, unit_parameters(&u->shape));
    if (norm_in) {
        widen(u->mean, io->mean, u->shape.out_c);
        widen(u->variance, io->variance, u->shape.out_c);
    }
    ref_forward(&u->shape, &c, mode);
    if (norm_out) {
        narrow(io->mean, u->mean, u->shape.out_c);
        narrow(io->variance, u->variance, u->shape.out_c);
    }
    xfree(images);
}

static void backward(struct unit *u, const struct unit_io *io)
{
    struct ref_call c = call_of(u, io);
    double *images = images_of(u, &c, io);
    widen(u->w, io->w, unit_parameters(&u->shape));
    ref_backward(&u->shape, &c);
    narrow(io->g, u->g, unit_parameters(&u->shape));
    xfree(images);
}

/* The logits are what the dense unit wrote: doubles, whatever the contract's type says. */
static void loss(struct device *d, const float *logits, const int32_t *labels, int batch,
                 int classes, float smoothing, float *dlogits, struct loss *sums)
{
    (void)d;
    *sums = (struct loss){0};
    for (int b = 0; b < batch; b++) {
        const double *z = (const double *)(const void *)logits + (ptrdiff_t)b * classes;
        double *dz = dlogits ? (double *)(void *)dlogits + (ptrdiff_t)b * classes : NULL, all = 0;
        int ahead = 0;
        for (int c = 0; c < classes; c++) {
            all += exp(z[c]);
            ahead += c != labels[b] && z[c] >= z[labels[b]];
        }
        for (int c = 0; c < classes; c++) {
            double target =
                (c == labels[b] ? 1.0 - (double)smoothing : 0.0) + (double)smoothing / classes;
            sums->sum -= target * (z[c] - log(all));
            if (dz)
                dz[c] = (exp(z[c]) / all - target) / batch;
        }
        sums->top1 += ahead < 1;
        sums->top5 += ahead < 5;
    }
}

const struct backend backend_double = {
    .name = "double",
    .has = has,
    .open = open_device,
    .close = close_device,
    .unit_open = open_unit,
    .unit_close = close_unit,
    .forward = forward,
    .backward = backward,
    .loss = loss,
    .alloc = host_alloc,
    .free = host_free,
    .upload = host_upload,
    .finish = host_finish,
};
