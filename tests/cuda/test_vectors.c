/* Do the kernels around the units give what the CPU gives: casts, images, the loss, sums and steps
 * of the optimizer?
 *
 * To the bit, but for the loss: there exp() and log() may differ in the last digits of a double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/softmax.h"
#include "base/alloc.h"
#include "base/random.h"
#include "data_loader/augment.h"
#include "optimizer/optimizer.h"
#include "tests/cuda/gpu.h"

enum { SEED = 1, DTYPES = 2 };

static double *random_doubles(size_t count, uint64_t key)
{
    double *v = xcalloc(count, sizeof *v);
    struct random r = random_at(RANDOM_TEST, SEED, key, count, 0);
    for (size_t i = 0; i < count; i++)
        v[i] = random_normal(&r);
    return v;
}

static float *random_floats(size_t count, uint64_t key)
{
    float *v = xcalloc(count, sizeof *v);
    double *wide = random_doubles(count, key);
    for (size_t i = 0; i < count; i++)
        v[i] = (float)wide[i];
    xfree(wide);
    return v;
}

/* Among ordinary numbers: halfway between two of bf16, once to each side; the ends of the scale; no
 * numbers at all. */
static void set_special(double *v, size_t count)
{
    const double special[] = {1 + 0x1p-8,     1 + 0x3p-8, -1 - 0x1p-8, 1 + 0x1p-8 + 0x1p-20,
                              0x1.fffffep127, 0x1p-149,   -0.0,        INFINITY,
                              -INFINITY,      NAN};
    for (size_t i = 0; i < sizeof special / sizeof *special && i < count; i++)
        v[i] = special[i];
}

static void check_cast(struct gpu *gpu, enum backend_dtype type, int64_t rows, int channels,
                       int64_t to_rows)
{
    size_t count = (size_t)(rows * channels), all = (size_t)(to_rows * channels);
    double *from = random_doubles(count, 1), *is = xcalloc(all, sizeof *is);
    set_special(from, count);
    float *there = gpu_put_floats(gpu, from, count), *back = gpu_take(gpu, count * sizeof *back);
    void *cast = gpu_take_elements(gpu, type, to_rows, channels);
    kernel_cast(gpu->stream, type, there, rows, channels, to_rows, cast);
    kernel_cast_back(gpu->stream, type, cast, rows, channels, back);
    for (int way = 0; way < 2; way++) {
        if (way)
            gpu_get_floats(gpu, is, back, count);
        else
            gpu_get_elements(gpu, type, is, cast, to_rows, channels);
        for (size_t i = 0; i < (way ? count : all); i++) {
            double truth = i < count ? gpu_rounded(type, from[i]) : 0;
            if (!(is[i] == truth || (isnan(is[i]) && isnan(truth))))
                fail_msg("cast %d of %lld x %d to %lld rows, type %d: [%zu] is %a, should be %a",
                         way, (long long)rows, channels, (long long)to_rows, type, i, is[i], truth);
        }
    }
    xfree(from);
    xfree(is);
    gpu_clear(gpu);
}

static void test_casts(void **state)
{
    (void)state;
    static const int sizes[][3] = {
        {1, 1, 1}, {9, 3, 72}, {700, 3, 700}, {40, 17, 41}, {90, 64, 90}};
    struct gpu gpu;
    gpu_open(&gpu);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int type = 0; type < DTYPES; type++)
            check_cast(&gpu, (enum backend_dtype)type, sizes[i][0], sizes[i][1], sizes[i][2]);
    gpu_close(&gpu);
}

enum { SAMPLES = 5, CROPS = 40 };

/* Crops as the loader draws them, and the largest ones in all directions; samples as they are. */
static void choose(struct crop crops[CROPS])
{
    for (int i = 0; i < CROPS; i++) {
        struct augment how =
            augment_at(&(struct augmentation){4, true}, SEED, i / SAMPLES, i % SAMPLES);
        if (i < 2 * SAMPLES)
            how = (struct augment){i % 3 * 4 - 4, i % 2 * 8 - 4, i % 4 < 2};
        else if (i < 3 * SAMPLES)
            how = (struct augment){0};
        crops[i] = (struct crop){i % SAMPLES, how.down, how.right, how.mirror};
    }
}

