/* Adam, and AdamW, whose weight decay is decoupled from the gradient. The corrections of the bias
 * go into lr and epsilon (Kingma and Ba, end of section 2), which saves a division a weight. */
#include <float.h>
#include <math.h>
#include <stddef.h>

#include "base/check.h"
#include "base/simd.h"
#include "optimizer/kinds.h"

/* We never look at errno: told so, the compiler vectorises the root. */
float sqrtf(float) __attribute__((const));

SIMD_LOOP adam_loop(const struct step_coefficients *c, float *restrict w, const float *restrict g,
                    float *restrict m, float *restrict v, float *restrict a, int64_t count)
{
    (void)a;
    const struct step_coefficients q = *c;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float d = g[i] + q.decay * w[i];
        m[i] = q.beta1 * m[i] + q.fresh1 * d;
        v[i] = q.beta2 * v[i] + q.fresh2 * d * d;
        w[i] = q.keep * w[i] - q.lr * m[i] / (sqrtf(v[i]) + q.epsilon);
    }
}

RULE_KERNEL(adam)

void check_epsilon(const struct optimizer_options *o)
{
    if (!(o->epsilon >= FLT_MIN && o->epsilon <= FLT_MAX))
        fatal("--epsilon %g: give a number from %g up", o->epsilon, FLT_MIN);
}

void check_adam(const struct optimizer_options *o)
{
    if (!(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1))
        fatal("--beta1 %g --beta2 %g: give numbers from 0 to below 1", o->beta1, o->beta2);
    check_epsilon(o);
}

void correct_adam(const struct optimizer_options *o, int64_t step, double *bias, double *root)
{
    *bias = 1 - pow(o->beta1, (double)step);
    *root = sqrt(1 - pow(o->beta2, (double)step));
}

static const struct option_row rows[] = {ADAM_ROWS, {0}};

const struct option_set adam_option_set = {.title = "Optimizers adam, adamw and lamb",
                                           .owner = "--optimizer adam, adamw or lamb",
                                           .rows = rows,
                                           .size = sizeof(struct optimizer_options)};

const struct rule rule_adam = {
    .name = "adam",
    .formula = "d = g + decay w; m, v: means of d, d^2; w -= lr m / (sqrt(v) + epsilon)",
    .paper = "Kingma, Ba 2015",
    .options = &adam_option_set,
    .states = 2,
    .passes = 7,
    .kernel = adam,
    .step = STEP_ADAM,
    .rescales = true,
    .check = check_adam,
    .correct = correct_adam,
};

const struct rule rule_adamw = {
    .name = "adamw",
    .formula = "m, v: means of g, g^2; w = (1 - lr decay) w - lr m / (sqrt(v) + epsilon)",
    .paper = "Loshchilov, Hutter 2019",
    .options = &adam_option_set,
    .states = 2,
    .passes = 7,
    .kernel = adam,
    .step = STEP_ADAM,
    .rescales = true,
    .decoupled = true,
    .check = check_adam,
    .correct = correct_adam,
};
