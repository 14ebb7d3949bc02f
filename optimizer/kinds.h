/* The update rules: a file beside this header, and a line in this list.
 *
 * A rule works on a range of the flat vector in one pass over memory. Each float is computed alone
 * and in one order of operations, that of PyTorch's kernels (without their fused multiply-adds): a
 * result depends neither on the threads nor on how the vector is cut. Layer-wise rules pass over a
 * layer twice, the first time for its norms, and work on whole vectors alone. */
#ifndef OPTIMIZER_KINDS_H
#define OPTIMIZER_KINDS_H

#include "base/options.h"
#include "optimizer/optimizer.h"

#define RULES(X)                                                                                   \
    X(sgd)                                                                                         \
    X(nesterov)                                                                                    \
    X(adam)                                                                                        \
    X(adamw)                                                                                       \
    X(accumadam)                                                                                   \
    X(accumadamw)                                                                                  \
    X(adagrad)                                                                                     \
    X(lars)                                                                                        \
    X(lamb)

/* One step on `count` floats of w with their gradient g; m, v and a are the states, NULL where the
 * rule has none. */
typedef void rule_kernel(const struct step_coefficients *c, float *w, const float *g, float *m,
                         float *v, float *a, int64_t count);

/* Adds the squares of a layer's part to sums that make its norms: of its weights, and of its
 * gradient or step. What the kernel needs from the gradient may be put into m and v. */
typedef void rule_measure(const struct step_coefficients *c, const float *w, const float *g,
                          float *m, float *v, int64_t count, struct squares *of_w,
                          struct squares *of_step);

struct layer_norms {
    double w, step;
};

struct rule {
    const char *name, *formula, *paper;
    const struct option_set *options; /* its own, in struct optimizer_options; NULL: none */
    int states;                       /* vectors that it remembers, 0 to 3; zero at first */
    /* Floats a weight that a step reads and writes, with one gradient: what it costs. At least the
     * gradient's, and two of the weights and of each state. */
    int passes;
    rule_kernel *kernel;
    enum step_rule step; /* the same on a device; no rule with three states runs there */
    bool rescales;       /* divides the gradient by its size: twice of it is the same step */
    bool decoupled;      /* weight decay acts on the weights, not through the gradient */
    /* The rule without momentum, which remembers nothing; NULL: momentum means nothing to it. */
    const struct rule *stateless;
    /* Fatal on a number of its own that is out of its range; NULL: it has none. */
    void (*check)(const struct optimizer_options *o);
    /* Corrections of the bias at this step (1, 2, ..): lr x root / bias, epsilon x root; NULL: 1 */
    void (*correct)(const struct optimizer_options *o, int64_t step, double *bias, double *root);
    /* Of layer-wise rules, NULL elsewhere. adapt() makes a layer's coefficients for the kernel of
     * those that all layers have at this rate. */
    rule_measure *measure;
    void (*adapt)(const struct optimizer_options *o, double lr, struct layer_norms norm,
                  struct step_coefficients *c);
};

const struct rule *rule_find(const char *name); /* fatal when unknown */

#define DECLARE_RULE(name) extern const struct rule rule_##name;
RULES(DECLARE_RULE)
#undef DECLARE_RULE

extern const struct rule rule_plain; /* sgd.c: SGD without momentum; not in the list */

/* Makes the function name() out of the loop name_loop(), see base/simd.h. */
#define RULE_KERNEL(name)                                                                          \
    SIMD(name,                                                                                     \
         (const struct step_coefficients *c, float *w, const float *g, float *m, float *v,         \
          float *a, int64_t count),                                                                \
         (c, w, g, m, v, a, count))

/* The row of --momentum, of rules that have more options than that. */
#define MOMENTUM                                                                                   \
    {                                                                                              \
        .name = "momentum", .type = OPTION_REAL, .flags = OPTION_BELOW,                            \
        .offset = offsetof(struct optimizer_options, momentum), .preset = "0.9",                   \
        .placeholder = "M", .help = "part of the last step that the next one keeps", .most = 1     \
    }

/* The rows of Adam's numbers. */
#define ADAM_ROWS                                                                                  \
    {.name = "beta1",                                                                              \
     .type = OPTION_REAL,                                                                          \
     .flags = OPTION_BELOW,                                                                        \
     .offset = offsetof(struct optimizer_options, beta1),                                          \
     .preset = "0.9",                                                                              \
     .placeholder = "B",                                                                           \
     .help = "decay of the first moment",                                                          \
     .most = 1},                                                                                   \
        {.name = "beta2",                                                                          \
         .type = OPTION_REAL,                                                                      \
         .flags = OPTION_BELOW,                                                                    \
         .offset = offsetof(struct optimizer_options, beta2),                                      \
         .preset = "0.999",                                                                        \
         .placeholder = "B",                                                                       \
         .help = "decay of the second moment",                                                     \
         .most = 1},                                                                               \
    {                                                                                              \
        .name = "epsilon", .type = OPTION_REAL,                                                    \
        .offset = offsetof(struct optimizer_options, epsilon), .preset = "1e-8",                   \
        .placeholder = "E", .help = "added to the divisor of a step"                               \
    }

extern const struct option_set momentum_option_set; /* sgd.c */
extern const struct option_set adam_option_set;     /* adam.c */

void check_momentum(const struct optimizer_options *o); /* sgd.c */
void check_epsilon(const struct optimizer_options *o);  /* adam.c */
void check_adam(const struct optimizer_options *o);     /* adam.c */
void correct_adam(const struct optimizer_options *o, int64_t step, double *bias, double *root);

#endif
