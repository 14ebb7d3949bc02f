/* What computes: one contract for plain loops, OpenBLAS, oneDNN and a GPU.
 *
 * The thing handed to a backend is a whole unit (convolution, batch normalisation, addition of the
 * skipped path, ReLU; or a dense layer, a pool, a shortcut). It is opened once for its shape, so
 * that kernels, layouts and workspaces are chosen once, and then run forward and back. Units hold
 * no activations: those are passed in, so one opened unit serves training and evaluation. Weights
 * and gradients are float32 in host order: convolutions [out][kh][kw][in] (PyTorch's
 * channels-last), dense layers [out][in], then gamma, beta or the bias. How activations lie and in
 * which type is the backend's business: a tensor is bytes in its memory, and the unit that writes
 * it says how many. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data_loader/data_loader.h"
#include "optimizer/optimizer.h"
#include "backend/device.h"

enum unit_kind {
    UNIT_CONV,     /* convolution, then as the flags say: + bias, batch norm, + skip, ReLU */
    UNIT_DENSE,    /* y = x W' + b over a whole image, flattened as it lies, [h][w][c]; then ReLU as
                   the flag says. y is float32, plain [batch][out] (logits), unless `hidden` */
    UNIT_MAX_POOL, /* any window with 2 pad <= kernel, kernel^2 <= 256 */
    UNIT_MEAN_POOL,  /* to any size, by the windows of backend/mean_pool.h; to 1x1: over the whole
                       image */
    UNIT_SHORTCUT,   /* He's option A: every stride-th pixel, further channels are zero */
    UNIT_DROPOUT,    /* training: each element (or channel) is 0 with probability `drop`, else
                       x / (1 - drop), by the mask of backend/dropout.h; inference: y = x */
    UNIT_GROUP_NORM, /* of each image by itself, over the channels of each of `groups`; gamma, beta;
                        then + skip, ReLU as the flags say; the same in inference */
};

struct unit_shape {
    enum unit_kind kind;
    int batch;
    int in_c, in_h, in_w;
    int out_c, out_h, out_w;
    int kernel, stride, pad;
    bool norm, skip, relu; /* UNIT_CONV: what follows the convolution, skip has the output's shape;
                              UNIT_DENSE: relu; UNIT_GROUP_NORM: skip, relu */
    bool first;  /* its input is the batch of images, float32 NHWC (a device: as load_batch() left
                   it); no gradient of it is wanted */
    bool bias;   /* UNIT_CONV: adds one number an output channel. A norm takes it out again: it
                    shows in the mean alone, and its gradient is 0 */
    bool hidden; /* UNIT_DENSE: y is an activation like any other, in the backend's type */
    float drop;  /* UNIT_DROPOUT: probability, 0 <= drop < 1 */
    int number;  /* UNIT_DROPOUT: of this unit in its network; part of the mask's key */
    bool by_channel; /* UNIT_DROPOUT: a sample's channel is dropped as a whole */
    int groups;      /* UNIT_GROUP_NORM: divides the channels */
};

/* At most: weight, bias (where there is one; a dense layer has), gamma and beta of a norm. */
enum { UNIT_TENSORS = 4 };

/* What a unit reads and writes in one call. Forward leaves in `saved` what backward needs; x, skip,
 * y and saved are the same in both. saved may be NULL in forward: then no backward follows. dy2,
 * when not NULL, is a second gradient of y (y was read by two units): backward adds both. */
struct unit_io {
    const float *w;           /* the unit's parameters, contiguous */
    uint64_t weights_version; /* names the contents of w: a unit that has converted the weights of
                                 this weights_version keeps them; 0: unknown */
    float *g;                 /* backward: their gradient, overwritten */
    const void *x, *skip;
    void *y, *saved;
    const void *dy, *dy2;
    void *dx;               /* backward: gradient of x, overwritten; NULL: not wanted */
    void *dskip;            /* backward: gradient of skip, overwritten; NULL only without skip */
    float *mean, *variance; /* batch norm: forward training writes the batch's statistics (biased
                               variance) here when not NULL; forward inference reads them */
    const uint64_t *key;    /* dropout in training: names this step's masks, the same in forward and
                            backward; lies where the other pointers lie. NULL: nothing is dropped */
};

struct unit_sizes {
    size_t x_bytes; /* of a device's first unit: the images as load_batch() leaves them; else 0 */
    size_t y_bytes; /* of y, its gradients dy and dy2, and dskip of the unit that reads y as skip */
    size_t saved_bytes; /* 0 when evaluation only */
};

struct device_options {
    int threads; /* of this rank */
    int dtype; /* enum backend_dtype: of the activations; sums, statistics and weights stay float32
                */
    /* File of choices timed earlier, NULL: none (by CPU, threads, dtype and shape). */
    const char *cache;
    const char *without; /* algorithms of a convolution to leave out, "winograd,simd"; NULL: none.
                            Only where backend.without */
    bool quiet;
    int number; /* of this rank among those of its host: with several GPUs it takes that one (modulo
                   how many there are) */
    bool tf32;  /* products of float32 may be rounded to TF32's 10 bits; only where the backend has
                   it */
};

