/* Rules that know layers: a layer's norms are taken before it steps. */
#ifndef OPTIMIZER_LAYERWISE_H
#define OPTIMIZER_LAYERWISE_H

#include "optimizer/kinds.h"

struct layer {
    struct range at; /* floats of the vector */
    bool adapts;     /* it decays, and its rate is its own */
};

struct layerwise_step {
    const struct rule *rule;
    const struct optimizer_options *options;
    double lr;
    struct step_coefficients c[2];    /* at this rate; c[1] where weights decay */
    struct step_coefficients unit[2]; /* at rate 1; c[1].decay is set for decoupled rules, too */
    float *w, *state[2];              /* the whole vector's */
    const float *g;
};

/* One step of this layer, on the threads of the options. A norm's bits depend on none of them. */
void layerwise_step(const struct layerwise_step *s, struct layer layer);

#endif
