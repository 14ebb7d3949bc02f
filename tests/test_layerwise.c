/* LARS and LAMB against a few lines in double, layer by layer; on any threads and in any scheme the
 * same bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "scheme/scheme.h"
#include "tests/scheme_harness.h"
#include "tests/quadratic.h"

enum { COUNT = 80 * 1024 + 30, LAYERS = 5, SOURCES = 3, STEPS = 3 };

/* The third does not decay, all weights of the fourth are 0. */
static const struct range layers[LAYERS] = {
    {0, 7}, {7, 1000}, {1000, 1064}, {1064, 1100}, {1100, COUNT}};
enum { PLAIN = 2, ZERO = 3 };

static const double scale[SOURCES] = {0.5, 0.25, 0.125};
static const double momentum = 0.9, beta1 = 0.9, beta2 = 0.99, epsilon = 1e-6, decay = 0.02,
                    trust = 0.01, lr = 0.3;

static float *random_vector(uint64_t key)
{
    struct random r = random_at(RANDOM_TEST, 202, key, 0, 0);
    float *v = xcalloc(COUNT, sizeof *v);
    for (int i = 0; i < COUNT; i++)
        v[i] = (float)(0.1 * random_normal(&r));
    return v;
}

static float *first_weights(void)
{
    float *w = random_vector(0);
    for (int64_t i = layers[ZERO].from; i < layers[ZERO].to; i++)
        w[i] = 0;
    return w;
}

static struct optimizer *open(const char *rule, int threads, double clip)
{
    return optimizer_open(&(struct optimizer_options){.rule = rule,
                                                      .momentum = momentum,
                                                      .beta1 = beta1,
                                                      .beta2 = beta2,
                                                      .epsilon = epsilon,
                                                      .decay = decay,
                                                      .trust = trust,
                                                      .clip = clip,
                                                      .threads = threads,
                                                      .layers = layers,
                                                      .layer_count = LAYERS},
                          (struct range){0, COUNT}, &layers[PLAIN], 1);
}

struct truth {
    double w[COUNT], m[COUNT], v[COUNT], g[COUNT], u[COUNT];
};

static double norm(const double *x, struct range at)
{
    double sum = 0;
    for (int64_t i = at.from; i < at.to; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

static void lars(struct truth *t, int layer, int step)
{
    struct range at = layers[layer];
    double of_w = norm(t->w, at), of_g = norm(t->g, at), own = layer == PLAIN ? 0 : decay, a = 1;
    (void)step;
    if (layer != PLAIN && of_w > 0)
        a = trust * of_w / (of_g + decay * of_w);
    for (int64_t i = at.from; i < at.to; i++) {
        t->m[i] = momentum * t->m[i] + lr * a * (t->g[i] + own * t->w[i]);
        t->w[i] -= t->m[i];
    }
}

static void lamb(struct truth *t, int layer, int step)
{
    struct range at = layers[layer];
    double own = layer == PLAIN ? 0 : decay;
    for (int64_t i = at.from; i < at.to; i++) {
        t->m[i] = beta1 * t->m[i] + (1 - beta1) * t->g[i];
        t->v[i] = beta2 * t->v[i] + (1 - beta2) * t->g[i] * t->g[i];
        double m = t->m[i] / (1 - pow(beta1, step)), v = t->v[i] / (1 - pow(beta2, step));
        t->u[i] = m / (sqrt(v) + epsilon) + own * t->w[i];
    }
    double of_w = norm(t->w, at), a = layer == PLAIN || of_w == 0 ? 1 : of_w / norm(t->u, at);
    for (int64_t i = at.from; i < at.to; i++)
        t->w[i] -= lr * a * t->u[i];
}

/* A clip of `part` of the gradient's norm; 0: none. */
static void judge(const char *rule, void (*truth)(struct truth *, int layer, int step), double part)
{
    float *w = first_weights(), *threaded = first_weights(), *source[SOURCES];
    struct truth *t = xcalloc(1, sizeof *t);
    for (int i = 0; i < COUNT; i++)
        t->w[i] = w[i];
    for (int k = 0; k < SOURCES; k++)
        source[k] = random_vector(1 + (uint64_t)k);
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < SOURCES; k++)
            t->g[i] += scale[k] * source[k][i];
    double clip = part * norm(t->g, (struct range){0, COUNT});
    for (int i = 0; i < COUNT && part > 0; i++)
        t->g[i] *= part;
    struct optimizer *one = open(rule, 1, clip), *three = open(rule, 3, clip);
    for (int step = 1; step <= STEPS; step++) {
        for (int layer = 0; layer < LAYERS; layer++)
            truth(t, layer, step);
        optimizer_step_sum(one, w, NULL, (const float *const *)source, scale, SOURCES, lr);
        optimizer_step_sum(three, threaded, NULL, (const float *const *)source, scale, SOURCES, lr);
    }
    assert_memory_equal(w, threaded, COUNT * sizeof *w);
    for (int i = 0; i < COUNT; i++)
        if (!(fabs(w[i] - t->w[i]) < 1e-5 * fmax(0.1, fabs(t->w[i]))))
            fail_msg("%s, weight %d: %.9g instead of %.9g", rule, i, w[i], t->w[i]);
    for (int k = 0; k < SOURCES; k++)
        xfree(source[k]);
    xfree(w), xfree(threaded), xfree(t);
    optimizer_close(one);
    optimizer_close(three);
}

static void each_layer_has_a_rate_of_its_own(void **state)
{
    (void)state;
    judge("lars", lars, 0);
    judge("lars", lars, 0.4);
    judge("lamb", lamb, 0);
    judge("lamb", lamb, 0.4);
}

/* A sum that a server makes, and one that workers have made. */
static void every_scheme_gives_the_same_bits(void **state)
{
    (void)state;
    static const char *const rules[] = {"lars", "lamb"};
    for (int k = 0; k < 2; k++) {
        struct experiment first, second;
        struct option_list w = {0};
        add_plain_sgd(&w, "ssgd", k ? 0.01 : 1);
        add_option(&w, "network=quadratic");
        add_option(&w, "optimizer=%s", rules[k]);
        add_option(&w, "momentum=0.9");
        add_option(&w, "trust=0.1");
        add_option(&w, "workers=4");
        add_option(&w, "minibatches=2");
        add_option(&w, "batch=16");
        add_option(&w, "samples=1600");
        struct option_list other = w;
        add_option(&other, "scheme=allreduce");
        quadratic_run(&first, &w);
        quadratic_run(&second, &other);
        assert_memory_equal(first.out.w, second.out.w, (size_t)first.out.count * sizeof(float));
        experiment_close(&first);
        experiment_close(&second);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_layer_has_a_rate_of_its_own),
        cmocka_unit_test(every_scheme_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
