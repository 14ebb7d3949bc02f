/* Backward, in two passes over the gradient of y.
 *
 * First, where there is a norm: the sums that its backward needs; the gradient of ReLU's input is
 * written out only where the skipped path wants it. Then, chunk by chunk and the last images first
 * (they are still in cache): dz, and at once dw += dz' patches and dx from dz, so that dz never
 * goes to memory. ReLU's mask comes from z, which is read anyway, or with a skip from y. Teams that
 * sum dw over their own images add it up in the end, in the order of the teams. */
#include <string.h>

#include "backend/openblas/conv.h"
#include "backend/openblas/team.h"

struct backward {
    const struct unit_shape *s;
    const struct conv_plan *plan;
    const struct blas *blas;
    const struct unit_io *io;
    struct conv_saved saved;
    struct nhwc_norm norm;
    struct nhwc_norm_backward back;
    struct conv_scratch scratch;
    enum nhwc_mask mask;
};

/* A chunk as its team sees it: images of the batch, and the gradient of z over them. */
struct chunk {
    struct place p;
    struct span images;
    const float *dz;
    float *patches; /* room for blocks of them */
    float *dw;
    bool first; /* of the team: dw is overwritten */
};

static struct span rows_of(const struct backward *b, struct span images)
{
    return (struct span){images.first * b->plan->pixels, images.last * b->plan->pixels};
}

/* The gradient of ReLU's input for these rows: where the skipped path wants it, else in `room`, or
 * dy itself. */
static const float *relu_backward(const struct backward *b, struct span rows, float *room)
{
    int64_t at = rows.first * b->s->out_c;
    const float *dy = (const float *)b->io->dy + at,
                *dy2 = b->io->dy2 ? (const float *)b->io->dy2 + at : NULL;
    if (b->mask == NHWC_OPEN && !dy2 && !b->s->skip)
        return dy;
    float *to = b->s->skip ? (float *)b->io->dskip + at : room;
    const float *mask_source = b->mask == NHWC_BY_Z ? b->saved.z : b->io->y;
    nhwc_relu_backward(b->mask, mask_source + at, b->norm, dy, dy2, span_length(rows), b->s->out_c,
                       to);
    return to;
}

static void sum_rows(const struct backward *b, int thread)
{
    int channels = b->s->out_c;
    double *sums = conv_moments(&b->scratch, channels, thread).count;
    float *room = b->scratch.room + (int64_t)thread * b->plan->room_rows * channels;
    memset(sums, 0, 2 * (size_t)channels * sizeof *sums);
    struct span mine = span_of(b->s->batch * b->plan->pixels, thread, b->plan->threads);
    for (int64_t r = mine.first; r < mine.last; r += b->plan->room_rows) {
        struct span rows = {r, r + b->plan->room_rows < mine.last ? r + b->plan->room_rows
                                                                  : mine.last};
        const float *g = relu_backward(b, rows, room);
        nhwc_gradient_sums(g, b->saved.z + r * channels, b->saved.mean, span_length(rows), channels,
                           sums, sums + channels);
    }
}

/* With x^ = (z - mean) inverse over n rows: dbeta = sum of g, dgamma = sum of g x^, and
 * dz = gamma inverse (g - dbeta / n - x^ dgamma / n). */
static void settle_back(const struct backward *b, struct span channels)
{
    int64_t count = b->s->out_c;
    double n = (double)(b->s->batch * b->plan->pixels);
    float *dgamma = b->io->g + unit_gamma_at(b->s), *dbeta = dgamma + count;
    for (int64_t c = channels.first; c < channels.last; c++) {
        double sum = 0, product = 0, inverse = b->saved.inverse[c], scale = b->norm.scale[c];
        for (int t = 0; t < b->plan->threads; t++) {
            const double *sums = conv_moments(&b->scratch, b->s->out_c, t).count;
            sum += sums[c], product += sums[count + c];
        }
        dbeta[c] = (float)sum, dgamma[c] = (float)(product * inverse);
        b->back.from_g[c] = b->norm.scale[c];
        b->back.from_z[c] = (float)(-scale * product * inverse * inverse / n);
        b->back.constant[c] = (float)(-scale * sum / n);
    }
}