static void check_images(struct gpu *gpu, const struct dataset *d, enum backend_dtype type)
{
    struct crop crops[CROPS];
    struct levels levels;
    int64_t pixels = (int64_t)d->height * d->width, floats = pixels * d->channels;
    float *truth = xcalloc((size_t)floats, sizeof *truth);
    double *is = xcalloc((size_t)floats * CROPS, sizeof *is);
    choose(crops);
    levels_fill(&levels, d);
    struct kernel_dataset dataset = {
        .channels = d->channels, .height = d->height, .width = d->width};
    dataset.pixels = gpu_put(gpu, d->pixels, (size_t)floats * SAMPLES);
    dataset.levels = gpu_put(gpu, levels.of, (size_t)d->channels * sizeof levels.of[0]);
    void *to = gpu_take_elements(gpu, type, pixels * CROPS, d->channels);
    kernel_images(gpu->stream, type, &dataset, gpu_put(gpu, crops, sizeof crops), CROPS, to);
    gpu_get_elements(gpu, type, is, to, pixels * CROPS, d->channels);
    for (int i = 0; i < CROPS; i++) {
        image_write(truth, d, crops[i].sample,
                    (struct augment){crops[i].down, crops[i].right, crops[i].mirror}, &levels);
        for (int64_t k = 0; k < floats; k++)
            if (is[i * floats + k] != gpu_rounded(type, truth[k]))
                fail_msg(
                    "type %d, sample %d, down %d, right %d, mirror %d: [%lld] is %g, should be %g",
                    type, crops[i].sample, crops[i].down, crops[i].right, crops[i].mirror,
                    (long long)k, is[i * floats + k], gpu_rounded(type, truth[k]));
    }
    xfree(truth);
    xfree(is);
    gpu_clear(gpu);
}

static void test_images(void **state)
{
    (void)state;
    struct gpu gpu;
    uint8_t pixels[SAMPLES * 3 * 18 * 17];
    struct random r = random_at(RANDOM_TEST, SEED, 2, 0, 0);
    gpu_open(&gpu);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)random_below(&r, 256);
    for (int channels = 1; channels <= 3; channels += 2)
        for (int type = 0; type < DTYPES; type++) {
            struct dataset d = {.count = SAMPLES,
                                .channels = channels,
                                .height = 18,
                                .width = 17,
                                .pixels = pixels};
            for (int c = 0; c < channels; c++) {
                d.mean[c] = 0.4f + 0.05f * (float)c;
                d.deviation[c] = 0.2f + 0.01f * (float)c;
            }
            check_images(&gpu, &d, (enum backend_dtype)type);
        }
    gpu_close(&gpu);
}

static void check_loss(struct gpu *gpu, int batch, int classes, float smoothing, bool spoilt)
{
    size_t logits = (size_t)batch * (size_t)classes, scratch = kernel_scratch_bytes(8, batch);
    float *z = random_floats(logits, 3), *truth = xcalloc(logits, sizeof *truth),
          *is = xcalloc(logits, sizeof *is);
    int32_t *labels = xcalloc((size_t)batch, sizeof *labels);
    struct loss sums, expected;
    for (int b = 0; b < batch; b++) {
        labels[b] = (3 * b + 1) % classes;
        /* a tie */
        z[(size_t)b * (size_t)classes] = z[(size_t)b * (size_t)classes + (size_t)labels[b]];
    }
    if (spoilt)
        z[logits / 2] = NAN;
    void *zeros = xcalloc(scratch, 1), *room = gpu_put(gpu, zeros, scratch);
    float *there = gpu_put(gpu, z, logits * sizeof *z),
          *dlogits = gpu_take(gpu, logits * sizeof *dlogits);
    int32_t *labels_there = gpu_put(gpu, labels, (size_t)batch * sizeof *labels);
    struct loss *sums_there = gpu_take(gpu, sizeof *sums_there);
    softmax_loss(z, labels, batch, classes, smoothing, truth, &expected);
    for (int wanted = 0; wanted < 2; wanted++) { /* dlogits or not; scratch is used again */
        kernel_loss(gpu->stream, there, labels_there, batch, classes, smoothing,
                    wanted ? dlogits : NULL, sums_there, room);
        gpu_get(gpu, &sums, sums_there, sizeof sums);
        bool same = spoilt ? isnan(sums.sum) && isnan(expected.sum)
                           : fabs(sums.sum - expected.sum) <= 1e-13 * (double)logits * expected.sum;
        if (!same || sums.top1 != expected.top1 || sums.top5 != expected.top5)
            fail_msg(
                "loss of %d x %d, smoothing %g: %.17g, %lld, %lld, should be %.17g, %lld, %lld",
                batch, classes, smoothing, sums.sum, (long long)sums.top1, (long long)sums.top5,
                expected.sum, (long long)expected.top1, (long long)expected.top5);
    }
    gpu_get(gpu, is, dlogits, logits * sizeof *is);
    for (size_t i = 0; i < logits; i++)
        if (!(fabs(is[i] - truth[i]) <= 2e-7 * fabs(truth[i]) + 1e-15 ||
              (isnan(is[i]) && isnan(truth[i]))))
            fail_msg("dlogits of %d x %d: [%zu] is %.9g, should be %.9g", batch, classes, i, is[i],
                     truth[i]);
    void *blocks[] = {z, truth, is, labels, zeros};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
    gpu_clear(gpu);
}

