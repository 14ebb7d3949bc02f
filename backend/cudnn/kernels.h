/* Everything on a GPU that is not a convolution: casts, batch normalisation, pools, the loss, the
 * update of the weights.
 *
 * Tensors: activations and their gradients are [rows][kernel_padded(channels)] elements of one
 * type, a row for each pixel of each image, aligned to 16 bytes. The channels after the last are
 * padding: every call writes zeros there and counts on zeros. Weights, statistics, their gradients
 * and logits are float32 without padding, aligned to a float. All pointers are the device's; what
 * is written overlaps nothing that is read, but where it says so. Order: a call queues one kernel
 * on the stream and returns, so a segment of calls can be captured; nothing is allocated. A launch
 * that fails ends the program (CHECK). Sums are float32 over a few rows, double above, in an order
 * fixed by the shape alone: the same bits every time, on every device. Scratch serves all calls of
 * one stream. */
#ifndef BACKEND_CUDNN_KERNELS_H
#define BACKEND_CUDNN_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "optimizer/optimizer.h"

/* as CUDA's own headers have it: a file that includes this one needs none of them */
typedef struct CUstream_st *cudaStream_t;

enum { KERNEL_LANES = 8, KERNEL_SOURCES = 16 };

/* Channels of a tensor with its padding. */
static inline int kernel_padded(int channels)
{
    return (channels + KERNEL_LANES - 1) / KERNEL_LANES * KERNEL_LANES;
}

/* Bytes of scratch for tensors of up to so many channels and a loss over such a batch. Zeroed once;
 * calls leave its head at zero. */
size_t kernel_scratch_bytes(int channels, int batch);

/* to[to_rows][padded] = from[rows][channels], cast; rows after the last become zero. Images, and
 * weights: there a row is one tap of one output channel, and to_rows has the taps of the
 * padding's. */
void kernel_cast(cudaStream_t stream, enum backend_dtype type, const float *from, int64_t rows,
                 int channels, int64_t to_rows, void *to);

/* The inverse, for gradients of weights: to[rows][channels] = from[rows][padded], as float32. */
void kernel_cast_back(cudaStream_t stream, enum backend_dtype type, const void *from, int64_t rows,
                      int channels, float *to);

/* A data set on the device (struct pixels). */
struct kernel_dataset {
    const uint8_t *pixels; /* [count][channels][height][width] */
    const float *levels;   /* [channels][256], of levels_fill() */
    int channels, height, width;
};

/* to[batch x height x width][padded]: what image_write() makes of each crop, bit for bit in
 * float32. */
void kernel_images(cudaStream_t stream, enum backend_dtype type,
                   const struct kernel_dataset *dataset, const struct crop *crops, int batch,
                   void *to);

struct kernel_plane { /* a tensor of activations, or of their gradients */
    enum backend_dtype type;
    int64_t rows;
    int channels;
};

/* Batch normalisation, v = gamma (z - mean) / deviation + beta. In training `inverse` is 1 /
 * deviation, as kernel_norm_measure() left it for forward and backward; in inference it is NULL and
 * `variance` is given. */
struct kernel_norm {
    const float *gamma, *beta, *mean, *inverse, *variance;
};

struct kernel_statistics {
    float *mean, *inverse;              /* of the batch, kept for backward */
    float *batch_mean, *batch_variance; /* for the caller; biased variance; NULL: nobody */
};

void kernel_norm_measure(cudaStream_t stream, struct kernel_plane plane, const void *z,
                         struct kernel_statistics to, void *scratch);

/* y = v + skip (NULL: none), then ReLU where asked for; without a norm (NULL) v is z. */
void kernel_apply(cudaStream_t stream, struct kernel_plane plane, const struct kernel_norm *norm,
                  const void *z, const void *skip, bool relu, void *y);

/* A gradient that comes to a unit: dy + dy2 (NULL: none), zero where ReLU let nothing through.
 * ReLU's mask is y <= 0; with y NULL it is v <= 0, taken anew from z (a unit without skip). */
struct kernel_output_gradient {
    const void *dy, *dy2, *y;
    bool relu;
};