/* mean, scale and beta as forward had them, to the bit: the mask depends on it. */
static void settle_norm(const struct backward *b, struct span channels)
{
    const float *gamma = b->io->w + unit_gamma_at(b->s);
    for (int64_t c = channels.first; c < channels.last; c++) {
        b->norm.mean[c] = b->saved.mean[c];
        b->norm.scale[c] = gamma[c] * b->saved.inverse[c];
        b->norm.beta[c] = gamma[b->s->out_c + c];
    }
}

/* dz of the chunk: this thread's rows of it go to `room`, the team's; returns where the chunk's
 * lies. */
static const float *make_dz(const struct backward *b, struct place p, struct span images,
                            float *room)
{
    struct span rows = rows_of(b, images), mine = span_part(rows, p.rank, p.size);
    int64_t channels = b->s->out_c;
    if (!b->s->norm)
        return relu_backward(b, mine, room + (mine.first - rows.first) * channels) -
               (mine.first - rows.first) * channels;
    for (int64_t r = mine.first; r < mine.last; r += b->plan->room_rows) {
        struct span few = {r,
                           r + b->plan->room_rows < mine.last ? r + b->plan->room_rows : mine.last};
        float *to = room + (r - rows.first) * channels;
        const float *g =
            b->s->skip ? (const float *)b->io->dskip + r * channels : relu_backward(b, few, to);
        nhwc_gradient(g, b->saved.z + r * channels, b->back, span_length(few), b->s->out_c, to);
    }
    return room;
}

/* dw += dz' patches; each thread of the team sums its own tile of dw. */
static void add_weights(const struct backward *b, const struct chunk *k)
{
    const struct unit_shape *s = b->s;
    int row_parts = b->plan->backward.weight_rows, column_parts = k->p.size / row_parts,
        blocks = b->plan->backward.weight_blocks;
    struct span tile_rows = span_of(s->out_c, k->p.rank / column_parts, row_parts);
    struct span tile_columns = span_of(b->plan->patch, k->p.rank % column_parts, column_parts),
                all = rows_of(b, k->images);
    for (int i = 0; i < blocks; i++) {
        struct span rows = span_part(all, i, blocks);
        struct matrix right = {(const float *)b->io->x + rows.first * s->in_c, s->in_c};
        if (b->plan->algorithm == CONV_IM2COL) {
            struct span mine = span_part(rows, k->p.rank, k->p.size);
            nhwc_im2col(s, b->io->x, mine.first, mine.last,
                        k->patches + (mine.first - rows.first) * b->plan->patch);
            meet(k->p);
            right = (struct matrix){k->patches, b->plan->patch};
        }
        struct matrix left = {k->dz + (rows.first - all.first) * s->out_c + tile_rows.first,
                              s->out_c};
        right.at += tile_columns.first;
        blas_multiply(b->blas, BLAS_TN, span_length(tile_rows), span_length(tile_columns),
                      span_length(rows), left, right, !k->first || i > 0,
                      k->dw + tile_rows.first * b->plan->patch + tile_columns.first,
                      b->plan->patch);
        if (b->plan->algorithm == CONV_IM2COL)
            meet(k->p);
    }
}

/* The same with patches of kernel rows, image by image. */
static void add_weights_by_row(const struct backward *b, const struct chunk *k)
{
    const struct unit_shape *s = b->s;
    struct span outputs = span_of(s->out_c, k->p.rank, k->p.size),
                mine = span_of(s->in_h, k->p.rank, k->p.size);
    int64_t pixels = b->plan->pixels, window = (int64_t)s->kernel * s->in_c;
    for (int i = 0; i < b->plan->backward.weight_blocks; i++) {
        /* one or none */
        struct span image = span_part(k->images, i, b->plan->backward.weight_blocks);
        const float *dz =
            k->dz + (image.first - k->images.first) * pixels * s->out_c + outputs.first;
        if (span_length(image))
            nhwc_im2col_rows(s, (const float *)b->io->x + image.first * pixels * s->in_c,
                             mine.first, mine.last, k->patches + mine.first * s->in_w * window);
        meet(k->p);
        for (int row = 0; row < s->kernel; row++) {
            struct conv_band band = conv_band(s, row);
            blas_multiply(
                b->blas, BLAS_TN, span_length(outputs), window, span_length(image) * band.rows,
                (struct matrix){dz + band.to * s->out_c, s->out_c},
                (struct matrix){k->patches + band.from * window, window}, !k->first || i > 0,
                k->dw + outputs.first * b->plan->patch + band.ky * window, b->plan->patch);
        }
        meet(k->p);
    }
}

