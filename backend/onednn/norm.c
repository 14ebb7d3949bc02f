/* Batch normalisation (Ioffe and Szegedy 2015) with what follows it, fused.
 *
 * The statistics are sums of z - z0 and its square, z0 being the channel's first pixel: no
 * cancellation even where the mean is far from zero. ReLU's mask is y > 0; without a skip it is
 * computed anew from z, which saves reading y. The loops themselves, and the bytes they move, are
 * in kernels.inc. */
#include "backend/onednn/norm.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "backend/onednn/kernels.h"
#include "backend/onednn/chunks.h"
#include "backend/onednn/vector.h"

static const float EPS = 1e-5f;

enum {
    ROWS_A_SUM = 64,         /* after so many rows a float32 sum goes into its double */
    STREAM_BYTES = 12 << 20, /* results larger than this go past the caches */
};

static const struct kernels *kernels_of(const struct layout *l)
{
    return kernels_for(l->bf16);
}

static int64_t rows_of(const struct layout *l)
{
    return (int64_t)l->n * l->h * l->w;
}

/* Runs the kernel over all rows, in chunks of neighbouring ones. */
static void for_rows(const struct layout *l, int threads, rows_kernel *kernel,
                     const struct rows *shared)
{
    int64_t rows = rows_of(l);
    int chunks = chunks_of(rows, ROWS_A_SUM, threads);
    struct rows r = *shared;
    r.channels = l->c;
    r.stream = l->c % STRIP == 0 && layout_bytes(l) > STREAM_BYTES;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int i = 0; i < chunks; i++)
        kernel(&r, (size_t)chunk_at(rows, chunks, i), (size_t)chunk_at(rows, chunks, i + 1));
}

/* The same with sums: float32 over some rows, double over a chunk of them, all chunks together in
 * n->sums[0 .. 2 c - 1]. */
static void sum_over_rows(const struct norm *n, const struct layout *l, int threads,
                          rows_kernel *kernel, const struct rows *shared)
{
    int64_t rows = rows_of(l);
    int chunks = chunks_of(rows, ROWS_A_SUM, threads), channels = l->c;
#pragma omp parallel num_threads(threads)
    {
        struct rows r = *shared;
        r.channels = channels;
        r.stream = channels % STRIP == 0 && layout_bytes(l) > STREAM_BYTES;
        r.sums[0] = n->part + (size_t)omp_get_thread_num() * 2 * (size_t)channels;
        r.sums[1] = r.sums[0] + channels;
#pragma omp for schedule(dynamic)
        for (int i = 0; i < chunks; i++) {
            double *sums = n->sums + (size_t)i * 2 * (size_t)channels;
            int64_t end = chunk_at(rows, chunks, i + 1);
            memset(sums, 0, 2 * (size_t)channels * sizeof *sums);
            for (int64_t row = chunk_at(rows, chunks, i); row < end; row += ROWS_A_SUM) {
                memset(r.sums[0], 0, 2 * (size_t)channels * sizeof(float));
                kernel(&r, (size_t)row, (size_t)(end - row < ROWS_A_SUM ? end : row + ROWS_A_SUM));
                for (int c = 0; c < 2 * channels; c++)
                    sums[c] += (double)r.sums[0][c];
            }
        }
#pragma omp for
        for (int c = 0; c < 2 * channels; c++)
            for (int i = 1; i < chunks; i++)
                n->sums[c] += n->sums[(size_t)i * 2 * (size_t)channels + (size_t)c];
    }
}

static size_t padded(int channels)
{
    return ((size_t)channels + STRIP - 1) / STRIP * STRIP;
}

size_t norm_saved(int channels)
{
    return 2 * padded(channels) * sizeof(float);
}

size_t norm_scratch(int channels, int threads)
{
    size_t sums = (size_t)most_chunks(threads) * sizeof(double) + (size_t)threads * sizeof(float);
    return 7 * padded(channels) * sizeof(float) + 2 * padded(channels) * sums;
}

void norm_place(struct norm *n, int channels, int threads, void *saved, void *scratch)
{
    size_t step = padded(channels);
    float *at = scratch;
    *n = (struct norm){.scale = at,
                       .shift = at + step,
                       .from_dy = at + 2 * step,
                       .from_z = at + 3 * step,
                       .bias = at + 4 * step};
    n->mean = saved ? saved : at + 5 * step;
    n->inverse = n->mean + step;
    n->sums = (double *)(at + 7 * step);
    n->part = (float *)(n->sums + (size_t)most_chunks(threads) * 2 * step);
}

/* The first pixel of each channel, as the origin of its sums; kept in n->bias, which is not used
 * before backward. */
static void take_origin(const struct norm *n, const struct layout *l, const void *z)
{
    for (int c = 0; c < l->c; c += STRIP) {
        int lanes = layout_lanes(l, c);
        vec v;
        vec_get(&v, z, (size_t)c, lanes, l->bf16);
        vec_put(n->bias, (size_t)c, &v, lanes, false);
    }
}