static void test_loss(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 2}, {3, 7}, {128, 10}, {300, 10}, {5, 1000}};
    struct gpu gpu;
    gpu_open(&gpu);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int turn = 0; turn < 4; turn++)
            check_loss(&gpu, sizes[i][0], sizes[i][1], turn % 2 ? 0.1f : 0, turn / 2);
    gpu_close(&gpu);
}

/* A vector on the device, `shift` floats after a multiple of 16 bytes. */
static float *put_shifted(struct gpu *gpu, const float *from, int64_t count, int shift)
{
    float *wide = xcalloc((size_t)(count + shift), sizeof *wide);
    memcpy(wide + shift, from, (size_t)count * sizeof *wide);
    float *there = gpu_put(gpu, wide, (size_t)(count + shift) * sizeof *wide);
    xfree(wide);
    return there + shift;
}

static void expect_same(struct gpu *gpu, const char *name, const char *what, const float *there,
                        const float *truth, int64_t count)
{
    float *is = xcalloc((size_t)count, sizeof *is);
    gpu_get(gpu, is, there, (size_t)count * sizeof *is);
    for (int64_t i = 0; i < count; i++)
        if (memcmp(&is[i], &truth[i], sizeof *is))
            fail_msg("%s: %s[%lld] is %a, should be %a", name, what, (long long)i, is[i], truth[i]);
    xfree(is);
}

enum { MOST = 4 };

struct inputs {
    float *host[MOST];
    const float *list[MOST];
    double scale[MOST];
    struct kernel_sources there;
};

static void inputs_open(struct gpu *gpu, struct inputs *in, int sources, int64_t count, int shift)
{
    *in = (struct inputs){.there.count = sources};
    for (int i = 0; i < sources; i++) {
        in->list[i] = in->host[i] = random_floats((size_t)count, 10 + (uint64_t)i);
        in->scale[i] = i ? 0.3 + i : 1;
        in->there.from[i] = put_shifted(gpu, in->host[i], count, shift);
        in->there.scale[i] = (float)in->scale[i];
    }
}

static void inputs_close(struct inputs *in)
{
    for (int i = 0; i < MOST; i++)
        xfree(in->host[i]);
}

static void test_sums(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 3, 4, 1021, 5000};
    struct gpu gpu;
    gpu_open(&gpu);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int sources = 0; sources <= MOST; sources++) {
            struct inputs in;
            int64_t count = counts[i];
            float *truth = xcalloc((size_t)count, sizeof *truth);
            inputs_open(&gpu, &in, sources, count, sources % 2);
            vector_sum(truth, in.list, in.scale, sources, count, 1);
            float *to = gpu_take(&gpu, (size_t)count * sizeof *to);
            kernel_sum(gpu.stream, &in.there, count, to);
            expect_same(&gpu, "sum", "to", to, truth, count);
            if (sources) { /* onto one of them */
                float *last = (float *)in.there.from[sources - 1];
                kernel_sum(gpu.stream, &in.there, count, last);
                expect_same(&gpu, "sum in place", "to", last, truth, count);
            }
            inputs_close(&in);
            xfree(truth);
            gpu_clear(&gpu);
        }
    gpu_close(&gpu);
}

