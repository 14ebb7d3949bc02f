#define _GNU_SOURCE
#include "tests/small_weights.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "serialization/serialization.h"

static const float untouched = -7.25e-20f;

/* The mean of each channel, and a dense layer. */
static void add_head(struct model *a)
{
    a->unit[2] = (struct unit_spec){.input = 1, .skip = NO_SKIP, .parameter_index = 2};
    a->unit[2].shape = (struct unit_shape){.kind = UNIT_MEAN_POOL,
                                           .batch = 1,
                                           .in_c = 4,
                                           .in_h = 4,
                                           .in_w = 4,
                                           .out_c = 4,
                                           .out_h = 1,
                                           .out_w = 1,
                                           .kernel = 1,
                                           .stride = 1};
    a->unit[3] =
        (struct unit_spec){.input = 2, .skip = NO_SKIP, .weight = "fc", .parameter_index = 3};
    a->unit[3].shape = (struct unit_shape){.kind = UNIT_DENSE,
                                           .batch = 1,
                                           .in_c = 4,
                                           .in_h = 1,
                                           .in_w = 1,
                                           .out_c = 5,
                                           .out_h = 1,
                                           .out_w = 1,
                                           .kernel = 1,
                                           .stride = 1};
}

void small_model(struct model *a)
{
    *a = (struct model){.name = "small",
                        .batch = 1,
                        .classes = 5,
                        .channels = 2,
                        .height = 4,
                        .width = 4,
                        .units = 4};
    a->unit[0] = (struct unit_spec){
        .input = IMAGES, .skip = NO_SKIP, .weight = "conv1", .norm = "bn1", .parameter_index = 0};
    a->unit[0].shape = (struct unit_shape){.kind = UNIT_CONV,
                                           .batch = 1,
                                           .in_c = 2,
                                           .in_h = 4,
                                           .in_w = 4,
                                           .out_c = 3,
                                           .out_h = 4,
                                           .out_w = 4,
                                           .kernel = 3,
                                           .stride = 1,
                                           .pad = 1,
                                           .norm = true,
                                           .relu = true,
                                           .first = true};
    a->unit[1] = (struct unit_spec){
        .input = 0, .skip = NO_SKIP, .weight = "layer1.0.conv1", .parameter_index = 1};
    a->unit[1].shape = (struct unit_shape){.kind = UNIT_CONV,
                                           .batch = 1,
                                           .in_c = 3,
                                           .in_h = 4,
                                           .in_w = 4,
                                           .out_c = 4,
                                           .out_h = 4,
                                           .out_w = 4,
                                           .kernel = 1,
                                           .stride = 1};
    add_head(a);
}

/* Is each tensor in the file, in PyTorch's order of its floats? */
static bool stands_in(const uint8_t *bytes, size_t size, const struct tensor *list, int count,
                      const float *w)
{
    for (int i = 0; i < count; i++) {
        const struct tensor *t = &list[i];
        float there[SMALL_FLOATS];
        int64_t in = t->dims == 4 ? t->shape[1] : 1,
                taps = t->dims == 4 ? t->shape[2] * t->shape[3] : 1;
        for (int64_t k = 0; k < t->count; k++) {
            int64_t out = k / (in * taps), channel = k / taps % in, tap = k % taps;
            there[k] = w[t->offset + (out * taps + tap) * in + channel];
        }
        if (!memmem(bytes, size, there, (size_t)t->count * sizeof(float)))
            return false;
    }
    return true;
}

static bool all_untouched(const float *v, int count)
{
    for (int i = 0; i < count; i++)
        if (memcmp(&v[i], &untouched, sizeof *v))
            return false;
    return true;
}

static bool all_finite(const float *v, int count)
{
    for (int i = 0; i < count; i++)
        if (!isfinite(v[i]))
            return false;
    return true;
}

const char *small_parse(const uint8_t *bytes, size_t size, const struct model *a, float *w,
                        float *statistics, bool *has_statistics, char *why, size_t why_size)
{
    struct tensor_table table = model_table(a);
    struct weights_found found;
    const char *wrong = weights_parse(bytes, size, &table, w, statistics, &found, why, why_size);
    if (has_statistics)
        *has_statistics = found.has_statistics;
    model_table_free(&table);
    return wrong;
}

const char *small_complaint(const uint8_t *bytes, size_t size, bool *loaded)
{
    struct model *a = xcalloc(1, sizeof *a);
    small_model(a);
    float w[SMALL_FLOATS], statistics[SMALL_STATISTICS];
    for (int i = 0; i < SMALL_FLOATS; i++)
        w[i] = untouched;
    for (int i = 0; i < SMALL_STATISTICS; i++)
        statistics[i] = untouched;
    char why[200];
    bool has = true;
    int parameters, others;
    struct tensor *tensors = model_tensors(a, &parameters),
                  *running = model_statistic_tensors(a, &others);
    const char *wrong = small_parse(bytes, size, a, w, statistics, &has, why, sizeof why),
               *complaint = NULL;
    if (wrong &&
        (!all_untouched(w, SMALL_FLOATS) || !all_untouched(statistics, SMALL_STATISTICS) || has))
        complaint = "an error, and yet something was written";
    else if (wrong && (!*wrong || strnlen(wrong, sizeof why) == sizeof why))
        complaint = "an error without a sentence";
    else if (!wrong && !stands_in(bytes, size, tensors, parameters, w))
        complaint = "a tensor was loaded that is not in the file";
    else if (!wrong &&
             (!all_finite(w, SMALL_FLOATS) || (has && !all_finite(statistics, SMALL_STATISTICS))))
        complaint = "a weight was loaded that is no number";
    else if (!wrong && has && !stands_in(bytes, size, running, others, statistics))
        complaint = "a statistic was loaded that is not in the file";
    else if (!wrong && !has && !all_untouched(statistics, SMALL_STATISTICS))
        complaint = "statistics were written that are not there";
    *loaded = !wrong;
    xfree(tensors);
    xfree(running);
    xfree(a);
    return complaint;
}
