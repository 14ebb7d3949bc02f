/* ResNets as data: a row says how many blocks each stage has, the rest follows.
 *
 * A block reads tensor x and writes relu(f(x) + shortcut(x)). Basic: f is two 3x3 convolutions;
 * bottleneck: 1x1 down to a quarter, 3x3 (which has the stride), 1x1 up. The shortcut is x itself,
 * or where shapes differ a 1x1 convolution with norm (option B), or for the small nets every second
 * pixel and zeros (option A). In the list the shortcut comes before the unit that adds it; in the
 * flat vector its parameters come after those, as PyTorch has it. */
#include "resnet/resnet.h"

#include <assert.h>
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

/* A convolution with padding that keeps the size, a norm, and ReLU. */
static struct unit_spec *convolve(struct builder *b, int out_c, int kernel, int stride)
{
    struct unit_spec *u = builder_conv(b, out_c, kernel, stride, kernel / 2);
    u->shape.relu = true;
    return u;
}

/* x seen through the shortcut, where its shape is not that of the block's output; returns the unit
 * to add. */
static int shortcut(struct builder *b, bool small, int index, int out_c, int stride)
{
    struct unit_spec *u;
    if (small) {
        u = builder_shortcut(b, out_c, stride);
    } else {
        u = convolve(b, out_c, 1, stride);
        unit_name(u, "layer%d.%d.downsample.0", b->stage, index);
        unit_norm(u, "layer%d.%d.downsample.1", b->stage, index);
        u->shape.relu = false;
    }
    u->parameter_index++; /* its parameters come after those of the unit that adds it */
    return b->last;
}

static void block(struct builder *b, const struct row *row, int index, int width, int stride,
                  bool zero_gamma)
{
    const struct builder x = *b;
    int out_c = row->bottleneck ? 4 * width : width, convolutions = row->bottleneck ? 3 : 2;
    for (int k = 1; k < convolutions; k++) {
        bool spatial = !row->bottleneck || k == 2;
        struct unit_spec *u = convolve(b, width, spatial ? 3 : 1, spatial ? stride : 1);
        unit_name(u, "layer%d.%d.conv%d", b->stage, index, k);
        unit_norm(u, "layer%d.%d.bn%d", b->stage, index, k);
    }
    const struct builder body = *b;
    bool same = stride == 1 && x.c == out_c;
    *b = x;
    int skip = same ? x.last : shortcut(b, row->small, index, out_c, stride);
    *b = body;
    struct unit_spec *u = convolve(b, out_c, row->bottleneck ? 1 : 3, 1);
    unit_name(u, "layer%d.%d.conv%d", b->stage, index, convolutions);
    unit_norm(u, "layer%d.%d.bn%d", b->stage, index, convolutions);
    u->skip = skip;
    u->shape.skip = true;
    u->zero_gamma = zero_gamma;
    u->parameter_index -= !same;
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
    struct unit_spec *stem = convolve(&b, width, large ? 7 : 3, large ? 2 : 1);
    unit_name(stem, "conv1");
    unit_norm(stem, "bn1");
    if (large)
        builder_max_pool(&b, 3, 2, 1);
    for (int s = 0; s < stages; s++) {
        b.stage = s + 1;
        for (int i = 0; i < row->blocks[s]; i++)
            block(&b, row, i, width << s, s > 0 && i == 0 ? 2 : 1, o->zero_gamma);
    }
    b.stage = stages + 1;
    builder_mean_pool(&b);
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
     .help = "each residual block starts as the identity: gamma of its last batch norm is 0"},
    {0}};

static const struct option_set option_set = {
    .title = "Networks resnet18 .. resnet152, resnet20 .. resnet110",
    .owner = "--network resnet*",
    .rows = option_rows,
    .size = sizeof(struct resnet_options)};

static const char *variant(const void *own)
{
    return ((const struct resnet_options *)own)->stem;
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
