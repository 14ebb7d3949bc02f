/* Forward: z = patches W' in blocks, then y = relu(norm(z) + skip).
 *
 * With the batch's statistics there are two passes over z: one while its blocks are in cache, just
 * made, for the moments; one that writes y, last rows first, since those are the ones that are
 * still in cache. With given statistics, or without a norm, a block is finished where it was made.
 * z lies in `saved`, or in y where nothing is saved. */
#include <math.h>
#include <string.h>

#include "backend/openblas/conv.h"
#include "backend/openblas/team.h"

struct forward {
    const struct unit_shape *s;
    const struct conv_plan *plan;
    const struct blas *blas;
    const struct unit_io *io;
    bool learns; /* the norm's statistics, from this batch */
    float *z;
    struct conv_saved saved;
    struct nhwc_norm norm;
    struct conv_scratch scratch;
};

static struct span all_channels(const struct forward *f)
{
    return (struct span){0, f->s->out_c};
}

static struct span all_rows(const struct forward *f)
{
    return (struct span){0, f->s->batch * f->plan->pixels};
}

static void finish(const struct forward *f, struct span rows, struct span columns)
{
    int64_t at = rows.first * f->s->out_c + columns.first;
    struct nhwc_norm norm = {f->norm.mean + columns.first, f->norm.scale + columns.first,
                             f->norm.beta + columns.first};
    const float *skip = f->s->skip ? (const float *)f->io->skip + at : NULL;
    nhwc_normalise(f->z + at, skip, f->s->relu, norm, span_length(rows), (int)span_length(columns),
                   f->s->out_c, (float *)f->io->y + at);
}

/* What is done with a tile of z while it is in cache. */
static void tile_made(const struct forward *f, int thread, struct span rows, struct span columns)
{
    if (f->learns) {
        struct nhwc_moments own =
            nhwc_moments_from(conv_moments(&f->scratch, f->s->out_c, thread), columns.first);
        nhwc_moments(f->z + rows.first * f->s->out_c + columns.first, span_length(rows),
                     (int)span_length(columns), f->s->out_c, own);
    } else if (f->s->norm || f->s->bias || f->s->skip || f->s->relu) {
        finish(f, rows, columns);
    }
}

static void block_product(const struct forward *f, struct span rows, struct span columns,
                          struct matrix left)
{
    int64_t patch = f->plan->patch;
    blas_multiply(f->blas, BLAS_NT, span_length(rows), span_length(columns), patch, left,
                  (struct matrix){f->io->w + columns.first * patch, patch}, false,
                  f->z + rows.first * f->s->out_c + columns.first, f->s->out_c);
}

static void make_blocks(const struct forward *f, int thread)
{
    const struct unit_shape *s = f->s;
    const struct conv_plan *plan = f->plan;
    struct place p = place_of(thread, plan->threads, plan->forward.teams);
    struct span team_rows = span_part(all_rows(f), p.team, plan->forward.teams),
                columns = span_part(all_channels(f), p.rank, p.size);
    float *patches = f->scratch.patches + (size_t)p.team * plan->forward.patches;
    for (int b = 0; b < plan->forward.blocks; b++) {
        struct span rows = span_part(team_rows, b, plan->forward.blocks);
        struct matrix left = {(const float *)f->io->x + rows.first * s->in_c, s->in_c};
        if (plan->algorithm == CONV_IM2COL) {
            struct span mine = span_part(rows, p.rank, p.size);
            nhwc_im2col(s, f->io->x, mine.first, mine.last,
                        patches + (mine.first - rows.first) * plan->patch);
            meet(p);
            left = (struct matrix){patches, plan->patch};
        }
        block_product(f, rows, columns, left);
        tile_made(f, thread, rows, columns);
        if (plan->algorithm == CONV_IM2COL)
            meet(p);
    }
}

/* An image at a time; no work on kernel rows that lie in the padding. */
static void make_rows(const struct forward *f, int thread)
{
    const struct unit_shape *s = f->s;
    struct place p = place_of(thread, f->plan->threads, f->plan->forward.teams);
    struct span team = span_of(s->batch, p.team, f->plan->forward.teams),
                columns = span_part(all_channels(f), p.rank, p.size);
    struct span mine = span_of(s->in_h, p.rank, p.size);
    int64_t pixels = f->plan->pixels, window = (int64_t)s->kernel * s->in_c;
    float *patches = f->scratch.patches + (size_t)p.team * f->plan->forward.patches;
    for (int b = 0; b < f->plan->forward.blocks; b++) {
        struct span image = span_part(team, b, f->plan->forward.blocks); /* one or none */
        const float *x = (const float *)f->io->x + image.first * pixels * s->in_c;
        if (span_length(image))
            nhwc_im2col_rows(s, x, mine.first, mine.last, patches + mine.first * s->in_w * window);
        meet(p);
        for (int i = 0; i < s->kernel && span_length(image); i++) {
            struct conv_band band = conv_band(s, i);
            blas_multiply(
                f->blas, BLAS_NT, band.rows, span_length(columns), window,
                (struct matrix){patches + band.from * window, window},
                (struct matrix){f->io->w + columns.first * f->plan->patch + band.ky * window,
                                f->plan->patch},
                i > 0, f->z + (image.first * pixels + band.to) * s->out_c + columns.first,
                s->out_c);
        }
        tile_made(f, thread, (struct span){image.first * pixels, image.last * pixels}, columns);
        meet(p);
    }
}

