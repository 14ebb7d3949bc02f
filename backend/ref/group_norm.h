/* Group normalisation as plain loops (Wu and He 2018, arXiv:1803.08494; epsilon and its place as in
 * PyTorch). Part of backend/ref/kernels.h, which defines what an element is. */
#ifndef BACKEND_REF_GROUP_NORM_H
#define BACKEND_REF_GROUP_NORM_H

/* Element `at` of image b's group g, at = 0 .. pixels x wide - 1. */
static inline size_t in_group(const struct unit_shape *s, size_t b, size_t g, size_t at)
{
    size_t wide = s->out_c / s->groups, pixels = (size_t)s->out_h * s->out_w;
    return (b * pixels + at / wide) * s->out_c + g * wide + at % wide;
}

static size_t group_size(const struct unit_shape *s)
{
    return y_count(s) / s->batch / s->groups;
}

static void measure_group(const struct unit_shape *s, const struct ref_call *c, size_t b, size_t g,
                          double *mean, double *inverse)
{
    size_t m = group_size(s);
    double sum = 0, squares = 0;
    for (size_t at = 0; at < m; at++)
        sum += c->x[in_group(s, b, g, at)];
    *mean = sum / (double)m;
    for (size_t at = 0; at < m; at++) {
        double difference = c->x[in_group(s, b, g, at)] - *mean;
        squares += difference * difference;
    }
    *inverse = 1.0 / sqrt(squares / (double)m + norm_epsilon);
}

/* y = relu(gamma (x - mean) inverse + beta + skip); the same in training and inference. Saved: mean
 * and inverse of each group. */
static void group_norm_forward(const struct unit_shape *s, const struct ref_call *c)
{
    const real *gamma = c->w, *beta = c->w + s->out_c;
    for (size_t b = 0; b < (size_t)s->batch; b++)
        for (size_t g = 0; g < (size_t)s->groups; g++) {
            double mean, inverse;
            measure_group(s, c, b, g, &mean, &inverse);
            if (c->saved) {
                c->saved[2 * (b * s->groups + g)] = (real)mean;
                c->saved[2 * (b * s->groups + g) + 1] = (real)inverse;
            }
            for (size_t at = 0; at < group_size(s); at++) {
                size_t i = in_group(s, b, g, at), k = i % s->out_c;
                double v = gamma[k] * (c->x[i] - mean) * inverse + beta[k];
                real sum = (real)(s->skip ? v + c->skip[i] : v);
                c->y[i] = s->relu && sum < 0 ? 0 : sum;
            }
        }
}

/* Element i of x, normalised. */
static double normal_at(const struct unit_shape *s, const struct ref_call *c, size_t i)
{
    size_t group = i % s->out_c / (s->out_c / s->groups);
    const real *saved = c->saved + 2 * (i / (y_count(s) / s->batch) * s->groups + group);
    return ((double)c->x[i] - saved[0]) * saved[1];
}

/* dx = inverse (h - mean of h - x^ mean of h x^), h = gamma dz; means over the group. */
static void group_norm_dx(const struct unit_shape *s, const struct ref_call *c, size_t b, size_t g)
{
    size_t m = group_size(s);
    double inverse = c->saved[2 * (b * s->groups + g) + 1], sum = 0, product = 0;
    for (size_t at = 0; at < m; at++) {
        size_t i = in_group(s, b, g, at);
        double h = c->w[i % s->out_c] * dz_at(s, c, i);
        sum += h;
        product += h * normal_at(s, c, i);
    }
    for (size_t at = 0; at < m; at++) {
        size_t i = in_group(s, b, g, at);
        double h = c->w[i % s->out_c] * dz_at(s, c, i);
        c->dx[i] = (real)(inverse * (h - (sum + normal_at(s, c, i) * product) / (double)m));
    }
}

static void group_norm_backward(const struct unit_shape *s, const struct ref_call *c)
{
    for (size_t k = 0; k < (size_t)s->out_c; k++) {
        double dgamma = 0, dbeta = 0;
        for (size_t i = k; i < y_count(s); i += s->out_c) {
            dgamma += dz_at(s, c, i) * normal_at(s, c, i);
            dbeta += dz_at(s, c, i);
        }
        c->g[k] = (real)dgamma;
        c->g[s->out_c + k] = (real)dbeta;
    }
    for (size_t i = 0; i < y_count(s) && s->skip; i++)
        c->dskip[i] = (real)dz_at(s, c, i);
    for (size_t b = 0; b < (size_t)s->batch && c->dx; b++)
        for (size_t g = 0; g < (size_t)s->groups; g++)
            group_norm_dx(s, c, b, g);
}

#endif
