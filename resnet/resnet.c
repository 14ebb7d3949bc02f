/* ResNets as data: a row says how many blocks each stage has, the rest follows.
 *
 * A block reads tensor x and writes relu(f(x) + shortcut(x)). Basic: f is two 3x3 convolutions;
 * bottleneck: 1x1 down to a quarter, 3x3 (which has the stride), 1x1 up. The shortcut is x itself,
 * or where shapes differ a 1x1 convolution with norm (option B), or for the small nets every second
 * pixel and zeros (option A). In the list the shortcut comes before the unit that adds it; in the
 * flat vector its parameters come behind, as PyTorch has it. */
#include "resnet/resnet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

enum { STAGES = 4 };

struct row {
    const char *name;
    bool bottleneck, small; /* small: He's CIFAR nets */
    int blocks[STAGES];
};

static const struct row rows[] = {
    {"resnet18", false, false, {2, 2, 2, 2}},  {"resnet34", false, false, {3, 4, 6, 3}},
    {"resnet50", true, false, {3, 4, 6, 3}},   {"resnet101", true, false, {3, 4, 23, 3}},
    {"resnet152", true, false, {3, 8, 36, 3}}, {"resnet20", false, true, {3, 3, 3, 0}},
    {"resnet32", false, true, {5, 5, 5, 0}},   {"resnet44", false, true, {7, 7, 7, 0}},
    {"resnet56", false, true, {9, 9, 9, 0}},   {"resnet110", false, true, {18, 18, 18, 0}},
};

static const struct row *find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    return NULL;
}

bool resnet_known(const char *name)
{
    return find(name) != NULL;
}

const char *resnet_names(void)
{
    return "resnet18|resnet34|resnet50|resnet101|resnet152|resnet20|resnet32|resnet44|resnet56|"
           "resnet110";
}

/* The list under construction: where its end's tensor comes from and has which shape. */
struct builder {
    struct model *a;
    int last;    /* the unit that wrote the current tensor, or IMAGES */
    int c, h, w; /* its shape */
    int stage;
};

__attribute__((format(printf, 3, 4))) static void name_it(char *to, size_t size, const char *format,
                                                          ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(to, size, format, args);
    va_end(args);
}

static struct unit_spec *append(struct builder *b, enum unit_kind kind, int out_c, int out_h,
                                int out_w)
{
    struct model *a = b->a;
    CHECK(a->units < MAX_UNITS, "%s has more than %d units", a->name, MAX_UNITS);
    struct unit_spec *u = &a->unit[a->units];
    *u =
        (struct unit_spec){.input = b->last, .skip = NO_SKIP, .place = a->units, .stage = b->stage};
    u->shape = (struct unit_shape){.kind = kind,
                                   .batch = a->batch,
                                   .in_c = b->c,
                                   .in_h = b->h,
                                   .in_w = b->w,
                                   .out_c = out_c,
                                   .out_h = out_h,
                                   .out_w = out_w,
                                   .kernel = 1,
                                   .stride = 1,
                                   .first = b->last == IMAGES};
    b->last = a->units++;
    b->c = out_c, b->h = out_h, b->w = out_w;
    return u;
}

static struct unit_spec *convolve(struct builder *b, int out_c, int kernel, int stride)
{
    int pad = kernel / 2;
    struct unit_spec *u = append(b, UNIT_CONV, out_c, (b->h + 2 * pad - kernel) / stride + 1,
                                 (b->w + 2 * pad - kernel) / stride + 1);
    u->shape.kernel = kernel;
    u->shape.stride = stride;
    u->shape.pad = pad;
    u->shape.norm = u->shape.relu = true;
    return u;
}

static void pool(struct builder *b, enum unit_kind kind, int kernel, int stride, int pad)
{
    bool whole = kind == UNIT_MEAN_POOL;
    struct unit_spec *u = append(b, kind, b->c, whole ? 1 : (b->h + 2 * pad - kernel) / stride + 1,
                                 whole ? 1 : (b->w + 2 * pad - kernel) / stride + 1);
    u->shape.kernel = kernel;
    u->shape.stride = stride;
    u->shape.pad = pad;
}