void norm_measure(const struct norm *n, const struct layout *l, int threads, const void *z,
                  float *variance)
{
    double count = (double)rows_of(l);
    take_origin(n, l, z);
    struct rows r = {.z = z, .origin = n->bias};
    sum_over_rows(n, l, threads, kernels_of(l)->measure, &r);
    for (int c = 0; c < l->c; c++) {
        double shifted = n->sums[c] / count, spread = n->sums[l->c + c] / count - shifted * shifted;
        spread = spread > 0 ? spread : 0;
        n->mean[c] = (float)((double)n->bias[c] + shifted);
        n->inverse[c] = (float)(1 / sqrt(spread + (double)EPS));
        if (variance)
            variance[c] = (float)spread;
    }
}

void norm_given(const struct norm *n, int channels, const float *mean, const float *variance)
{
    for (int c = 0; c < channels; c++) {
        n->mean[c] = mean[c];
        n->inverse[c] = 1 / sqrtf(variance[c] + EPS);
    }
}

void norm_coefficients(const struct norm *n, int channels, const float *gamma, const float *beta)
{
    for (int c = 0; c < channels; c++) {
        n->scale[c] = gamma[c] * n->inverse[c];
        n->shift[c] = beta[c] - n->mean[c] * n->scale[c];
    }
}

void norm_apply(const struct norm *n, const struct layout *l, int threads, const void *z,
                const void *skip, bool relu, void *y)
{
    struct rows r = {.z = z, .skip = skip, .relu = relu, .out = y};
    if (n) {
        r.scale = n->scale;
        r.shift = n->shift;
    }
    for_rows(l, threads, kernels_of(l)->apply, &r);
}

void norm_sum_gradient(const struct norm *n, const struct layout *l, int threads, const void *z,
                       const struct output_gradient *in, void *masked, float *dgamma, float *dbeta)
{
    double count = (double)rows_of(l);
    struct rows r = {
        .z = z, .y = in->y, .dy = in->dy, .dy2 = in->dy2, .relu = in->relu, .out = masked};
    r.origin = n->mean;
    r.scale = n->scale;
    r.shift = n->shift;
    sum_over_rows(n, l, threads, kernels_of(l)->sum_gradient, &r);
    for (int c = 0; c < l->c; c++) {
        double beta = n->sums[c], gamma = n->sums[l->c + c] * (double)n->inverse[c];
        dbeta[c] = (float)beta;
        dgamma[c] = (float)gamma;
        double from_z = -(double)n->scale[c] * gamma / count * (double)n->inverse[c];
        n->from_dy[c] = n->scale[c];
        n->from_z[c] = (float)from_z;
        n->bias[c] = (float)(-(double)n->scale[c] * beta / count - (double)n->mean[c] * from_z);
    }
}

void norm_gradient(const struct norm *n, const struct layout *l, int threads, const void *z,
                   const struct output_gradient *in, void *dz)
{
    struct rows r = {.z = z, .y = in->y, .dy = in->dy, .dy2 = in->dy2, .relu = in->relu, .out = dz};
    r.scale = n->scale;
    r.shift = n->shift;
    r.from_dy = n->from_dy;
    r.from_z = n->from_z;
    r.bias = n->bias;
    for_rows(l, threads, kernels_of(l)->gradient, &r);
}

void norm_mask(const struct layout *l, int threads, const struct output_gradient *in, void *masked)
{
    struct rows r = {.y = in->y, .dy = in->dy, .dy2 = in->dy2, .relu = in->relu, .out = masked};
    assert(!in->relu || in->y);
    for_rows(l, threads, kernels_of(l)->mask, &r);
}

void norm_bias(const struct norm *n, int channels, const float *bias)
{
    for (int c = 0; c < channels; c++) {
        n->scale[c] = 1;
        n->shift[c] = bias[c];
    }
}

/* Sums of the channels c .. c + STRIP - 1, of those that there are. */
CLONES static void sum_strip(const struct layout *l, const void *dz, int c, float *sums)
{
    typedef double wide __attribute__((vector_size(8 * STRIP)));
    wide sum = {0};
    int lanes = layout_lanes(l, c);
    size_t channels = (size_t)l->c, end = layout_elements(l);
    for (size_t at = (size_t)c; at < end; at += channels) {
        vec v;
        vec_get(&v, dz, at, at + STRIP <= end ? STRIP : lanes, l->bf16);
        sum += __builtin_convertvector(v, wide);
    }
    for (int i = 0; i < lanes; i++)
        sums[i] = (float)sum[i];
}

void norm_sum_bias(const struct layout *l, int threads, const void *dz, float *dbias)
{
#pragma omp parallel for num_threads(threads)
    for (int c = 0; c < l->c; c += STRIP)
        sum_strip(l, dz, c, dbias + c);
}