/* One output pixel of every image: a kernel row's taps are neighbours in x and in w. */
static void make_position(const struct forward *f, int oy, int ox, struct span columns)
{
    const struct unit_shape *s = f->s;
    int64_t in_image = (int64_t)s->in_h * s->in_w * s->in_c, out_image = f->plan->pixels * s->out_c;
    struct nhwc_taps ky = nhwc_taps(oy * s->stride - s->pad, s->kernel, s->in_h),
                     kx = nhwc_taps(ox * s->stride - s->pad, s->kernel, s->in_w);
    for (int k = ky.first; k < ky.last; k++) {
        int64_t iy = oy * s->stride - s->pad + k, ix = ox * s->stride - s->pad + kx.first;
        struct matrix left = {(const float *)f->io->x + (iy * s->in_w + ix) * s->in_c, in_image};
        struct matrix right = {f->io->w + columns.first * f->plan->patch +
                                   ((int64_t)k * s->kernel + kx.first) * s->in_c,
                               f->plan->patch};
        blas_multiply(f->blas, BLAS_NT, s->batch, span_length(columns),
                      (int64_t)(kx.last - kx.first) * s->in_c, left, right, k > ky.first,
                      f->z + ((int64_t)oy * s->out_w + ox) * s->out_c + columns.first, out_image);
    }
}

static void make_positions(const struct forward *f, int thread)
{
    struct span columns = span_part(all_channels(f), thread, f->plan->threads);
    for (int oy = 0; oy < f->s->out_h; oy++)
        for (int ox = 0; ox < f->s->out_w; ox++)
            make_position(f, oy, ox, columns);
    tile_made(f, thread, all_rows(f), columns);
}

/* The norm's coefficients: from the threads' moments, from given statistics, or (without a norm)
 * those that add the bias or nothing. */
static void settle_norm(const struct forward *f, struct span channels)
{
    const float *gamma = f->io->w + unit_gamma_at(f->s), *bias = f->io->w + unit_bias_at(f->s);
    struct nhwc_moments all = conv_moments(&f->scratch, f->s->out_c, 0);
    for (int t = 1; t < f->plan->threads && f->learns; t++)
        nhwc_moments_join(
            nhwc_moments_from(all, channels.first),
            nhwc_moments_from(conv_moments(&f->scratch, f->s->out_c, t), channels.first),
            span_length(channels));
    for (int64_t c = channels.first; c < channels.last; c++) {
        if (!f->s->norm) {
            f->norm.mean[c] = 0, f->norm.scale[c] = 1;
            f->norm.beta[c] = f->s->bias ? bias[c] : 0;
            continue;
        }
        double shift = f->s->bias ? bias[c] : 0; /* of z, which lies without it */
        double mean = f->learns ? all.mean[c] : f->io->mean[c] - shift;
        double variance = f->learns ? all.square[c] / all.count[c] : f->io->variance[c];
        float inverse = (float)(1 / sqrt(variance + conv_epsilon));
        f->norm.mean[c] = (float)mean, f->norm.scale[c] = gamma[c] * inverse,
        f->norm.beta[c] = gamma[f->s->out_c + c];
        if (f->learns && f->saved.z)
            f->saved.mean[c] = (float)mean, f->saved.inverse[c] = inverse;
        if (f->learns && f->io->mean)
            f->io->mean[c] = (float)(mean + shift);
        if (f->learns && f->io->variance)
            f->io->variance[c] = (float)variance;
    }
}

/* One thread's work. Its rows of the last pass are those that its team made in the first. */
static void forward_thread(const void *call, int thread)
{
    const struct forward *f = call;
    struct span channels = span_part(all_channels(f), thread, f->plan->threads);
    if (f->learns) {
        size_t bytes = 3 * (size_t)f->s->out_c * sizeof(double);
        memset(conv_moments(&f->scratch, f->s->out_c, thread).count, 0, bytes);
    } else {
        settle_norm(f, channels);
#pragma omp barrier
    }
    if (f->plan->algorithm == CONV_BY_POSITION)
        make_positions(f, thread);
    else if (f->plan->algorithm == CONV_BY_ROW)
        make_rows(f, thread);
    else
        make_blocks(f, thread);
    if (!f->learns)
        return;
#pragma omp barrier
    settle_norm(f, channels);
#pragma omp barrier
    struct span rows = span_part(all_rows(f), thread, f->plan->threads);
    int blocks = f->plan->forward.blocks;
    for (int b = blocks - 1; b >= 0; b--)
        finish(f, span_part(rows, b, blocks), all_channels(f));
}

void conv_forward(const struct conv *c, enum unit_mode mode)
{
    struct forward f = {.s = c->s,
                        .plan = c->plan,
                        .blas = c->blas,
                        .io = c->io,
                        .learns = c->s->norm && mode == UNIT_TRAIN};
    f.scratch = conv_scratch(c->plan, c->s, c->scratch);
    if (f.learns && c->io->saved)
        f.saved = conv_saved(c->s, c->io->saved);
    f.z = f.saved.z ? f.saved.z : c->io->y;
    f.norm = conv_norm(&f.scratch, c->s->out_c);
    team_run(c->plan->threads, forward_thread, &f);
}
