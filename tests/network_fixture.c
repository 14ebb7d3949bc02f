/* The formula: 32 bits of murmur3's finaliser of key and index; 24 of them make a number that
 * float32 holds. What is made of it is computed in double and rounded once, so that PyTorch's side
 * has the same bits. */
#include "tests/network_fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { KEYS = 4096, LABELS = 998, IMAGE_KEYS = 1000 }; /* as in reference/step.py */

int list_engines(struct engine list[MOST_ENGINES])
{
    static const char *const types[] = {"f32", "bf16"};
    int count = 0;
    for (int i = 0; backends[i]; i++)
        for (int dtype = DTYPE_F32; dtype <= DTYPE_BF16 && count < MOST_ENGINES; dtype++)
            if (!backends[i]->device && backends[i]->has((enum backend_dtype)dtype)) {
                struct engine *e = &list[count++];
                *e = (struct engine){.backend = backends[i], .dtype = (enum backend_dtype)dtype};
                snprintf(e->name, sizeof e->name, "%s %s", backends[i]->name, types[dtype]);
            }
    return count;
}

static uint32_t bits_at(uint32_t key, uint32_t i)
{
    uint32_t h = i * 0x9e3779b1u + key * 0x85ebca77u;
    h = (h ^ (h >> 16)) * 0x85ebca6bu;
    h = (h ^ (h >> 13)) * 0xc2b2ae35u;
    return h ^ (h >> 16);
}

double formula_at(uint32_t key, uint32_t i)
{
    return (double)(bits_at(key, i) >> 8) * 0x1p-23 - 1.0;
}

int64_t place_of(const struct tensor *t, int64_t i)
{
    if (t->dims != 4 && t->pixels < 2)
        return t->offset + i;
    int64_t taps = t->dims == 4 ? t->shape[2] * t->shape[3] : t->pixels;
    int64_t in = t->dims == 4 ? t->shape[1] : t->shape[1] / taps;
    int64_t tap = i % taps, channel = i / taps % in, out = i / (taps * in);
    return t->offset + (out * taps + tap) * in + channel;
}

/* What the formula makes of u, the number of element i. */
static double weight_at(const struct tensor *t, const struct tensor *fc, double u, int64_t i)
{
    if (t->dims == 4)
        return sqrt(6.0 / (t->shape[0] * t->shape[2] * t->shape[3])) * u;
    if (t->dims == 2 || t >= fc)
        return 1.0 / sqrt((t->dims == 2 ? t : fc)->shape[1]) * u;
    double gamma = strstr(t->name, "bn3") ? 0.25 : 1.0;
    return (strstr(t->name, ".weight") ? gamma : i % 2 ? -3.0 * gamma : 3.0 * gamma) + 0.125 * u;
}

void fixture_set_weights(struct network_fixture *r, int seed)
{
    int count;
    struct tensor *tensors = model_tensors(&r->a, &count);
    for (int k = 0; k < count; k++)
        for (int64_t i = 0; i < tensors[k].count; i++) {
            double u = formula_at((uint32_t)(KEYS * seed + k), (uint32_t)i);
            r->w[place_of(&tensors[k], i)] =
                (float)weight_at(&tensors[k], &tensors[count - 2], u, i);
        }
    xfree(tensors);
    r->weights_version++;
}

void fixture_set_batch(struct network_fixture *r, int number)
{
    const struct model *a = &r->a;
    uint32_t floats = (uint32_t)(a->batch * a->height * a->width * a->channels),
             key = (uint32_t)(KEYS * r->options.seed);
    for (uint32_t i = 0; i < floats; i++)
        r->floats_of_images[i] =
            (float)(sqrt(3.0) * formula_at(key + IMAGE_KEYS + (uint32_t)number, i));
    for (int i = 0; i < a->batch; i++)
        r->labels[i] = (int32_t)(bits_at(key + LABELS, (uint32_t)(number * a->batch + i)) %
                                 (uint32_t)a->classes);
}

static void set_plain_statistics(struct network_fixture *r)
{
    int count;
    struct tensor *tensors = model_statistic_tensors(&r->a, &count);
    for (int k = 0; k < count; k++)
        for (int64_t i = 0; i < tensors[k].count; i++)
            r->statistics[tensors[k].offset + i] = strstr(tensors[k].name, "running_var") ? 1 : 0;
    xfree(tensors);
}

void fixture_open(struct network_fixture *r, const struct engine *engine,
                  const struct fixture_options *options)
{
    *r = (struct network_fixture){.options = *options, .engine = *engine};
    struct model_request request = options->model;
    const struct resnet_options own = {.stem = options->stem};
    if (options->stem)
        request.own = &own;
    model_find(request.name)->build(&r->a, &request);
    const struct model *a = &r->a;
    snprintf(r->name, sizeof r->name, "%s, %d threads, %s %s, batch %d of %d x %d, seed %d",
             engine->name, options->threads, a->name, options->stem ? options->stem : "", a->batch,
             a->height, a->width, options->seed);
    r->floats = model_parameters(a);
    r->statistic_floats = model_statistics(a);
    r->w = xcalloc((size_t)r->floats, sizeof *r->w);
    r->g = xcalloc((size_t)r->floats, sizeof *r->g);
    r->statistics = xcalloc((size_t)r->statistic_floats, sizeof *r->statistics);
    r->floats_of_images = xcalloc((size_t)a->batch * (size_t)(a->height * a->width * a->channels),
                                  sizeof *r->floats_of_images);
    r->images.floats = r->floats_of_images;
    r->labels = xcalloc((size_t)a->batch, sizeof *r->labels);
    const struct device_options device = {.threads = options->threads,
                                          .dtype = engine->dtype,
                                          .cache = options->cache,
                                          .quiet = true,
                                          .tf32 = engine->tf32};
    r->device = engine->backend->open(&device);
    r->network = network_open(a, engine->backend, r->device, (float)options->smoothing, true,
                              (struct network_listener){NULL, NULL});
    fixture_set_weights(r, options->seed);
    fixture_set_batch(r, 0);
    set_plain_statistics(r);
}

void fixture_close(struct network_fixture *r)
{
    network_close(r->network);
    r->engine.backend->close(r->device);
    void *blocks[] = {r->w, r->g, r->statistics, r->floats_of_images, r->labels};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        xfree(blocks[i]);
}

struct loss fixture_gradient(struct network_fixture *r)
{
    struct loss loss = {0};
    network_gradient(r->network, (struct weights){r->w, r->weights_version}, r->images, r->labels,
                     r->g, &loss, NULL, NULL);
    return loss;
}

struct loss fixture_evaluate(struct network_fixture *r)
{
    struct loss loss = {0};
    network_evaluate(r->network, (struct weights){r->w, r->weights_version}, r->statistics,
                     r->images, r->labels, r->a.batch, &loss);
    return loss;
}
