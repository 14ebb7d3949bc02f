/* The units without parameters as plain loops: pools, He's shortcut, dropout. Part of
 * backend/ref/kernels.h, which defines what an element is. */
#ifndef BACKEND_REF_POOLS_H
#define BACKEND_REF_POOLS_H

#include "backend/dropout.h"
#include "backend/mean_pool.h"

/* Where in its image the greatest element of channel k under a window lies; the first of equals,
 * and any NaN. */
static size_t greatest(const struct unit_shape *s, const real *image, int oy, int ox, int k)
{
    size_t best = SIZE_MAX;
    for (int ky = 0; ky < s->kernel; ky++)
        for (int kx = 0; kx < s->kernel; kx++) {
            int iy = under(s, oy, ky), ix = under(s, ox, kx);
            if (iy < 0 || iy >= s->in_h || ix < 0 || ix >= s->in_w)
                continue;
            size_t at = ((size_t)iy * s->in_w + ix) * s->in_c + k;
            if (best == SIZE_MAX || image[at] > image[best] || isnan(image[at]))
                best = at;
        }
    return best;
}

/* Forward takes the greatest; backward (which finds it again) adds the gradient there. */
static void max_pool(const struct unit_shape *s, const struct ref_call *c, bool back)
{
    size_t in = x_count(s) / s->batch, out = y_count(s) / s->batch;
#pragma omp parallel for num_threads(c->threads)
    for (int b = 0; b < s->batch; b++) {
        if (back)
            memset(c->dx + b * in, 0, in * sizeof(real));
        for (size_t at = 0; at < out; at++) {
            int k = (int)(at % s->out_c), ox = (int)(at / s->out_c % s->out_w),
                oy = (int)(at / s->out_c / s->out_w);
            size_t from = b * in + greatest(s, c->x + b * in, oy, ox, k);
            if (back)
                c->dx[from] += (real)dy_at(c, b * out + at);
            else
                c->y[b * out + at] = c->x[from];
        }
    }
}

/* The mean over the window of each output; the sum runs over its pixels in order. */
static void mean_pool_forward(const struct unit_shape *s, const struct ref_call *c)
{
    for (size_t at = 0; at < y_count(s); at++) {
        size_t k = at % s->out_c, pixel = at / s->out_c, row = pixel / s->out_w,
               image = row / s->out_h * s->in_h;
        struct mean_window rows = mean_window((int)(row % s->out_h), s->in_h, s->out_h),
                           columns = mean_window((int)(pixel % s->out_w), s->in_w, s->out_w);
        double sum = 0;
        for (int iy = rows.first; iy < rows.end; iy++)
            for (int ix = columns.first; ix < columns.end; ix++)
                sum += c->x[((image + iy) * s->in_w + ix) * s->in_c + k];
        c->y[at] = (real)(sum / (mean_window_length(rows) * mean_window_length(columns)));
    }
}

/* Each pixel gathers from the windows that it is in. */
static void mean_pool_backward(const struct unit_shape *s, const struct ref_call *c)
{
    for (size_t at = 0; at < x_count(s); at++) {
        size_t k = at % s->in_c, pixel = at / s->in_c, row = pixel / s->in_w,
               image = row / s->in_h * s->out_h;
        struct mean_window over = mean_window((int)(row % s->in_h), s->out_h, s->in_h),
                           across = mean_window((int)(pixel % s->in_w), s->out_w, s->in_w);
        double sum = 0;
        for (int oy = over.first; oy < over.end; oy++)
            for (int ox = across.first; ox < across.end; ox++) {
                struct mean_window rows = mean_window(oy, s->in_h, s->out_h),
                                   columns = mean_window(ox, s->in_w, s->out_w);
                sum += dy_at(c, ((image + oy) * s->out_w + ox) * s->out_c + k) /
                       (mean_window_length(rows) * mean_window_length(columns));
            }
        c->dx[at] = (real)sum;
    }
}

/* y's channels 0 .. in_c-1 are every stride-th pixel of x, the others zero. Backward goes the same
 * way: the rest of dx is zero. */
static void shortcut(const struct unit_shape *s, const struct ref_call *c, bool back)
{
    if (back)
        memset(c->dx, 0, x_count(s) * sizeof(real));
    for (size_t at = 0; at < y_count(s); at++) {
        size_t k = at % s->out_c, ox = at / s->out_c % s->out_w, row = at / s->out_c / s->out_w;
        size_t b = row / s->out_h, oy = row % s->out_h;
        size_t from = ((b * s->in_h + oy * s->stride) * s->in_w + ox * s->stride) * s->in_c + k;
        bool copied = k < (size_t)s->in_c;
        if (!back)
            c->y[at] = copied ? c->x[from] : 0;
        else if (copied)
            c->dx[from] = (real)dy_at(c, at);
    }
}

/* `from` times the mask, element by element. */
static void dropout_sample(const struct unit_shape *s, const struct ref_call *c, int b, bool back)
{
    size_t count = x_count(s) / s->batch;
    struct random mask = {0};
    float scale = dropout_scale(s->drop);
    if (c->key)
        mask = dropout_mask(s, *c->key, b);
    for (size_t e = 0; e < count; e++) {
        size_t at = b * count + e;
        real factor = c->key ? dropout_factor(s, &mask, e, scale) : 1;
        if (back)
            c->dx[at] = (real)(factor * dy_at(c, at));
        else
            c->y[at] = factor * c->x[at];
    }
}

static void dropout_forward(const struct unit_shape *s, const struct ref_call *c,
                            enum unit_mode mode)
{
    if (mode == UNIT_INFER)
        memcpy(c->y, c->x, y_count(s) * sizeof(real));
    for (int b = 0; b < s->batch && mode == UNIT_TRAIN; b++)
        dropout_sample(s, c, b, false);
}

static void dropout_backward(const struct unit_shape *s, const struct ref_call *c)
{
    for (int b = 0; b < s->batch; b++)
        dropout_sample(s, c, b, true);
}

#endif