/* This thread's tile of a product over `rows` rows: rows and input channels. */
static void data_tile(const struct backward *b, struct place p, int64_t rows,
                      struct span *tile_rows, struct span *tile_columns)
{
    int row_parts = b->plan->backward.data_rows, column_parts = p.size / row_parts;
    *tile_rows = span_of(rows, p.rank / column_parts, row_parts);
    *tile_columns = span_of(b->s->in_c, p.rank % column_parts, column_parts);
}

static void pointwise_data(const struct backward *b, const struct chunk *k)
{
    struct span all = rows_of(b, k->images), rows, columns;
    data_tile(b, k->p, span_length(all), &rows, &columns);
    int64_t in_c = b->s->in_c, out_c = b->s->out_c;
    blas_multiply(b->blas, BLAS_NN, span_length(rows), span_length(columns), out_c,
                  (struct matrix){k->dz + rows.first * out_c, out_c},
                  (struct matrix){b->io->w + columns.first, in_c}, false,
                  (float *)b->io->dx + (all.first + rows.first) * in_c + columns.first, in_c);
}

/* The convolution of dz that gives dx, with the kernel rotated by half a turn. */
static struct unit_shape rotated(const struct unit_shape *s)
{
    return (struct unit_shape){.in_c = s->out_c,
                               .in_h = s->out_h,
                               .in_w = s->out_w,
                               .out_c = s->in_c,
                               .out_h = s->in_h,
                               .out_w = s->in_w,
                               .kernel = s->kernel,
                               .stride = 1,
                               .pad = s->kernel - 1 - s->pad};
}

/* Stride 1: dx is the convolution of dz with the kernel rotated by half a turn. Tap by tap, so that
 * w is used as it lies. */
static void transposed_data(const struct backward *b, const struct chunk *k)
{
    const struct unit_shape *s = b->s, t = rotated(s);
    int taps = s->kernel * s->kernel, blocks = b->plan->backward.data_blocks;
    int64_t pixels = (int64_t)s->in_h * s->in_w, patch = (int64_t)taps * s->out_c;
    struct span all = {0, span_length(k->images) * pixels};
    float *dx = (float *)b->io->dx + k->images.first * pixels * s->in_c;
    for (int i = 0; i < blocks; i++) {
        struct span block = span_part(all, i, blocks),
                    mine = span_part(block, k->p.rank, k->p.size), rows, columns;
        nhwc_im2col(&t, k->dz, mine.first, mine.last,
                    k->patches + (mine.first - block.first) * patch);
        meet(k->p);
        data_tile(b, k->p, span_length(block), &rows, &columns);
        for (int tap = 0; tap < taps; tap++)
            blas_multiply(
                b->blas, BLAS_NN, span_length(rows), span_length(columns), s->out_c,
                (struct matrix){k->patches + rows.first * patch + (int64_t)tap * s->out_c, patch},
                (struct matrix){b->io->w + (int64_t)(taps - 1 - tap) * s->in_c + columns.first,
                                b->plan->patch},
                tap > 0, dx + (block.first + rows.first) * s->in_c + columns.first, s->in_c);
        meet(k->p);
    }
}

static void transposed_data_by_row(const struct backward *b, const struct chunk *k)
{
    const struct unit_shape *s = b->s, t = rotated(s);
    struct span columns = span_of(s->in_c, k->p.rank, k->p.size),
                mine = span_of(s->out_h, k->p.rank, k->p.size);
    int64_t pixels = b->plan->pixels, window = (int64_t)s->kernel * s->out_c;
    for (int i = 0; i < b->plan->backward.data_blocks; i++) {
        /* one or none */
        struct span image = span_part(k->images, i, b->plan->backward.data_blocks);
        const float *dz = k->dz + (image.first - k->images.first) * pixels * s->out_c;
        float *dx = (float *)b->io->dx + image.first * pixels * s->in_c + columns.first;
        if (span_length(image))
            nhwc_im2col_rows(&t, dz, mine.first, mine.last,
                             k->patches + mine.first * s->out_w * window);
        meet(k->p);
        for (int tap = 0; tap < s->kernel * s->kernel && span_length(image); tap++) {
            struct conv_band band = conv_band(&t, tap / s->kernel);
            int kx = tap % s->kernel,
                same = (s->kernel - 1 - band.ky) * s->kernel + (s->kernel - 1 - kx);
            blas_multiply(
                b->blas, BLAS_NN, band.rows, span_length(columns), s->out_c,
                (struct matrix){k->patches + band.from * window + (int64_t)kx * s->out_c, window},
                (struct matrix){b->io->w + (int64_t)same * s->in_c + columns.first, b->plan->patch},
                tap > 0, dx + band.to * s->in_c, s->in_c);
        }
        meet(k->p);
    }
}

