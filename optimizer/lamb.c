/* LAMB: Adam whose step is scaled for each layer to the norm of its weights. Layers that do not
 * decay (norms, biases) take Adam's. Floats read and written a weight: the gradient's sum, moments
 * and norms 4 + 2, the step 3 + 1. */
#include <math.h>

#include "base/simd.h"
#include "base/squares.h"
#include "optimizer/kinds.h"

/* We never look at errno: told so, the compiler vectorises the root. */
float sqrtf(float) __attribute__((const));

/* The moments are those of this step already. */
SIMD_LOOP lamb_loop(const struct step_coefficients *c, float *restrict w, const float *restrict g,
                    float *restrict m, float *restrict v, float *restrict a, int64_t count)
{
    (void)g, (void)a;
    const float lr = c->lr, keep = c->keep, epsilon = c->epsilon;
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        w[i] = keep * w[i] - lr * m[i] / (sqrtf(v[i]) + epsilon);
}

RULE_KERNEL(lamb)

/* Moments, and the step at rate 1. */
SIMD_LOOP moments_loop(const struct step_coefficients *c, const float *restrict w,
                       const float *restrict g, float *restrict m, float *restrict v,
                       float *restrict step, int64_t count)
{
    const struct step_coefficients q = *c;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        m[i] = q.beta1 * m[i] + q.fresh1 * g[i];
        v[i] = q.beta2 * v[i] + q.fresh2 * g[i] * g[i];
        step[i] = q.lr * m[i] / (sqrtf(v[i]) + q.epsilon) + q.decay * w[i];
    }
}

SIMD(moments,
     (const struct step_coefficients *c, const float *w, const float *g, float *m, float *v,
      float *step, int64_t count),
     (c, w, g, m, v, step, count))

static void measure(const struct step_coefficients *c, const float *w, const float *g, float *m,
                    float *v, int64_t count, struct squares *of_w, struct squares *of_step)
{
    _Alignas(64) float step[VECTOR_CHUNK];
    squares_add(of_w, w, count, 1);
    for (int64_t at = 0; at < count; at += VECTOR_CHUNK) {
        int64_t some = count - at < VECTOR_CHUNK ? count - at : VECTOR_CHUNK;
        moments(c, w + at, g + at, m + at, v + at, step, some);
        squares_add(of_step, step, some, 1);
    }
}

static void adapt(const struct optimizer_options *o, double lr, struct layer_norms norm,
                  struct step_coefficients *c)
{
    double trust = norm.w > 0 && norm.step > 0 ? norm.w / norm.step : 1;
    c->lr = (float)(c->lr * trust);
    c->keep = (float)(1 - lr * trust * o->decay);
}

const struct rule rule_lamb = {
    .name = "lamb",
    .formula = "m, v: means of g, g^2; u = m / (sqrt(v) + epsilon) + decay w; w -= lr |w| / |u| u "
               "of a layer",
    .paper = "You et al. 2020, arXiv:1904.00962",
    .options = &adam_option_set,
    .states = 2,
    .passes = 11,
    .kernel = lamb,
    .rescales = true,
    .decoupled = true,
    .measure = measure,
    .adapt = adapt,
    .check = check_adam,
    .correct = correct_adam,
};
