/* What can be said of a network without running it: its tensors' names and places, its first
 * weights, its cost. */
#include "model/model.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"

int64_t model_parameters(const struct model *a)
{
    int64_t floats = 0;
    for (int i = 0; i < a->units; i++)
        floats += unit_parameters(&a->unit[i].shape);
    return floats;
}

int64_t model_statistics(const struct model *a)
{
    int64_t floats = 0;
    for (int i = 0; i < a->units; i++)
        floats += a->unit[i].shape.norm ? 2 * a->unit[i].shape.out_c : 0;
    return floats;
}

void model_offsets(const struct model *a, int64_t *offset, int64_t *final_from)
{
    int64_t floats = 0;
    for (int at = 0; at < a->units; at++)
        for (int i = 0; i < a->units; i++)
            if (a->unit[i].parameter_index == at) {
                offset[i] = floats;
                floats += unit_parameters(&a->unit[i].shape);
            }
    final_from[0] = 0;
    for (int i = 1; i < a->units; i++) { /* the earlier units are not done yet, the others are */
        int64_t before = unit_parameters(&a->unit[i - 1].shape), end = offset[i - 1] + before;
        final_from[i] = before && end > final_from[i - 1] ? end : final_from[i - 1];
    }
}

double model_flops(const struct model *a)
{
    double flops = 0;
    for (int i = 0; i < a->units; i++)
        flops += unit_flops(&a->unit[i].shape);
    return flops / a->batch;
}

double model_unit_share(const struct model *a, int step)
{
    int unit = step < a->units ? step : 2 * a->units - 1 - step;
    double part = unit_flops(&a->unit[unit].shape) / a->batch / model_flops(a);
    return step < a->units ? part / 3 : part * 2 / 3;
}

/* The units in the order in which their parameters lie. */
static const struct unit_spec *unit_at(const struct model *a, int index)
{
    for (int i = 0; i < a->units; i++)
        if (a->unit[i].parameter_index == index)
            return &a->unit[i];
    return NULL;
}

static struct tensor *add(struct tensor **end, const char *module, const char *leaf,
                          int64_t *offset, int stage, int dims, const int *shape)
{
    struct tensor *t = (*end)++;
    snprintf(t->name, sizeof t->name, "%.60s.%s", module, leaf);
    t->offset = *offset;
    t->count = 1;
    t->dims = dims;
    for (int i = 0; i < dims; i++) {
        t->shape[i] = shape[i];
        t->count *= shape[i];
    }
    t->decays = dims > 1;
    t->stage = stage;
    *offset += t->count;
    return t;
}

struct tensor *model_tensors(const struct model *a, int *count)
{
    struct tensor *list = xcalloc((size_t)a->units * UNIT_TENSORS, sizeof *list), *end = list;
    int64_t offset = 0;
    for (int at = 0; at < a->units; at++) {
        const struct unit_spec *u = unit_at(a, at);
        const struct unit_shape *s = &u->shape;
        if (s->kind == UNIT_CONV) {
            add(&end, u->weight, "weight", &offset, u->stage, 4,
                (const int[]){s->out_c, s->in_c, s->kernel, s->kernel});
            if (s->bias)
                add(&end, u->weight, "bias", &offset, u->stage, 1, &s->out_c);
            if (s->norm) {
                add(&end, u->norm, "weight", &offset, u->stage, 1, &s->out_c);
                add(&end, u->norm, "bias", &offset, u->stage, 1, &s->out_c);
            }
        } else if (s->kind == UNIT_GROUP_NORM) {
            add(&end, u->weight, "weight", &offset, u->stage, 1, &s->out_c);
            add(&end, u->weight, "bias", &offset, u->stage, 1, &s->out_c);
        } else if (s->kind == UNIT_DENSE) {
            add(&end, u->weight, "weight", &offset, u->stage, 2,
                (const int[]){s->out_c, s->in_c * s->in_h * s->in_w})
                ->pixels = s->in_h * s->in_w;
            add(&end, u->weight, "bias", &offset, u->stage, 1, &s->out_c);
        }
    }
    *count = (int)(end - list);
    return list;
}

struct tensor *model_statistic_tensors(const struct model *a, int *count)
{
    struct tensor *list = xcalloc((size_t)a->units * 2, sizeof *list), *end = list;
    int64_t offset = 0;
    for (int at = 0; at < a->units; at++) {
        const struct unit_spec *u = unit_at(a, at);
        if (u->shape.norm) {
            add(&end, u->norm, "running_mean", &offset, u->stage, 1, &u->shape.out_c);
            add(&end, u->norm, "running_var", &offset, u->stage, 1, &u->shape.out_c);
        }
    }
    *count = (int)(end - list);
    return list;
}