enum backend_dtype { DTYPE_F32, DTYPE_BF16 };

struct loss {
    double sum;         /* of the batch's losses, in nats, label smoothing included */
    int64_t top1, top5; /* samples whose label is the greatest logit, among the five greatest (ties
                           count against) */
};

enum unit_mode {
    /* statistics of the batch, or those given in mean and variance */
    UNIT_TRAIN,
    UNIT_INFER
};

struct option_set;
struct cudnn_options {
    bool tf32, data_on_device;
};
extern const struct option_set cudnn_option_set;

/* What a backend of that name takes, or auto may; NULL: nothing of its own. */
const struct option_set *backend_option_set(const char *name);

struct device; /* a backend opened: its threads, library handles and scratch; the backend's own */
struct unit;   /* a unit opened for its shape; the backend's own */

struct backend {
    const char *name;
    void (*version)(char *text, size_t size); /* of the library, in words */
    bool (*has)(enum backend_dtype dtype);    /* does this machine run it in this type? */
    /* Where has() says no: the reason, in words; NULL: it knows none but the type. */
    void (*why_not)(enum backend_dtype dtype, char *text, size_t size);
    /* Can it open such a unit in this type? NULL: any. */
    bool (*has_unit)(enum backend_dtype dtype, const struct unit_shape *shape);
    bool tf32;    /* can it round products of float32 to TF32, for speed? */
    bool without; /* has it algorithms that can be left out? Unknown names are fatal in open() */
    struct device *(*open)(const struct device_options *);
    void (*close)(struct device *);
    /* x_from and skip_from: the units that write x and skip (NULL: the images; no skip), so that
     * layouts can agree. A tensor and its gradients lie in the layout of the unit that writes the
     * tensor. Fills sizes. */
    struct unit *(*unit_open)(struct device *, const struct unit_shape *, const struct unit *x_from,
                              const struct unit *skip_from, struct unit_sizes *sizes);
    void (*unit_close)(struct unit *);
    void (*forward)(struct unit *, const struct unit_io *, enum unit_mode);
    void (*backward)(struct unit *, const struct unit_io *);
    /* Bytes of activations and of their gradients that a forward and a backward of training with
     * such an io read and write; a tensor counts in each pass over it. NULL: it does not know. */
    double (*traffic)(const struct unit *, const struct unit_io *);
    /* Softmax cross-entropy of plain float32 logits [batch][classes]; dlogits (NULL: not wanted)
     * gets the gradient of the mean, *sums is overwritten. A NaN among a sample's logits makes the
     * sum NaN and is no hit. */
    void (*loss)(struct device *, const float *logits, const int32_t *labels, int batch,
                 int classes, float smoothing, float *dlogits, struct loss *sums);
    void *(*alloc)(struct device *, size_t bytes); /* zeroed memory for activations */
    void (*free)(struct device *, void *);
    /* From host memory into alloc()'s. A device: calls made later find it there; calls made before
     * must not use `to`, and `from` stays as it is until finish(). */
    void (*upload)(struct device *, void *to, const void *from, size_t bytes);
    void (*finish)(struct device *);  /* waits until all calls are done */
    const struct device_kind *device; /* backend/device.h; NULL: it works in the host's memory */
};

extern const struct backend
    *const backends[]; /* fastest first, ends with NULL; the table in backend/backend.c */

const char *backend_names(void); /* "cudnn|onednn|openblas|ref": all, built in or not */

/* The backend of that name, "auto": the fastest that is built in and runs `dtype` here. Fatal when
 * unknown, not built in, or unable; says which were. */
const struct backend *backend_find(const char *name, enum backend_dtype dtype);

/* What --server-device names: "cpu": NULL; "gpu": the first backend's that can be had here. Fatal
 * when there is none. */
const struct device_optimizer_kind *backend_device_optimizer(const char *where);

int64_t unit_parameters(const struct unit_shape *shape); /* floats in w */
int64_t unit_bias_at(const struct unit_shape *shape); /* of a convolution: floats before its bias */
int64_t unit_gamma_at(const struct unit_shape *shape); /* and before its gamma */

/* "conv + bias", "hidden dense + ReLU", "dropout": what a backend may lack. */
void unit_describe(const struct unit_shape *shape, char *text, size_t size);
bool unit_is_basic(const struct unit_shape *shape); /* one of those that a ResNet needs */
/* Fatal: the backend of that name has no such unit. Whoever asked network_backend() before does not
 * come here. */
void unit_unsupported(const char *backend, const struct unit_shape *shape)
    __attribute__((noreturn)); /* C++ compiles this header, too */

double unit_flops(const struct unit_shape *shape); /* of one forward pass of the batch, taps in the
                                                      padding counted; 2 per multiply-add */

#endif