static void block(struct builder *b, const struct row *row, int index, int width, int stride)
{
    const struct builder x = *b;
    int out_c = row->bottleneck ? 4 * width : width, convolutions = row->bottleneck ? 3 : 2;
    for (int k = 1; k < convolutions; k++) {
        bool spatial = !row->bottleneck || k == 2;
        struct unit_spec *u = convolve(b, width, spatial ? 3 : 1, spatial ? stride : 1);
        name_it(u->weight, sizeof u->weight, "layer%d.%d.conv%d", b->stage, index, k);
        name_it(u->norm, sizeof u->norm, "layer%d.%d.bn%d", b->stage, index, k);
    }
    const struct builder body = *b;
    bool same = stride == 1 && x.c == out_c;
    int skip = x.last;
    b->last = x.last, b->c = x.c, b->h = x.h, b->w = x.w;
    if (!same && row->small) {
        struct unit_spec *u = append(b, UNIT_SHORTCUT, out_c, body.h, body.w);
        u->shape.stride = stride;
        u->place++;
        skip = b->last;
    } else if (!same) {
        struct unit_spec *u = convolve(b, out_c, 1, stride);
        name_it(u->weight, sizeof u->weight, "layer%d.%d.downsample.0", b->stage, index);
        name_it(u->norm, sizeof u->norm, "layer%d.%d.downsample.1", b->stage, index);
        u->shape.relu = false;
        u->place++;
        skip = b->last;
    }
    b->last = body.last, b->c = body.c, b->h = body.h, b->w = body.w;
    struct unit_spec *u = convolve(b, out_c, row->bottleneck ? 1 : 3, 1);
    name_it(u->weight, sizeof u->weight, "layer%d.%d.conv%d", b->stage, index, convolutions);
    name_it(u->norm, sizeof u->norm, "layer%d.%d.bn%d", b->stage, index, convolutions);
    u->skip = skip;
    u->shape.skip = true;
    u->place -= !same;
}

void resnet_describe(struct model *a, const struct resnet_options *o)
{
    const struct row *row = find(o->name);
    if (!row)
        fatal("unknown network '%s': one of %s", o->name, resnet_names());
    bool imagenet = !strcmp(o->stem, "imagenet");
    if (!imagenet && strcmp(o->stem, "cifar"))
        fatal("unknown stem '%s': cifar (3x3, stride 1) or imagenet (7x7, stride 2, max pool)",
              o->stem);
    if (o->height < 8 || o->width < 8)
        fatal("%s needs images of at least 8 x 8 pixels, not %d x %d", o->name, o->height,
              o->width);
    *a = (struct model){.batch = o->batch,
                        .classes = o->classes,
                        .channels = o->channels,
                        .height = o->height,
                        .width = o->width};
    name_it(a->name, sizeof a->name, "%s", o->name);
    struct builder b = {.a = a, .last = IMAGES, .c = o->channels, .h = o->height, .w = o->width};
    int width = row->small ? 16 : 64;
    struct unit_spec *stem =
        imagenet && !row->small ? convolve(&b, width, 7, 2) : convolve(&b, width, 3, 1);
    name_it(stem->weight, sizeof stem->weight, "conv1");
    name_it(stem->norm, sizeof stem->norm, "bn1");
    if (imagenet && !row->small)
        pool(&b, UNIT_MAX_POOL, 3, 2, 1);
    int stages = row->small ? STAGES - 1 : STAGES;
    for (int s = 0; s < stages; s++) {
        b.stage = s + 1;
        for (int i = 0; i < row->blocks[s]; i++)
            block(&b, row, i, width << s, s > 0 && i == 0 ? 2 : 1);
    }
    b.stage = stages + 1;
    pool(&b, UNIT_MEAN_POOL, 1, 1, 0);
    name_it(append(&b, UNIT_DENSE, o->classes, 1, 1)->weight, sizeof stem->weight, "fc");
}
