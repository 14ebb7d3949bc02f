/* Where a network's tensors lie.
 *
 * A training step has 2 x units steps: forward 0 .. units-1, then backward in reverse. Every tensor
 * (a unit's output, what it saves, each gradient of an output) lives from the step that writes it
 * to the last that reads it; two tensors whose lives do not meet may lie in the same memory. A plan
 * for evaluation is forward only. */
#ifndef NETWORK_MEMORY_PLAN_H
#define NETWORK_MEMORY_PLAN_H

#include "model/model.h"

struct piece { /* a tensor in a plan */
    size_t bytes, offset;
    int first, last; /* steps */
};

struct memory_plan {
    struct piece *output, *saved; /* one per unit */
    struct piece *input_gradient,
        *skip_gradient; /* gradients that unit i writes for its input and its skip */
    struct piece images, labels, logits_gradient;
    struct piece raw_batch; /* on a device: floats or crops that load_batch() makes the images of */
    char *base;             /* the caller's: memory for `bytes` */
    size_t bytes;
};

/* reader[i]: the units that read unit i's output, -1 for none; sizes[i] as the backend gave
 * them. */
void memory_plan_open(struct memory_plan *p, const struct model *a, const struct unit_sizes *sizes,
                      int (*reader)[2], bool training);
void memory_plan_close(struct memory_plan *p);

#endif
