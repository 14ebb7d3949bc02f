/* A place other than the host's memory (a GPU) that holds a server's weights and its optimizer's state, and does the arithmetic there.
 *
 * What lies in the host's memory is then a copy of the weights for all who read them: each call that changes the weights returns when
 * the copy is whole again. Vectors are `count` floats of the host's, and are known by where they lie; whoever brings one leaves it as
 * it is until it is spent (a call has used it) or forgotten. One that was not brought is brought by the call that uses it. Bitwise as
 * optimizer.c on the CPU. optimizer.c asks, a backend answers. */
#ifndef HOLDER_H
#define HOLDER_H

#include <stddef.h>
#include <stdint.h>

/* The rules' arithmetic, see optimizer.h; plain is SGD that remembers nothing, adam is adamw as well, by its pace. */
enum step_rule { STEP_PLAIN, STEP_SGD, STEP_NESTEROV, STEP_ADAM, STEP_ADAGRAD };

/* The numbers of one step, rounded to float as PyTorch rounds them. */
struct pace {
    float rate, momentum;
    float decay, keep; /* of the weight: added to the gradient; what is left of it before the step (AdamW) */
    float beta1, fresh1, beta2, fresh2, epsilon;
};

struct range { /* floats [from, to) of the vector */
    int64_t from, to;
};

struct holder;

struct holder_options {
    enum step_rule rule;
    int states; /* vectors that the rule remembers, 0 to 2; zero at first */
    int64_t count;
    const struct range *spared; /* [spared_count] by weight decay: sorted, apart from each other, within [0, count); copied */
    int spared_count;
    float *w;    /* [count]; the first weights, and their copy from then on */
    int sources; /* vectors that may be brought and neither spent nor forgotten */
    int number;  /* of this rank among those of its host, see struct device_options */
};

struct holder_kind {
    /* Takes memory there for the weights, the states and the sources; what does not fit ends the program. */
    struct holder *(*open)(const struct holder_options *);
    void (*close)(struct holder *);

    /* Vectors may lie in this memory, which stays where it is until close(): copies of it keep nobody waiting. Twice costs nothing. */
    void (*share)(struct holder *, const void *block, size_t bytes);

    void (*bring)(struct holder *, const float *vector);  /* returns at once; bringing it twice is bringing it once */
    void (*forget)(struct holder *, const float *vector); /* returns when nobody reads it any more */

    /* The rule's step with the gradient sum_i scale[i] x source[i], in the order of the list. pace[1] where weights decay, pace[0] where
     * they are spared. */
    void (*step)(struct holder *, const struct pace pace[2], const float *const *source, const double *scale, int sources);
    /* w = sum_i scale[i] x source[i]; the copy of the weights may be one of the sources, once. */
    void (*sum)(struct holder *, const float *const *source, const double *scale, int sources);
    void (*keep)(struct holder *, const float *vector); /* adds it to what is kept there, nothing at first; memory for that comes now */
    void (*step_kept)(struct holder *, const struct pace pace[2], double scale); /* with scale x what is kept, which is nothing then */
};

#endif
