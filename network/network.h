/* A network opened on a backend: a model's list of units executed forward and back.
 *
 * Where activations lie is planned once: memory is used again as soon as nothing needs it. The
 * network has no weights: they are handed in, so that many ranks of one process can share it. */
#ifndef NETWORK_NETWORK_H
#define NETWORK_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "model/model.h"
#include "backend/backend.h"

struct network;

/* The first backend from `first` on, in the order of backends[], that has all units of the model in
 * this type here. Where that is another than `first` and `says`, a line on stderr says which unit
 * was lacking and who computes. Fatal where no other has them. */
const struct backend *network_backend(const struct model *a, const struct backend *first,
                                      enum backend_dtype dtype, bool says);

/* Is called with `what` NULL after each unit that was opened, whose kernels may have been timed,
 * and on a CPU after each unit that is computed without a hook; before something long that is of no
 * unit with its name. call NULL: nobody listens. */
struct network_listener {
    void (*call)(void *self, const char *what);
    void *self;
};

/* Opens every unit on the device, with room for an evaluation and, when `training`, for a gradient
 * under way beside it. */
struct network *network_open(const struct model *a, const struct backend *b, struct device *device,
                             float smoothing, bool training, struct network_listener listener);
void network_close(struct network *n);
int64_t network_bytes(const struct network *n); /* of activations */
/* Bytes of activations and of their gradients that one gradient reads and writes, as the backend
 * computes it: what a cache keeps from one pass to the next counts, too. Of a network opened for
 * training; 0: the backend does not know. */
double network_traffic(const struct network *n);

/* Called after each unit's forward (step 0 .. units-1) and each unit's backward (step units .. 2
 * units - 1); `from` is the first float of g that is final by now. False: leave at once. On a
 * device it is called while the device computes, many times for one step and for others never;
 * steps never fall, the last call has the last step, `from` tells what has arrived. */
typedef bool network_hook(void *self, int step, int64_t from);
int64_t network_final_from(const struct network *n, int step); /* that `from` */

/* Weights as they are handed to a network: a weights_version names their contents (0: unknown), see
 * backend/backend.h. */
struct weights {
    const float *w;
    uint64_t weights_version;
};

/* A batch as it is handed to a network: float32 NHWC, normalised; or, on a device, crops out of a
 * data set that is resident there. */
struct images {
    const float *floats; /* NULL with a resident data set */
    const struct resident_dataset *resident;
    const struct crop *crops; /* [batch], the samples all within it */
    uint64_t key; /* of a gradient: names its random numbers (dropout); a pure function of seed,
                     worker and mini-batch */
};

/* The mean loss's gradient at w over a batch of images with their labels: g[] is overwritten, *loss
 * gets the sums. False when the hook said so; then g is undefined. From inside the hook the network
 * may evaluate. */
bool network_gradient(struct network *n, struct weights w, struct images images,
                      const int32_t *labels, float *g, struct loss *loss, network_hook *hook,
                      void *self);

/* Forward with the batch's own statistics; adds to sums[] each norm's mean and, after it, its mean
 * square (variance + mean^2), in the order of the statistics. Both are rounded to 2^-32 before, so
 * that sums over several batches have the same bits in any order. */
void network_statistics(struct network *n, struct weights w, struct images images, double *sums);

/* The sums over `batches` calls become means and variances (E[x^2] - E[x]^2: exact for batches of
 * one size). */
void network_finish_statistics(const struct network *n, const double *sums, int64_t batches,
                               float *statistics);

/* Forward with the given statistics (mean, variance). Adds to *loss; only the first `count` images
 * of the batch count. */
void network_evaluate(struct network *n, struct weights w, const float *statistics,
                      struct images images, const int32_t *labels, int count, struct loss *loss);

/* From now on evaluations count in confusion[label][class] (borrowed; [classes][classes]) what was
 * said of each image; NULL: no longer. Of several classes that are said equally one that is wrong,
 * as in the loss's top1. Not where a device computes. */
void network_count_predictions(struct network *n, int64_t *confusion);

#endif