/* Any stride: each output pixel makes a patch of dx; patches add up. */
static void scattered_data(const struct backward *b, const struct chunk *k)
{
    const struct unit_shape *s = b->s;
    int blocks = b->plan->backward.data_blocks;
    int64_t patch = b->plan->patch, pixels = b->plan->pixels, out_c = s->out_c,
            in_image = (int64_t)s->in_h * s->in_w * s->in_c;
    for (int i = 0; i < blocks; i++) {
        struct span images = span_part(k->images, i, blocks),
                    mine = span_part(images, k->p.rank, k->p.size);
        struct span rows = span_of(span_length(images) * pixels, k->p.rank, k->p.size);
        const float *dz = k->dz + (images.first - k->images.first) * pixels * out_c;
        blas_multiply(b->blas, BLAS_NN, span_length(rows), patch, out_c,
                      (struct matrix){dz + rows.first * out_c, out_c},
                      (struct matrix){b->io->w, patch}, false, k->patches + rows.first * patch,
                      patch);
        meet(k->p);
        nhwc_col2im(s, k->patches + (mine.first - images.first) * pixels * patch,
                    (int)span_length(mine), (float *)b->io->dx + mine.first * in_image);
        meet(k->p);
    }
}

/* Both gradients, one output pixel of every image and one kernel row after the other. `outputs` and
 * `inputs` are the channels whose dw and whose dx this thread sums. */
static void position_gradients(const struct backward *b, const float *dz, int oy, int ox,
                               struct span outputs, struct span inputs)
{
    const struct unit_shape *s = b->s;
    int64_t in_c = s->in_c, patch = b->plan->patch, in_image = s->in_h * s->in_w * in_c,
            out_image = b->plan->pixels * s->out_c;
    int top = oy * s->stride - s->pad, left = ox * s->stride - s->pad;
    struct nhwc_taps ky = nhwc_taps(top, s->kernel, s->in_h),
                     kx = nhwc_taps(left, s->kernel, s->in_w);
    dz += ((int64_t)oy * s->out_w + ox) * s->out_c;
    for (int y = ky.first; y < ky.last; y++) {
        int64_t pixel = ((int64_t)(top + y) * s->in_w + left + kx.first) * in_c,
                tap = ((int64_t)y * s->kernel + kx.first) * in_c;
        blas_multiply(b->blas, BLAS_TN, span_length(outputs), (kx.last - kx.first) * in_c, s->batch,
                      (struct matrix){dz + outputs.first, out_image},
                      (struct matrix){(const float *)b->io->x + pixel, in_image}, true,
                      b->io->g + outputs.first * patch + tap, patch);
        for (int x = kx.first; x < kx.last && b->io->dx; x++, pixel += in_c, tap += in_c)
            blas_multiply(b->blas, BLAS_NN, s->batch, span_length(inputs), s->out_c,
                          (struct matrix){dz, out_image},
                          (struct matrix){b->io->w + tap + inputs.first, patch}, true,
                          (float *)b->io->dx + pixel + inputs.first, in_image);
    }
}

static void by_position(const struct backward *b, struct place p)
{
    const struct unit_shape *s = b->s;
    struct span outputs = span_of(s->out_c, p.rank, p.size),
                inputs = span_of(s->in_c, p.rank, p.size);
    struct span of_x = span_of((int64_t)s->batch * s->in_h * s->in_w * s->in_c, p.rank, p.size);
    memset(b->io->g + outputs.first * b->plan->patch, 0,
           (size_t)(span_length(outputs) * b->plan->patch) * sizeof(float));
    if (b->io->dx)
        memset((float *)b->io->dx + of_x.first, 0, (size_t)span_length(of_x) * sizeof(float));
    const float *dz = make_dz(b, p, (struct span){0, s->batch}, b->scratch.dz);
    meet(p);
    for (int oy = 0; oy < s->out_h; oy++)
        for (int ox = 0; ox < s->out_w; ox++)
            position_gradients(b, dz, oy, ox, outputs, inputs);
}

