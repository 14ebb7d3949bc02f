/* A place other than the host's memory (a GPU) that holds a server's weights and its optimizer's
 * state, and does the arithmetic there.
 *
 * What lies in the host's memory is then a copy of the weights for all who read them: each call
 * that changes the weights returns when the copy is whole again. Vectors are `count` floats of the
 * host's, and are known by where they lie; whoever brings one leaves it as it is until it is spent
 * (a call has used it) or forgotten. One that was not brought is brought by the call that uses it.
 * Bitwise as optimizer/optimizer.c on the CPU. optimizer/optimizer.c asks, a backend answers. */
#ifndef OPTIMIZER_DEVICE_H
#define OPTIMIZER_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "base/vector.h"

/* The rules' arithmetic, see optimizer/optimizer.h; plain is SGD that remembers nothing, adam is
 * adamw as well, by its step_coefficients. */
enum step_rule { STEP_PLAIN, STEP_SGD, STEP_NESTEROV, STEP_ADAM, STEP_ADAGRAD };

/* The numbers of one step, rounded to float as PyTorch rounds them. */
struct step_coefficients {
    float lr, momentum;
    /* of the weight: added to the gradient; what is left of it before the step (AdamW) */
    float decay, keep;
    float beta1, fresh1, beta2, fresh2, epsilon;
};

struct holder;

struct holder_options {
    enum step_rule rule;
    int states; /* vectors that the rule remembers, 0 to 2; zero at first */
    int64_t count;
    const struct range *no_decay; /* [no_decay_count] by weight decay: sorted, apart from each
                                     other, within [0, count); copied */
    int no_decay_count;
    float *w;    /* [count]; the first weights, and their copy from then on */
    int sources; /* vectors that may be brought and neither spent nor forgotten */
    int number;  /* of this rank among those of its host, see struct device_options */
};

struct holder_kind {
    /* Takes memory there for the weights, the states and the sources; what does not fit ends the
     * program. */
    struct holder *(*open)(const struct holder_options *);
    void (*close)(struct holder *);

    /* Vectors may lie in this memory, which stays where it is until close(): copies of it keep
     * nobody waiting. Twice costs nothing. */
    void (*share)(struct holder *, const void *block, size_t bytes);

    /* returns at once; bringing it twice is bringing it once */
    void (*bring)(struct holder *, const float *vector);
    /* returns when nobody reads it any more */
    void (*forget)(struct holder *, const float *vector);

    /* The rule's step with the gradient sum_i scale[i] x source[i], in the order of the list.
     * step_coefficients[1] where weights decay, step_coefficients[0] where they are no_decay. */
    void (*step)(struct holder *, const struct step_coefficients step_coefficients[2],
                 const float *const *source, const double *scale, int sources);
    /* w = sum_i scale[i] x source[i]; the copy of the weights may be one of the sources, once. */
    void (*sum)(struct holder *, const float *const *source, const double *scale, int sources);
    void (*keep)(struct holder *, const float *vector); /* adds it to what is kept there, nothing at
                                                           first; memory for that comes now */
    /* with scale x what is kept, which is nothing then */
    void (*step_kept)(struct holder *, const struct step_coefficients step_coefficients[2],
                      double scale);
};

#endif
