/* SGD with Nesterov's momentum as in PyTorch. */
#include "base/simd.h"
#include "optimizer/kinds.h"

SIMD_LOOP nesterov_loop(const struct step_coefficients *c, float *restrict w,
                        const float *restrict g, float *restrict m, float *restrict v,
                        float *restrict a, int64_t count)
{
    (void)v, (void)a;
    const float lr = c->lr, momentum = c->momentum, decay = c->decay;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float d = g[i] + decay * w[i];
        m[i] = momentum * m[i] + d;
        w[i] -= lr * (d + momentum * m[i]);
    }
}

RULE_KERNEL(nesterov)

const struct rule rule_nesterov = {
    .name = "nesterov",
    .formula = "d = g + decay w; m = momentum m + d; w -= lr (d + momentum m)",
    .paper = "Sutskever et al. 2013, as in PyTorch",
    .options = &momentum_option_set,
    .states = 1,
    .passes = 5,
    .kernel = nesterov,
    .step = STEP_NESTEROV,
    .stateless = &rule_plain,
    .check = check_momentum,
};