void model_initialise(const struct model *a, uint64_t seed, float *w)
{
    int count;
    struct tensor *tensors = model_tensors(a, &count);
    for (int k = 0; k < count; k++) {
        const struct tensor *t = &tensors[k];
        struct random r = random_at(RANDOM_WEIGHTS, seed, (uint64_t)k, 0, 0);
        double deviation =
            t->dims == 4 ? sqrt(2.0 / ((double)t->shape[2] * t->shape[3] * t->shape[0])) : 0;
        const struct tensor *dense = t->dims == 2                                        ? t
                                     : t->dims == 1 && k > 0 && tensors[k - 1].dims == 2 ? t - 1
                                                                                         : NULL;
        double bound = dense ? 1 / sqrt(dense->shape[1]) : 0;
        bool gamma = t->dims == 1 && !dense && strstr(t->name, ".weight");
        for (int64_t i = 0; i < t->count; i++)
            w[t->offset + i] = (float)(deviation ? deviation * random_normal(&r)
                                       : dense   ? bound * (2 * random_uniform(&r) - 1)
                                                 : gamma);
    }
    for (int i = 0; i < a->units; i++) {
        const struct unit_spec *u = &a->unit[i];
        const char *norm = u->shape.norm ? u->norm : u->weight;
        for (int k = 0; u->zero_gamma && k < count; k++)
            if (!strncmp(tensors[k].name, norm, strlen(norm)) &&
                !strcmp(tensors[k].name + strlen(norm), ".weight"))
                memset(w + tensors[k].offset, 0, (size_t)tensors[k].count * sizeof *w);
    }
    xfree(tensors);
}

void model_print(const struct model *a, FILE *to)
{
    fprintf(to, "%-24s %-28s %-7s %-16s %-16s %12s %14s\n", "unit", "kind", "kernel", "in", "out",
            "parameters", "FLOPs");
    for (int i = 0; i < a->units; i++) {
        const struct unit_shape *s = &a->unit[i].shape;
        char in[40], out[40], kernel[24], kind[48];
        unit_describe(s, kind, sizeof kind);
        snprintf(in, sizeof in, "%d x %d x %d", s->in_c, s->in_h, s->in_w);
        snprintf(out, sizeof out, "%d x %d x %d", s->out_c, s->out_h, s->out_w);
        snprintf(kernel, sizeof kernel, "%dx%d/%d", s->kernel, s->kernel, s->stride);
        fprintf(to, "%-24s %-28s %-7s %-16s %-16s %12lld %14.0f\n",
                a->unit[i].weight[0] ? a->unit[i].weight : "-", kind,
                s->kind == UNIT_DENSE || s->kind == UNIT_MEAN_POOL || s->kind == UNIT_DROPOUT ||
                        s->kind == UNIT_GROUP_NORM
                    ? "-"
                    : kernel,
                in, out, (long long)unit_parameters(s), unit_flops(s) / s->batch);
    }
    fprintf(
        to,
        "%s: %d units, %lld parameters, %.4g FLOPs per image forward, %.4g per training sample\n",
        a->name, a->units, (long long)model_parameters(a), model_flops(a), 3 * model_flops(a));
}

struct tensor_table model_table(const struct model *a)
{
    struct tensor_table t = {.model = a->name, .first_hint = a->first_hint};
    t.parameter = model_tensors(a, &t.parameters);
    t.statistic = model_statistic_tensors(a, &t.statistics);
    return t;
}

void model_table_free(struct tensor_table *table)
{
    xfree((void *)table->parameter);
    xfree((void *)table->statistic);
}

bool model_save(const struct weights_target *to, const struct model *a, const float *w,
                const float *statistics)
{
    struct tensor_table table = model_table(a);
    bool saved = weights_save(to, &table, w, statistics);
    int error = errno;
    model_table_free(&table);
    errno = error;
    return saved;
}

const char *model_load(const char *path, const struct model *a, float *w, float *statistics,
                       bool *has_statistics)
{
    struct tensor_table table = model_table(a);
    const char *prefix = weights_load(path, &table, w, statistics, has_statistics);
    model_table_free(&table);
    return prefix;
}
