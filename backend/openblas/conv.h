/* A convolution with its batch norm, skipped path and ReLU, forward and back, as matrix products of
 * cache-sized blocks. */
#ifndef BACKEND_OPENBLAS_CONV_H
#define BACKEND_OPENBLAS_CONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "backend/nhwc.h"
#include "backend/blas.h"

/* How a convolution becomes products of matrices. */
enum conv_algorithm {
    CONV_POINTWISE, /* 1x1, stride 1: the pixels are the rows */
    CONV_IM2COL,    /* patches are copied into rows, a block at a time */
    CONV_BY_ROW, /* large images, stride 1, same size out: patches of one kernel row; its other rows
                    see the same patches, some rows off, so an image takes one product for each
                    kernel row */
    CONV_BY_POSITION, /* tiny images: one product for each output pixel and each kernel row that it
                         sees, over the whole batch: no patches, and no work on taps that see
                         padding only */
};

/* Who does what, decided once from the shape. The threads form teams; a team has a range of the
 * batch to itself, shares the patches of its blocks and cuts its products into tiles, one for each
 * of its threads. */
struct conv_plan {
    enum conv_algorithm algorithm;
    int threads;
    int64_t pixels, patch; /* output pixels of an image; floats of a patch, kernel^2 in_c */
    struct {
        int teams, blocks; /* blocks of a team's rows; its threads cut the output channels */
        size_t patches;    /* floats, of a team */
    } forward;
    struct {
        int teams, chunks; /* of a team's images: a chunk's dz stays in cache while both gradients
                              are made of it */
        int weight_blocks, weight_rows; /* of a chunk; parts into which a team cuts the output
                                           channels (the rest cuts the patch) */
        int data_blocks, data_rows; /* of a chunk; parts into which a team cuts the rows (the rest
                                       cuts the input channels) */
        size_t patches, dz;         /* floats, of a team */
    } backward;
    int64_t room_rows; /* of a gradient between two passes, in level 1 cache: a thread's room */
};

struct conv_plan conv_plan(const struct unit_shape *s, int threads);

/* CONV_BY_ROW, pixels of an image: what kernel row `ky` adds to outputs to .. to+rows-1 comes from
 * patches from .. from+rows-1. */
struct conv_band {
    int ky;
    int64_t from, to, rows;
};

/* The i-th of `kernel`; the first is the middle one, which adds to every output. */
static inline struct conv_band conv_band(const struct unit_shape *s, int i)
{
    int ky = (s->pad + i) % s->kernel, shift = ky - s->pad, height = s->in_h;
    int rows = height - (shift < 0 ? -shift : shift);
    return (struct conv_band){ky, (int64_t)(shift > 0 ? shift : 0) * s->in_w,
                              (int64_t)(shift < 0 ? -shift : 0) * s->in_w,
                              (int64_t)(rows > 0 ? rows : 0) * s->in_w};
}

/* What a call works with besides its tensors, carved out of one block; nothing lives there between
 * calls. */
struct conv_scratch {
    float *channels; /* 6 arrays of out_c floats */
    double *sums;    /* 3 arrays of out_c doubles for each thread */
    float *room;     /* room_rows x out_c for each thread */
    float *patches, *dz, *copies;
    size_t floats; /* of the whole block */
};

struct conv_scratch conv_scratch(const struct conv_plan *plan, const struct unit_shape *s,
                                 float *block);

/* The moments that a thread gathers. */
static inline struct nhwc_moments conv_moments(const struct conv_scratch *scratch, int channels,
                                               int thread)
{
    double *count = scratch->sums + (size_t)thread * 3 * (size_t)channels;
    return (struct nhwc_moments){count, count + channels, count + 2 * channels};
}

static inline struct nhwc_norm conv_norm(const struct conv_scratch *scratch, int channels)
{
    return (struct nhwc_norm){scratch->channels, scratch->channels + channels,
                              scratch->channels + 2 * (size_t)channels};
}

/* From forward to backward, where there is a norm: the convolution's output, its mean and 1 /
 * deviation by channel. */
struct conv_saved {
    float *mean, *inverse, *z;
    size_t bytes;
};

struct conv_saved conv_saved(const struct unit_shape *s, void *block);

/* All that a call needs to know. */
struct conv {
    const struct unit_shape *s;
    const struct conv_plan *plan;
    const struct blas *blas;
    const struct unit_io *io;
    float *scratch;
};

static const double conv_epsilon = 1e-5; /* of the norm; PyTorch's */

void conv_forward(const struct conv *c, enum unit_mode mode);
void conv_backward(const struct conv *c);

#endif
