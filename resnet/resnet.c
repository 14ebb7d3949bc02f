/* ResNets as data: a row says how many blocks each stage has, the rest follows.
 *
 * A block reads tensor x and writes relu(f(x) + shortcut(x)). Basic: f is two 3x3 convolutions;
 * bottleneck: 1x1 down to a quarter, 3x3 (which has the stride), 1x1 up. The shortcut is x itself,
 * or where shapes differ a 1x1 convolution with norm (option B), or for the small nets every second
 * pixel and zeros (option A). In the list the shortcut comes before the unit that adds it; in the
 * flat vector its parameters come after those, as PyTorch has it. A group norm is a unit of its
 * own, which has the skip and the ReLU; its tensors have the batch norm's names, as torchvision's
 * norm_layer gives them. */
#include "resnet/resnet.h"

#include <assert.h>
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

static bool by_group(const struct resnet_options *o)
{
    return o->norm && !strcmp(o->norm, "group");
}

/* A convolution with padding that keeps the size, its norm (the same unit, or one after it), ReLU.
 * Returns the unit that is the layer's last. */
static struct unit_spec *convolve(struct builder *b, const struct resnet_options *o, int out_c,
                                  int kernel, int stride, const char *name, const char *norm)
{
    struct unit_spec *u = builder_conv(b, out_c, kernel, stride, kernel / 2);
    unit_name(u, "%s", name);
    if (by_group(o)) {
        u = builder_group_norm(b, o->groups < out_c / 2 ? (int)o->groups : out_c / 2);
        unit_name(u, "%s", norm);
    } else {
        unit_norm(u, "%s", norm);
    }
    u->shape.relu = true;
    return u;
}

/* A block's convolution; `number` counts from 1, 0: of the shortcut. */
static struct unit_spec *convolve_in_block(struct builder *b, const struct resnet_options *o,
                                           int block, int number, int out_c, int kernel, int stride)
{
    char name[64], norm[64];
    int stage = b->stage;
    if (number) {
        snprintf(name, sizeof name, "layer%d.%d.conv%d", stage, block, number);
        snprintf(norm, sizeof norm, "layer%d.%d.bn%d", stage, block, number);
    } else {
        snprintf(name, sizeof name, "layer%d.%d.downsample.0", stage, block);
        snprintf(norm, sizeof norm, "layer%d.%d.downsample.1", stage, block);
    }
    return convolve(b, o, out_c, kernel, stride, name, norm);
}

/* x seen through the shortcut, where its shape is not that of the block's output; returns the unit
 * to add. */
static int shortcut(struct builder *b, const struct resnet_options *o, bool small, int block,
                    int out_c, int stride)
{
    if (small)
        builder_shortcut(b, out_c, stride);
    else
        convolve_in_block(b, o, block, 0, out_c, 1, stride)->shape.relu = false;
    return b->last;
}

/* The parameters of units first .. middle - 1 come after those of middle .. end - 1. */
static void exchange_parameters(struct model *m, int first, int middle, int end)
{
    for (int i = first; i < end; i++)
        m->unit[i].parameter_index += i < middle ? end - middle : first - middle;
}

static void block(struct builder *b, const struct resnet_options *o, const struct row *row,
                  int index, int width, int stride)
{
    const struct builder x = *b;
    int out_c = row->bottleneck ? 4 * width : width, convolutions = row->bottleneck ? 3 : 2;
    for (int k = 1; k < convolutions; k++) {
        bool spatial = !row->bottleneck || k == 2;
        convolve_in_block(b, o, index, k, width, spatial ? 3 : 1, spatial ? stride : 1);
    }
    const struct builder body = *b;
    bool same = stride == 1 && x.c == out_c;
    int first = b->m->units;
    *b = x;
    int skip = same ? x.last : shortcut(b, o, row->small, index, out_c, stride);
    int middle = b->m->units;
    *b = body;
    struct unit_spec *u =
        convolve_in_block(b, o, index, convolutions, out_c, row->bottleneck ? 1 : 3, 1);
    u->skip = skip;
    u->shape.skip = true;
    u->zero_gamma = o->zero_gamma;
    exchange_parameters(b->m, first, middle, b->m->units);
}

