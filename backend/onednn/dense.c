/* Three small products: y[n][o] = x[n][i] W[o][i], dW = dy' x, dx = dy W. x and dx pass through
 * float32 scratch. */
#include "backend/onednn/dense.h"

#include "backend/onednn/vector.h"

/* x as [batch][in], 1x1 pixels being plain in every layout, between float32 and the type it is kept
 * in. */
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
    if (!d->x.bf16)
        return x;
    convert((size_t)d->batch * (size_t)d->in, x, true, scratch, false);
    return scratch;
}

size_t dense_scratch(const struct dense *d)
{
    return (size_t)d->batch * (size_t)(d->in + d->out) * sizeof(float);
}

void dense_forward(const struct dense *d, const void *x, const float *w, float *y, void *scratch)
{
    const float *bias = w + (size_t)d->out * (size_t)d->in;
    for (int n = 0; n < d->batch; n++)
        memcpy(y + (size_t)n * (size_t)d->out, bias, (size_t)d->out * sizeof(float));
    library_sgemm(false, true, d->batch, d->out, d->in, plain_x(d, x, scratch), d->in, w, d->in, 1,
                  y, d->out);
}

void dense_backward(const struct dense *d, const struct unit_io *io, void *scratch)
{
    size_t out = (size_t)d->out, in = (size_t)d->in, batch = (size_t)d->batch;
    float *x_or_dx = scratch, *dy = x_or_dx + batch * in, *bias = io->g + out * in;
    memcpy(dy, io->dy, batch * out * sizeof *dy);
    for (size_t i = 0; io->dy2 && i < batch * out; i++)
        dy[i] += ((const float *)io->dy2)[i];
    for (size_t o = 0; o < out; o++) {
        double sum = 0;
        for (size_t n = 0; n < batch; n++)
            sum += (double)dy[n * out + o];
        bias[o] = (float)sum;
    }
    library_sgemm(true, false, d->out, d->in, d->batch, dy, d->out, plain_x(d, io->x, x_or_dx),
                  d->in, 0, io->g, d->in);
    if (!io->dx)
        return;
    float *dx = d->x.bf16 ? x_or_dx : io->dx;
    library_sgemm(false, false, d->batch, d->in, d->out, dy, d->out, io->w, d->in, 0, dx, d->in);
    if (d->x.bf16)
        convert(batch * in, dx, false, io->dx, true);
}
