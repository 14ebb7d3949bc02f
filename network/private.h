/* What network/network.c and network/device.c share. */
#ifndef NETWORK_PRIVATE_H
#define NETWORK_PRIVATE_H

#include "network/network.h"
#include "network/memory_plan.h"

struct network {
    struct model a;
    const struct backend *backend;
    struct device *device;
    float smoothing;
    struct unit **unit;
    struct unit_sizes *sizes;
    int64_t *offset;     /* of each unit's parameters in the flat vector */
    int64_t *final_from; /* when unit i's backward is done, floats from here on are final */
    int64_t *statistic;  /* of each unit's mean and variance in the statistics */
    int (*reader)[2];    /* units that read unit i's output: -1 for none */
    struct plan training, evaluation;
    bool busy;         /* a gradient is under way */
    void *aside;       /* memory for an evaluation in the middle of a gradient */
    float *statistics; /* of all norms, in an evaluation; the backend's memory */
    int32_t *labels;
    uint64_t *key;       /* of the gradient under way (struct images); the backend's memory */
    struct apart *apart; /* NULL: the backend reads and writes where the caller has it */
};

/* What unit i reads and writes, as the plan has it; with g == NULL no gradients. */
struct unit_io network_io(const struct network *n, const struct plan *p, int i, struct weights w,
                          float *g);

/* ---- network/device.c: the caller's side is the host's memory, the backend's is its own */

void apart_open(struct network *n, bool training);
void apart_close(struct network *n);

/* Where an evaluation finds these weights on the backend's side; they are brought there unless they
 * (by their weights_version) lie there already. */
struct weights apart_weights(struct network *n, struct weights w);

/* Where an evaluation's loss puts its sums; and those sums, and the statistics, on the host's side,
 * when all is done. */
struct loss *apart_sums(struct network *n);
struct loss apart_loss(struct network *n);
const float *apart_statistics(struct network *n);

/* Brings a batch, and has the first unit's input made of it. */
void apart_images(struct network *n, const struct plan *p, struct images images);

/* network_gradient() */
bool apart_gradient(struct network *n, struct weights w, struct images images,
                    const int32_t *labels, float *g, struct loss *loss, network_hook *hook,
                    void *self);

#endif