/* dbeta and dgamma; dskip (NULL: not wanted) gets the masked gradient. */
void kernel_norm_sums(cudaStream_t stream, struct kernel_plane plane,
                      const struct kernel_norm *norm, const void *z,
                      const struct kernel_output_gradient *in, void *dskip, float *dgamma,
                      float *dbeta, void *scratch);

/* dz, after kernel_norm_sums(). Where dskip was written, hand it in as dy, with neither dy2 nor
 * ReLU. */
void kernel_norm_gradient(cudaStream_t stream, struct kernel_plane plane,
                          const struct kernel_norm *norm, const void *z,
                          const struct kernel_output_gradient *in, const float *dgamma,
                          const float *dbeta, void *dz);

/* Without a norm: dz is the masked gradient alone, and so is dskip. */
void kernel_mask(cudaStream_t stream, struct kernel_plane plane,
                 const struct kernel_output_gradient *in, void *dz);

/* The other units, by their shape. `taken` (NULL in evaluation) has a byte for each element of y,
 * padding included: the greatest tap, the first of equals; a NaN counts as greatest. dy2 may be
 * NULL. */
void kernel_max_pool(cudaStream_t stream, enum backend_dtype type, const struct unit_shape *shape,
                     const void *x, void *y, uint8_t *taken);
void kernel_max_pool_back(cudaStream_t stream, enum backend_dtype type,
                          const struct unit_shape *shape, const uint8_t *taken, const void *dy,
                          const void *dy2, void *dx);
void kernel_mean_pool(cudaStream_t stream, enum backend_dtype type, const struct unit_shape *shape,
                      const void *x, void *y);
void kernel_mean_pool_back(cudaStream_t stream, enum backend_dtype type,
                           const struct unit_shape *shape, const void *dy, const void *dy2,
                           void *dx);
void kernel_shortcut(cudaStream_t stream, enum backend_dtype type, const struct unit_shape *shape,
                     const void *x, void *y);
void kernel_shortcut_back(cudaStream_t stream, enum backend_dtype type,
                          const struct unit_shape *shape, const void *dy, const void *dy2,
                          void *dx);

/* Around a dense layer's product. Logits are float32 [batch][classes]: y = z + bias,
 * z[batch][padded] of either type (better float32: bf16 leaves a logit three digits). Back:
 * dz[batch][padded] = dy + dy2 (NULL: none), dbias its sum over the batch. */
void kernel_bias(cudaStream_t stream, enum backend_dtype type_of_z, const void *z, int batch,
                 int classes, const float *bias, float *y);
void kernel_bias_back(cudaStream_t stream, enum backend_dtype type, const float *dy,
                      const float *dy2, int batch, int classes, void *dz, float *dbias);

/* As softmax_loss() (backend/softmax.h), in double; *sums is on the device. */
void kernel_loss(cudaStream_t stream, const float *logits, const int32_t *labels, int batch,
                 int classes, float smoothing, float *dlogits, struct loss *sums, void *scratch);

/* Vectors whose weighted sum is wanted, at most KERNEL_SOURCES; added in the order of the list. */
struct kernel_sources {
    const float *from[KERNEL_SOURCES];
    float scale[KERNEL_SOURCES];
    int count;
};

/* to = sum_i scale[i] x from[i]; `to` may be one of the sources. Bitwise as vector_sum(). */
void kernel_sum(cudaStream_t stream, const struct kernel_sources *sources, int64_t count,
                float *to);

struct kernel_update {
    enum step_rule rule;
    struct step_coefficients
        step_coefficients[2];     /* where weights are no_decay, where they decay */
    const struct range *no_decay; /* [no_decay_count] sorted ranges that do not decay, of a vector
                                     in which w[0] has the index `from` */
    int no_decay_count;
    int64_t from;
    float *w, *m, *v; /* weights and state; NULL where the rule has none */
    float *g;         /* gets the sum of the sources; NULL: not wanted; may be a source */
};

/* One update with the sources' sum as the gradient. Bitwise as optimizer_step_sum(). */
void kernel_step(cudaStream_t stream, const struct kernel_update *update,
                 const struct kernel_sources *sources, int64_t count);

#endif
