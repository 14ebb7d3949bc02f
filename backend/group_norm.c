#include "backend/group_norm.h"

#include <math.h>
#include <string.h>

#include "backend/nhwc.h"

static const double epsilon = 1e-5; /* PyTorch's */

/* A thread's room, carved out of one block. */
struct room {
    double *moments; /* [3][c] */
    float *channels; /* [6][c] */
    float *saved;    /* where nothing is saved */
};

static struct room room_of(const struct unit_shape *s, void *block)
{
    ptrdiff_t c = s->out_c;
    double *moments = block;
    float *channels = (float *)(moments + 3 * c);
    return (struct room){moments, channels, channels + 6 * c};
}

size_t group_norm_room(const struct unit_shape *s)
{
    return (size_t)s->out_c * (3 * sizeof(double) + 8 * sizeof(float));
}

size_t group_norm_saved(const struct unit_shape *s)
{
    return 2 * (size_t)s->groups;
}

size_t group_norm_sums(const struct unit_shape *s)
{
    return 2 * (size_t)s->out_c;
}

static int64_t pixels_of(const struct unit_shape *s)
{
    return (int64_t)s->out_h * s->out_w;
}

/* Of each channel: its group's mean, gamma / deviation, beta; as forward and backward use them. */
static struct nhwc_norm norm_of(const struct unit_shape *s, const float *w, const float *saved,
                                float *channels)
{
    int c = s->out_c, wide = c / s->groups;
    struct nhwc_norm n = {channels, channels + c, channels + 2 * (ptrdiff_t)c};
    for (int k = 0; k < c; k++) {
        n.mean[k] = saved[k / wide];
        n.scale[k] = w[k] * saved[s->groups + k / wide];
        n.beta[k] = w[c + k];
    }
    return n;
}

/* Mean and 1 / deviation of each group, from the moments of its channels. */
static void measure(const struct unit_shape *s, const float *x, double *moments, float *saved)
{
    int c = s->out_c, wide = c / s->groups;
    struct nhwc_moments all = {moments, moments + c, moments + 2 * (ptrdiff_t)c};
    memset(moments, 0, 3 * (size_t)c * sizeof *moments);
    nhwc_moments(x, pixels_of(s), c, c, all);
    for (int g = 0; g < s->groups; g++) {
        struct nhwc_moments first = nhwc_moments_from(all, (int64_t)g * wide);
        for (int k = 1; k < wide; k++)
            nhwc_moments_join(first, nhwc_moments_from(all, (int64_t)g * wide + k), 1);
        saved[g] = (float)first.mean[0];
        saved[s->groups + g] = (float)(1 / sqrt(first.square[0] / first.count[0] + epsilon));
    }
}

void group_norm_forward(const struct unit_shape *s, const float *w, const float *x,
                        const float *skip, float *y, float *saved, void *room)
{
    struct room r = room_of(s, room);
    saved = saved ? saved : r.saved;
    measure(s, x, r.moments, saved);
    nhwc_normalise(x, skip, s->relu, norm_of(s, w, saved, r.channels), pixels_of(s), s->out_c,
                   s->out_c, y);
}

/* With x^ = (x - mean) inverse over the m values of a group, h = gamma g, <> the group's mean:
 * dx = inverse (h - <h> - x^ <h x^>). sums[] has, of each channel, the sums of g and of
 * g (x - mean). */
static struct nhwc_norm_backward settle(const struct unit_shape *s, const float *w,
                                        const float *saved, const double *sums, float *mean,
                                        float *channels)
{
    int c = s->out_c, wide = c / s->groups;
    double m = (double)pixels_of(s) * wide;
    struct nhwc_norm_backward back = {mean, channels, channels + c, channels + 2 * (ptrdiff_t)c};
    for (int g = 0; g < s->groups; g++) {
        double h = 0, product = 0, inverse = saved[s->groups + g];
        for (int k = g * wide; k < (g + 1) * wide; k++) {
            h += (double)w[k] * sums[k];
            product += (double)w[k] * sums[c + k];
        }
        for (int k = g * wide; k < (g + 1) * wide; k++) {
            back.from_g[k] = (float)((double)w[k] * inverse);
            back.from_z[k] = (float)(-inverse * inverse * inverse * product / m);
            back.constant[k] = (float)(-inverse * h / m);
        }
    }
    return back;
}

void group_norm_backward(const struct unit_shape *s, const float *w,
                         const struct group_norm_gradient *of, void *room)
{
    int c = s->out_c, wide = c / s->groups;
    int64_t pixels = pixels_of(s);
    struct room r = room_of(s, room);
    struct nhwc_norm norm = norm_of(s, w, of->saved, r.channels);
    nhwc_relu_backward(s->relu ? NHWC_BY_Y : NHWC_OPEN, of->y, norm, of->dy, of->dy2, pixels, c,
                       of->dx);
    if (of->dskip)
        memcpy(of->dskip, of->dx, (size_t)(pixels * c) * sizeof *of->dskip);
    memset(of->sums, 0, group_norm_sums(s) * sizeof *of->sums);
    nhwc_gradient_sums(of->dx, of->x, norm.mean, pixels, c, of->sums, of->sums + c);
    struct nhwc_norm_backward back =
        settle(s, w, of->saved, of->sums, norm.mean, r.channels + 3 * (ptrdiff_t)c);
    nhwc_gradient(of->dx, of->x, back, pixels, c, of->dx);
    for (int k = 0; k < c; k++)
        of->sums[c + k] *= of->saved[s->groups + k / wide];
}

void group_norm_finish(const struct unit_shape *s, const double *sums, int64_t first, int64_t last,
                       float *g)
{
    int64_t c = s->out_c;
    for (int64_t k = first; k < last; k++) {
        double dgamma = 0, dbeta = 0;
        for (int64_t n = 0; n < s->batch; n++) {
            dbeta += sums[n * 2 * c + k];
            dgamma += sums[n * 2 * c + c + k];
        }
        g[k] = (float)dgamma, g[c + k] = (float)dbeta;
    }
}
