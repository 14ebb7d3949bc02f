/* A device optimizer: a device (a GPU) that holds a server's weights and its rule's state, and does
 * the arithmetic there.
 *
 * The host's memory then has a copy of the weights for all who read them: a call that changes the
 * weights returns when the copy is whole again. Vectors are [count] floats of the host, known by
 * their address. One that was prefetched must not change until a call has used it or discard() has
 * returned; one that was not is uploaded by the call that uses it. Same bits as
 * optimizer/optimizer.c on the CPU. optimizer/optimizer.c calls it, a backend implements it. */
#ifndef OPTIMIZER_DEVICE_H
#define OPTIMIZER_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vector.h"

/* The rules' arithmetic, see optimizer/kinds.h; STEP_PLAIN is SGD without momentum, STEP_ADAM is
 * adamw as well, by its coefficients. */
enum step_rule { STEP_PLAIN, STEP_SGD, STEP_NESTEROV, STEP_ADAM, STEP_ADAGRAD };

/* The numbers of one step, rounded to float as PyTorch rounds them. */
struct step_coefficients {
    float lr, momentum;
    float decay; /* of the weight: added to the gradient */
    float keep;  /* of the weight: what is left of it before the step (AdamW) */
    float beta1, fresh1, beta2, fresh2, epsilon;
    float part;    /* of a gradient, in the mean over a window of steps */
    bool advances; /* the window ends: moments advance */
};

struct device_optimizer; /* the backend's own */

struct device_optimizer_options {
    enum step_rule rule;
    int states; /* vectors that the rule remembers, 0 to 2; zero at first */
    int64_t count;
    /* [no_decay_count] without weight decay: sorted, disjoint, within [0, count); copied */
    const struct range *no_decay;
    int no_decay_count;
    float *w;    /* [count]; the first weights, and their copy from then on; borrowed */
    int sources; /* vectors that may be on the device at a time, neither used nor discarded */
    int number;  /* of this rank among those of its host, see struct device_options */
};

struct device_optimizer_kind {
    /* Takes device memory for the weights, the states and the sources; ends the program where they
     * do not fit. */
    struct device_optimizer *(*open)(const struct device_optimizer_options *);
    void (*close)(struct device_optimizer *);

    /* Vectors may lie in this memory, which stays where it is until close(): copies of it keep
     * nobody waiting. Twice costs nothing. */
    void (*register_memory)(struct device_optimizer *, const void *block, size_t bytes);

    void (*prefetch)(struct device_optimizer *, const float *vector); /* starts its upload; once */
    void (*discard)(struct device_optimizer *, const float *vector);  /* waits for that upload */

    /* The rule's step with the gradient sum_i scale[i] x source[i], summed in the order of the
     * list. coefficients[1] where weights decay, coefficients[0] in no_decay. */
    void (*step)(struct device_optimizer *, const struct step_coefficients coefficients[2],
                 const float *const *source, const double *scale, int sources);
    /* w = sum_i scale[i] x source[i]; the copy of the weights may be one of the sources, once. */
    void (*sum)(struct device_optimizer *, const float *const *source, const double *scale,
                int sources);
    /* Adds the vector to an accumulator, zero at first; its memory is taken at the first call. */
    void (*accumulate)(struct device_optimizer *, const float *vector);
    /* A step with scale x the accumulator, which is zero then. */
    void (*step_accumulated)(struct device_optimizer *,
                             const struct step_coefficients coefficients[2], double scale);
};

#endif
