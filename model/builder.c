/* Appending units; the shapes follow from the windows. */
#include "model/builder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "model/model.h"

struct builder builder_start(struct model *m, const struct model_request *r)
{
    *m = (struct model){.batch = r->batch,
                        .classes = r->classes,
                        .channels = r->channels,
                        .height = r->height,
                        .width = r->width};
    snprintf(m->name, sizeof m->name, "%s", r->name);
    return (struct builder){
        .m = m, .last = IMAGES, .c = r->channels, .h = r->height, .w = r->width};
}

static struct unit_spec *append(struct builder *b, enum unit_kind kind, int out_c, int out_h,
                                int out_w)
{
    struct model *m = b->m;
    CHECK(m->units < MAX_UNITS, "%s has more than %d units", m->name, MAX_UNITS);
    if (out_h < 1 || out_w < 1)
        fatal("%s: images of %d x %d are too small for it; take another data set or network",
              m->name, m->height, m->width);
    struct unit_spec *u = &m->unit[m->units];
    *u = (struct unit_spec){
        .input = b->last, .skip = NO_SKIP, .parameter_index = m->units, .stage = b->stage};
    u->shape = (struct unit_shape){.kind = kind,
                                   .batch = m->batch,
                                   .in_c = b->c,
                                   .in_h = b->h,
                                   .in_w = b->w,
                                   .out_c = out_c,
                                   .out_h = out_h,
                                   .out_w = out_w,
                                   .kernel = 1,
                                   .stride = 1,
                                   .first = b->last == IMAGES,
                                   .number = m->units};
    b->last = m->units++;
    b->c = out_c, b->h = out_h, b->w = out_w;
    return u;
}

static struct unit_spec *append_window(struct builder *b, enum unit_kind kind, int out_c,
                                       int kernel, int stride, int pad)
{
    int rows = b->h + 2 * pad - kernel, columns = b->w + 2 * pad - kernel;
    struct unit_spec *u = append(b, kind, out_c, rows < 0 ? 0 : rows / stride + 1,
                                 columns < 0 ? 0 : columns / stride + 1);
    u->shape.kernel = kernel;
    u->shape.stride = stride;
    u->shape.pad = pad;
    return u;
}

struct unit_spec *builder_conv(struct builder *b, int out_c, int kernel, int stride, int pad)
{
    return append_window(b, UNIT_CONV, out_c, kernel, stride, pad);
}

struct unit_spec *builder_max_pool(struct builder *b, int kernel, int stride, int pad)
{
    return append_window(b, UNIT_MAX_POOL, b->c, kernel, stride, pad);
}

struct unit_spec *builder_mean_pool(struct builder *b, int h, int w)
{
    return append(b, UNIT_MEAN_POOL, b->c, h, w);
}

struct unit_spec *builder_shortcut(struct builder *b, int out_c, int stride)
{
    return append_window(b, UNIT_SHORTCUT, out_c, 1, stride, 0);
}

struct unit_spec *builder_dense(struct builder *b, int out, bool hidden)
{
    struct unit_spec *u = append(b, UNIT_DENSE, out, 1, 1);
    u->shape.hidden = hidden;
    return u;
}

struct unit_spec *builder_dropout(struct builder *b, double p, bool by_channel)
{
    struct unit_spec *u = append(b, UNIT_DROPOUT, b->c, b->h, b->w);
    u->shape.drop = (float)p;
    u->shape.by_channel = by_channel;
    return u;
}

struct unit_spec *builder_group_norm(struct builder *b, int groups)
{
    if (groups < 1 || b->c % groups)
        fatal("--groups: %d groups do not divide the %d channels of a layer of %s", groups, b->c,
              b->m->name);
    struct unit_spec *u = append(b, UNIT_GROUP_NORM, b->c, b->h, b->w);
    u->shape.groups = groups;
    return u;
}

int builder_sizes(const char *text, int sizes[BUILDER_SIZES])
{
    const long most = 1 << 20;
    int count = 0;
    if (!strcmp(text, "none"))
        return 0;
    for (const char *at = text;; at++) {
        char *end;
        long size = strtol(at, &end, 10);
        if (end == at || size < 1 || size > most || count == BUILDER_SIZES || (*end && *end != ','))
            fatal("--hidden '%s': expected up to %d sizes from 1 to %ld with commas between them, "
                  "like 200,200, or none",
                  text, BUILDER_SIZES, most);
        sizes[count++] = (int)size;
        at = end;
        if (!*at)
            return count;
    }
}

void unit_name(struct unit_spec *u, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(u->weight, sizeof u->weight, format, args);
    va_end(args);
}

void unit_norm(struct unit_spec *u, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(u->norm, sizeof u->norm, format, args);
    va_end(args);
    u->shape.norm = true;
}