/* What optimizer/optimizer.c makes of the options for one step. */
static void set_coefficients(const struct optimizer_options *o, enum step_rule rule, int steps,
                             double lr, struct step_coefficients step_coefficients[2])
{
    double bias = rule == STEP_ADAM ? 1 - pow(o->beta1, steps) : 1,
           root = rule == STEP_ADAM ? sqrt(1 - pow(o->beta2, steps)) : 1;
    bool decoupled = !strcmp(o->rule, "adamw");
    for (int decays = 0; decays < 2; decays++)
        step_coefficients[decays] =
            (struct step_coefficients){.lr = (float)(lr * root / bias),
                                       .momentum = (float)o->momentum,
                                       .decay = decays && !decoupled ? (float)o->decay : 0,
                                       .keep = decays && decoupled ? (float)(1 - lr * o->decay) : 1,
                                       .beta1 = (float)o->beta1,
                                       .fresh1 = (float)(1 - o->beta1),
                                       .beta2 = (float)o->beta2,
                                       .fresh2 = (float)(1 - o->beta2),
                                       .epsilon = (float)(o->epsilon * root)};
}

static const struct {
    const char *name;
    double momentum;
    enum step_rule rule;
    int states;
} rules[] = {{"sgd", 0, STEP_PLAIN, 0},           {"sgd", 0.9, STEP_SGD, 1},
             {"nesterov", 0.9, STEP_NESTEROV, 1}, {"adam", 0.9, STEP_ADAM, 2},
             {"adamw", 0.9, STEP_ADAM, 2},        {"adagrad", 0.9, STEP_ADAGRAD, 1}};

/* Three steps; ranges begin, end and meet at any float. */
static void check_steps(struct gpu *gpu, size_t which, int64_t count, int sources, int shift)
{
    const struct range no_decay[] = {{0, 1},   {6, 7},     {7, 11},
                                     {13, 14}, {101, 300}, {count - 2, count}};
    int ranges = count > 400 ? 6 : 0;
    struct optimizer_options o = {.rule = rules[which].name,
                                  .momentum = rules[which].momentum,
                                  .decay = 0.05,
                                  .beta1 = 0.9,
                                  .beta2 = 0.99,
                                  .epsilon = 1e-8,
                                  .threads = 1};
    struct optimizer *truth = optimizer_open(&o, (struct range){0, count}, no_decay, ranges);
    struct inputs in;
    inputs_open(gpu, &in, sources, count, shift);
    float *w = random_floats((size_t)count, 4), *g = xcalloc((size_t)count, sizeof *g),
          *zeros = xcalloc((size_t)count, sizeof *zeros);
    struct kernel_update u = {.rule = rules[which].rule,
                              .no_decay_count = ranges,
                              .w = put_shifted(gpu, w, count, shift)};
    u.no_decay = gpu_put(gpu, no_decay, sizeof no_decay);
    u.m = rules[which].states > 0 ? put_shifted(gpu, zeros, count, shift) : NULL;
    u.v = rules[which].states > 1 ? put_shifted(gpu, zeros, count, shift) : NULL;
    u.g = sources % 2 ? put_shifted(gpu, zeros, count, shift) : NULL;
    char name[80];
    snprintf(name, sizeof name, "%s, momentum %g, %lld floats, %d sources, shift %d", o.rule,
             o.momentum, (long long)count, sources, shift);
    for (int step = 1; step <= 3; step++) {
        set_coefficients(&o, u.rule, step, 0.1 / step, u.step_coefficients);
        optimizer_step_sum(truth, w, g, in.list, in.scale, sources, 0.1 / step);
        kernel_step(gpu->stream, &u, &in.there, count);
        expect_same(gpu, name, "w", u.w, w, count);
        if (u.g)
            expect_same(gpu, name, "g", u.g, g, count);
    }
    optimizer_close(truth);
    inputs_close(&in);
    xfree(w);
    xfree(g);
    xfree(zeros);
    gpu_clear(gpu);
}

static void test_steps(void **state)
{
    (void)state;
    struct gpu gpu;
    gpu_open(&gpu);
    for (size_t which = 0; which < sizeof rules / sizeof *rules; which++)
        for (int shift = 0; shift < 2; shift++) {
            check_steps(&gpu, which, 2, 1, shift);
            check_steps(&gpu, which, 1021, 1 + shift, shift);
            check_steps(&gpu, which, 2048, 3, shift);
        }
    gpu_close(&gpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_casts), cmocka_unit_test(test_images), cmocka_unit_test(test_loss),
        cmocka_unit_test(test_sums),  cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