typedef void chunk_step(const struct backward *b, const struct chunk *k);

static chunk_step *data_step(const struct backward *b)
{
    if (b->plan->algorithm == CONV_POINTWISE)
        return pointwise_data;
    if (b->plan->algorithm == CONV_BY_ROW)
        return transposed_data_by_row;
    return b->s->stride == 1 ? transposed_data : scattered_data;
}

static void by_chunk(const struct backward *b, struct place p)
{
    const struct conv_plan *plan = b->plan;
    int64_t weights = plan->patch * b->s->out_c;
    struct span team = span_of(b->s->batch, p.team, plan->backward.teams);
    float *room = b->scratch.dz + (size_t)p.team * plan->backward.dz;
    struct chunk k = {.p = p,
                      .patches = b->scratch.patches + (size_t)p.team * plan->backward.patches,
                      .first = true};
    k.dw = p.team ? b->scratch.copies + (p.team - 1) * weights : b->io->g;
    for (int i = plan->backward.chunks - 1; i >= 0; i--, k.first = false) {
        k.images = span_part(team, i, plan->backward.chunks);
        k.dz = make_dz(b, p, k.images, room);
        meet(p);
        (plan->algorithm == CONV_BY_ROW ? add_weights_by_row : add_weights)(b, &k);
        if (b->io->dx)
            data_step(b)(b, &k);
        meet(p);
    }
    if (plan->backward.teams == 1)
        return;
#pragma omp barrier
    struct span mine = span_of(weights, p.thread, plan->threads);
    for (int t = 0; t < plan->backward.teams - 1; t++)
        nhwc_add(b->scratch.copies + t * weights + mine.first, span_length(mine),
                 b->io->g + mine.first);
}

/* The gradient of the bias, for some of the channels; a norm leaves none. */
static void sum_bias(const struct backward *b, struct span channels)
{
    const float *dy2 = b->io->dy2, *y = b->io->y, *dy = b->io->dy;
    int64_t at = channels.first;
    float *dbias = b->io->g + unit_bias_at(b->s) + at;
    memset(dbias, 0, (size_t)span_length(channels) * sizeof *dbias);
    if (b->s->norm)
        return;
    nhwc_column_sums(b->s->relu ? y + at : NULL, dy + at, dy2 ? dy2 + at : NULL,
                     b->s->batch * b->plan->pixels, (int)span_length(channels), b->s->out_c, dbias);
}

static void backward_thread(const void *call, int thread)
{
    const struct backward *b = call;
    struct span channels = span_of(b->s->out_c, thread, b->plan->threads);
    if (b->s->norm) {
        settle_norm(b, channels);
#pragma omp barrier
        sum_rows(b, thread);
#pragma omp barrier
        settle_back(b, channels);
#pragma omp barrier
    }
    if (b->s->bias)
        sum_bias(b, channels);
    struct place p = place_of(thread, b->plan->threads, b->plan->backward.teams);
    if (b->plan->algorithm == CONV_BY_POSITION)
        by_position(b, p);
    else
        by_chunk(b, p);
}

void conv_backward(const struct conv *c)
{
    struct backward b = {.s = c->s,
                         .plan = c->plan,
                         .blas = c->blas,
                         .io = c->io,
                         .saved = conv_saved(c->s, c->io->saved)};
    size_t channels = (size_t)c->s->out_c;
    b.scratch = conv_scratch(c->plan, c->s, c->scratch);
    b.norm = conv_norm(&b.scratch, c->s->out_c);
    float *more = b.scratch.channels + 3 * channels;
    b.back = (struct nhwc_norm_backward){b.norm.mean, more, more + channels, more + 2 * channels};
    b.mask = !c->s->relu ? NHWC_OPEN : c->s->norm && !c->s->skip ? NHWC_BY_Z : NHWC_BY_Y;
    team_run(c->plan->threads, backward_thread, &b);
}
