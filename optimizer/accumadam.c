/* AccumAdam, and AccumAdamW, whose weight decay is decoupled: Adam whose moments advance once for a
 * window of s steps, along the mean of its gradients (--accum-iter). Each step is Adam's with the
 * moments of the last window and the step's own gradient, so a small batch's noise enters the
 * moments once, divided by s. With s = 1 it is Adam, bit for bit.
 *
 * Stored m and v are multiplied by their betas already. Floats read and written a weight: 5 + 2,
 * and 2 more by the step that ends a window; each is counted as if it did. Wang, Zhang, Wu,
 * Johansson ICLR 2025, arXiv:2410.11998, and its library Decent-DP. */
#include <math.h>
#include <stddef.h>

#include "base/check.h"
#include "base/simd.h"
#include "optimizer/kinds.h"

/* We never look at errno: told so, the compiler vectorises the root. */
float sqrtf(float) __attribute__((const));

SIMD_LOOP accumadam_loop(const struct step_coefficients *c, float *restrict w,
                         const float *restrict g, float *restrict m, float *restrict v,
                         float *restrict a, int64_t count)
{
    const struct step_coefficients q = *c;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float d = g[i] + q.decay * w[i];
        float first = m[i] + q.fresh1 * d, second = v[i] + q.fresh2 * d * d;
        a[i] += q.part * d;
        w[i] = q.keep * w[i] - q.lr * first / (sqrtf(second) + q.epsilon);
    }
    if (!q.advances)
        return;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        m[i] = q.beta1 * (m[i] + q.fresh1 * a[i]);
        v[i] = q.beta2 * (v[i] + q.fresh2 * a[i] * a[i]);
        a[i] = 0;
    }
}

RULE_KERNEL(accumadam)

static void check(const struct optimizer_options *o)
{
    check_adam(o);
    if (o->accum_iter < 1)
        fatal("--accum-iter %lld: give a number from 1 up", (long long)o->accum_iter);
}

/* The moments have advanced once for each window. */
static void correct(const struct optimizer_options *o, int64_t step, double *bias, double *root)
{
    correct_adam(o, (step + o->accum_iter - 1) / o->accum_iter, bias, root);
}

static const struct option_row rows[] = {ADAM_ROWS,
                                         {.name = "accum-iter",
                                          .type = OPTION_INT,
                                          .offset = offsetof(struct optimizer_options, accum_iter),
                                          .preset = "4",
                                          .placeholder = "S",
                                          .help = "steps for which the moments advance once",
                                          .least = 1,
                                          .most = 1000000},
                                         {0}};

static const struct option_set option_set = {.title = "Optimizers accumadam and accumadamw",
                                             .owner = "--optimizer accumadam or accumadamw",
                                             .rows = rows,
                                             .size = sizeof(struct optimizer_options)};

const struct rule rule_accumadam = {
    .name = "accumadam",
    .formula = "d = g + decay w; Adam's step by d; m, v advance by the mean d of each s steps",
    .paper = "Wang et al. 2025, arXiv:2410.11998",
    .options = &option_set,
    .states = 3,
    .passes = 9,
    .kernel = accumadam,
    .rescales = true,
    .check = check,
    .correct = correct,
};

const struct rule rule_accumadamw = {
    .name = "accumadamw",
    .formula = "w = (1 - lr decay) w, then Adam's step by g; m, v advance by the mean g of each s "
               "steps",
    .paper = "Wang et al. 2025, arXiv:2410.11998",
    .options = &option_set,
    .states = 3,
    .passes = 9,
    .kernel = accumadam,
    .rescales = true,
    .decoupled = true,
    .check = check,
    .correct = correct,
};
