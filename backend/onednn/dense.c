/* Three small products: y[n][o] = x[n][i] W[o][i], dW = dz' x, dx = dz W. What is bf16 passes
 * through float32 scratch: x or dx [batch][in], then y or dz [batch][out]. */
#include "backend/onednn/dense.h"

#include "backend/onednn/vector.h"

/* x as [batch][in], an image being one row as it lies, between float32 and its type in memory. */
static void convert(size_t count, const void *from, bool from_bf16, void *to, bool to_bf16)
{
    for (size_t i = 0; i < count; i += STRIP) {
        int lanes = count - i < STRIP ? (int)(count - i) : STRIP;
        vec v;
        vec_get(&v, from, i, lanes, from_bf16);
        vec_put(to, i, &v, lanes, to_bf16);
    }
}

static const float *plain_x(const struct dense *d, const void *x, float *scratch)
{
    if (!d->x_bf16)
        return x;
    convert((size_t)d->batch * (size_t)d->in, x, true, scratch, false);
    return scratch;
}

size_t dense_scratch(const struct dense *d)
{
    return (size_t)d->batch * (size_t)(d->in + d->out) * sizeof(float);
}

/* ReLU where asked, and y in its type. */
static void finish(const struct dense *d, const float *from, void *y)
{
    size_t count = (size_t)d->batch * (size_t)d->out;
    for (size_t i = 0; i < count; i += STRIP) {
        int lanes = count - i < STRIP ? (int)(count - i) : STRIP;
        vec v;
        vec_get(&v, from, i, lanes, false);
        if (d->relu)
            vec_relu(&v);
        vec_put(y, i, &v, lanes, d->y_bf16);
    }
}

void dense_forward(const struct dense *d, const void *x, const float *w, void *y, void *scratch)
{
    const float *bias = w + (size_t)d->out * (size_t)d->in;
    float *sums = d->y_bf16 ? (float *)scratch + (size_t)d->batch * (size_t)d->in : y;
    for (int n = 0; n < d->batch; n++)
        memcpy(sums + (size_t)n * (size_t)d->out, bias, (size_t)d->out * sizeof(float));
    library_sgemm(false, true, d->batch, d->out, d->in, plain_x(d, x, scratch), d->in, w, d->in, 1,
                  sums, d->out);
    if (d->relu || d->y_bf16)
        finish(d, sums, y);
}

/* dz = dy + dy2, where ReLU let through. */
static void take_gradient(const struct dense *d, const struct unit_io *io, float *dz)
{
    size_t count = (size_t)d->batch * (size_t)d->out;
    for (size_t i = 0; i < count; i += STRIP) {
        int lanes = count - i < STRIP ? (int)(count - i) : STRIP;
        vec v, other;
        vec_get(&v, io->dy, i, lanes, d->y_bf16);
        if (io->dy2) {
            vec_get(&other, io->dy2, i, lanes, d->y_bf16);
            v += other;
        }
        if (d->relu) {
            vec_get(&other, io->y, i, lanes, d->y_bf16);
            vec_relu_back(&v, &other);
        }
        vec_put(dz, i, &v, lanes, false);
    }
}

void dense_backward(const struct dense *d, const struct unit_io *io, void *scratch)
{
    size_t out = (size_t)d->out, in = (size_t)d->in, batch = (size_t)d->batch;
    float *x_or_dx = scratch, *dz = x_or_dx + batch * in, *bias = io->g + out * in;
    take_gradient(d, io, dz);
    for (size_t o = 0; o < out; o++) {
        double sum = 0;
        for (size_t n = 0; n < batch; n++)
            sum += (double)dz[n * out + o];
        bias[o] = (float)sum;
    }
    library_sgemm(true, false, d->out, d->in, d->batch, dz, d->out, plain_x(d, io->x, x_or_dx),
                  d->in, 0, io->g, d->in);
    if (!io->dx)
        return;
    float *dx = d->x_bf16 ? x_or_dx : io->dx;
    library_sgemm(false, false, d->batch, d->in, d->out, dz, d->out, io->w, d->in, 0, dx, d->in);
    if (d->x_bf16)
        convert(batch * in, dx, false, io->dx, true);
}
