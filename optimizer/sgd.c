/* SGD with momentum as in PyTorch, and without. */
#include <stddef.h>

#include "base/check.h"
#include "base/simd.h"
#include "optimizer/kinds.h"

SIMD_LOOP plain_loop(const struct step_coefficients *c, float *restrict w, const float *restrict g,
                     float *restrict m, float *restrict v, float *restrict a, int64_t count)
{
    (void)m, (void)v, (void)a;
    const float lr = c->lr, decay = c->decay;
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        w[i] -= lr * (g[i] + decay * w[i]);
}

RULE_KERNEL(plain)

SIMD_LOOP sgd_loop(const struct step_coefficients *c, float *restrict w, const float *restrict g,
                   float *restrict m, float *restrict v, float *restrict a, int64_t count)
{
    (void)v, (void)a;
    const float lr = c->lr, momentum = c->momentum, decay = c->decay;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        m[i] = momentum * m[i] + (g[i] + decay * w[i]);
        w[i] -= lr * m[i];
    }
}

RULE_KERNEL(sgd)

void check_momentum(const struct optimizer_options *o)
{
    if (!(o->momentum >= 0 && o->momentum < 1))
        fatal("--momentum %g: give a number from 0 to below 1", o->momentum);
}

static const struct option_row momentum_rows[] = {MOMENTUM, {0}};

const struct option_set momentum_option_set = {.title = "Optimizers sgd and nesterov",
                                               .owner = "--optimizer sgd or nesterov",
                                               .rows = momentum_rows,
                                               .size = sizeof(struct optimizer_options)};

const struct rule rule_plain = {
    .name = "sgd",
    .formula = "w -= lr (g + decay w)",
    .paper = "Robbins, Monro 1951",
    .passes = 3,
    .kernel = plain,
    .step = STEP_PLAIN,
};

const struct rule rule_sgd = {
    .name = "sgd",
    .formula = "m = momentum m + g + decay w; w -= lr m",
    .paper = "Polyak 1964, as in PyTorch",
    .options = &momentum_option_set,
    .states = 1,
    .passes = 5,
    .kernel = sgd,
    .step = STEP_SGD,
    .stateless = &rule_plain,
    .check = check_momentum,
};
