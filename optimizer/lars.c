/* LARS: SGD with momentum whose rate is set for each layer by the norms of its weights and of its
 * gradient. Layers that do not decay (norms, biases) take the plain rate. Floats read and written a
 * weight: the gradient's sum, norms 2, the step 3 + 2. */
#include <float.h>
#include <math.h>
#include <stddef.h>

#include "base/check.h"
#include "base/simd.h"
#include "base/squares.h"
#include "optimizer/kinds.h"

SIMD_LOOP lars_loop(const struct step_coefficients *c, float *restrict w, const float *restrict g,
                    float *restrict m, float *restrict v, float *restrict a, int64_t count)
{
    (void)v, (void)a;
    const float lr = c->lr, momentum = c->momentum, decay = c->decay;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        m[i] = momentum * m[i] + lr * (g[i] + decay * w[i]);
        w[i] -= m[i];
    }
}

RULE_KERNEL(lars)

static void measure(const struct step_coefficients *c, const float *w, const float *g, float *m,
                    float *v, int64_t count, struct squares *of_w, struct squares *of_step)
{
    (void)c, (void)m, (void)v;
    squares_add(of_w, w, count, 1);
    squares_add(of_step, g, count, 1);
}

static void adapt(const struct optimizer_options *o, double lr, struct layer_norms norm,
                  struct step_coefficients *c)
{
    double trust = o->trust * norm.w / (norm.step + o->decay * norm.w);
    c->decay = (float)o->decay;
    c->lr = (float)(norm.w > 0 && norm.step > 0 ? lr * trust : lr);
}

static void check(const struct optimizer_options *o)
{
    check_momentum(o);
    if (!(o->trust > 0 && o->trust <= FLT_MAX))
        fatal("--trust %g: give a number above 0", o->trust);
}

#define AT(field) offsetof(struct optimizer_options, field)

static const struct option_row rows[] = {
    MOMENTUM,
    {.name = "trust",
     .type = OPTION_REAL,
     .flags = OPTION_ABOVE,
     .offset = AT(trust),
     .preset = "0.001",
     .placeholder = "ETA",
     .help = "a layer's first step at rate 1, as a part of its weights' norm"},
    {0}};

static const struct option_set option_set = {.title = "Optimizer lars",
                                             .owner = "--optimizer lars",
                                             .rows = rows,
                                             .size = sizeof(struct optimizer_options)};

const struct rule rule_lars = {
    .name = "lars",
    .formula = "a = eta |w| / (|g| + decay |w|) of a layer; m = momentum m + lr a (g + decay w); "
               "w -= m",
    .paper = "You, Gitman, Ginsburg 2017, arXiv:1708.03888",
    .options = &option_set,
    .states = 1,
    .passes = 8,
    .kernel = lars,
    .rescales = true,
    .measure = measure,
    .adapt = adapt,
    .check = check,
};
