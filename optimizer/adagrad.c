/* Adagrad. */
#include <math.h>
#include <stddef.h>

#include "base/simd.h"
#include "optimizer/kinds.h"

/* We never look at errno: told so, the compiler vectorises the root. */
float sqrtf(float) __attribute__((const));

SIMD_LOOP adagrad_loop(const struct step_coefficients *c, float *restrict w,
                       const float *restrict g, float *restrict m, float *restrict v,
                       float *restrict a, int64_t count)
{
    (void)v, (void)a;
    const float lr = c->lr, decay = c->decay, epsilon = c->epsilon;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float d = g[i] + decay * w[i];
        m[i] += d * d;
        w[i] -= lr * d / (sqrtf(m[i]) + epsilon);
    }
}

RULE_KERNEL(adagrad)

#define AT(field) offsetof(struct optimizer_options, field)

static const struct option_row rows[] = {{.name = "epsilon",
                                          .type = OPTION_REAL,
                                          .offset = AT(epsilon),
                                          .preset = "1e-8",
                                          .placeholder = "E",
                                          .help = "added to the divisor of a step"},
                                         {0}};

static const struct option_set option_set = {.title = "Optimizer adagrad",
                                             .owner = "--optimizer adagrad",
                                             .rows = rows,
                                             .size = sizeof(struct optimizer_options)};

const struct rule rule_adagrad = {
    .name = "adagrad",
    .formula = "d = g + decay w; m += d^2; w -= lr d / (sqrt(m) + epsilon)",
    .paper = "Duchi, Hazan, Singer 2011",
    .options = &option_set,
    .states = 1,
    .passes = 5,
    .kernel = adagrad,
    .step = STEP_ADAGRAD,
    .rescales = true,
    .check = check_epsilon,
};