static void build(struct model *m, const struct model_request *request)
{
    static const struct resnet_options presets = {.stem = "cifar"};
    const struct resnet_options *o = request->own ? request->own : &presets;
    const struct row *row = find(request->name);
    bool imagenet = !strcmp(o->stem, "imagenet");
    assert(row);
    if (!imagenet && strcmp(o->stem, "cifar"))
        fatal("unknown stem '%s': cifar (3x3, stride 1) or imagenet (7x7, stride 2, max pool)",
              o->stem);
    if (request->height < 8 || request->width < 8)
        fatal("%s needs images of at least 8 x 8 pixels, not %d x %d", request->name,
              request->height, request->width);
    struct builder b = builder_start(m, request);
    int width = row->small ? 16 : 64, stages = row->small ? STAGES - 1 : STAGES;
    bool large = imagenet && !row->small;
    if (!row->small)
        m->first_hint = large ? "--stem cifar has a first layer of 3x3"
                              : "--stem imagenet has a first layer of 7x7";
    if (o->norm && strcmp(o->norm, "batch") && !by_group(o))
        fatal("unknown norm '%s': batch or group", o->norm);
    convolve(&b, o, width, large ? 7 : 3, large ? 2 : 1, "conv1", "bn1");
    if (large)
        builder_max_pool(&b, 3, 2, 1);
    for (int s = 0; s < stages; s++) {
        b.stage = s + 1;
        for (int i = 0; i < row->blocks[s]; i++)
            block(&b, o, row, i, width << s, s > 0 && i == 0 ? 2 : 1);
    }
    b.stage = stages + 1;
    builder_mean_pool(&b, 1, 1);
    unit_name(builder_dense(&b, request->classes, false), "fc");
}

#define AT(field) offsetof(struct resnet_options, field)

static const struct option_row option_rows[] = {
    {.name = "stem",
     .type = OPTION_CHOICE,
     .offset = AT(stem),
     .preset = "cifar",
     .choices = "cifar|imagenet",
     .help = "the first layers of resnet18 .. resnet152: 3x3 with stride 1, or 7x7 with stride 2 "
             "and a max pool"},
    {.name = "zero-gamma",
     .type = OPTION_FLAG,
     .offset = AT(zero_gamma),
     .preset = "no",
     .help = "each residual block starts as the identity: gamma of its last norm is 0"},
    {.name = "norm",
     .type = OPTION_CHOICE,
     .offset = AT(norm),
     .preset = "batch",
     .choices = "batch|group",
     .help = "batch norm, or group norm, which sees each image by itself (Wu and He 2018)"},
    {.name = "groups",
     .type = OPTION_INT,
     .offset = AT(groups),
     .preset = "32",
     .placeholder = "N",
     .help = "groups of --norm group; layers of fewer than 2 N channels have groups of two",
     .least = 1},
    {0}};

static const struct option_set option_set = {
    .title = "Networks resnet18 .. resnet152, resnet20 .. resnet110",
    .owner = "--network resnet*",
    .rows = option_rows,
    .size = sizeof(struct resnet_options)};

static void variant(const void *own, char *text, size_t size)
{
    const struct resnet_options *o = own;
    snprintf(text, size, "%s%s", o->stem, by_group(o) ? "-group" : "");
}

const struct model_kind model_resnet = {
    .names = "resnet18|resnet34|resnet50|resnet101|resnet152|"
             "resnet20|resnet32|resnet44|resnet56|resnet110",
    .summary = "residual networks: 18 to 152 as torchvision has them, 20 to 110 for CIFAR",
    .paper = "He et al. 2016, arXiv:1512.03385",
    .options = &option_set,
    .variant = variant,
    .build = build,
};
