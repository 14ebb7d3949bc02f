/* VGG as torchvision has it: 3x3 convolutions with bias and ReLU, a 2x2 max pool after each stage,
 * a mean pool to 7x7 whatever the image's size, two hidden dense layers of 4,096 units, dropout.
 *
 * vgg11 and vgg16 are the configurations A and D of Simonyan and Zisserman 2015; vgg16_bn has a
 * batch norm after each convolution, whose bias then does nothing: it is there because
 * torchvision's files have it. A last stage of one pixel (images of 32x32) is seen 49 times by the
 * classifier, as in torchvision. */
#include "model/model.h"

#include <string.h>

#include "base/check.h"

enum { STAGES = 5, POOLED = 7 };

static const struct row {
    const char *name;
    bool norm;
    int convolutions[STAGES];
} vggs[] = {
    {"vgg11", false, {1, 1, 2, 2, 2}},
    {"vgg16", false, {2, 2, 3, 3, 3}},
    {"vgg16_bn", true, {2, 2, 3, 3, 3}},
};

#define AT(field) offsetof(struct vgg_options, field)

static const struct option_row rows[] = {
    {.name = "hidden",
     .type = OPTION_TEXT,
     .offset = AT(hidden),
     .preset = "4096,4096",
     .placeholder = "N,..",
     .help = "sizes of the hidden dense layers; `none`: a linear classifier"},
    {.name = "dropout",
     .type = OPTION_REAL,
     .flags = OPTION_BELOW,
     .offset = AT(dropout),
     .preset = "0.5",
     .placeholder = "P",
     .help = "probability with which an output of a hidden dense layer is dropped",
     .most = 1},
    {0}};

static const struct option_set option_set = {.title = "Networks vgg11, vgg16, vgg16_bn",
                                             .owner = "--network vgg*",
                                             .rows = rows,
                                             .size = sizeof(struct vgg_options)};

static const struct row *find(const char *name)
{
    for (size_t i = 0; i < sizeof vggs / sizeof *vggs; i++)
        if (!strcmp(vggs[i].name, name))
            return &vggs[i];
    fatal("there is no network %s", name);
}

/* torchvision numbers all modules of `features`: a convolution, its norm, ReLU, a pool. */
static void features(struct builder *b, const struct row *row)
{
    static const int widths[STAGES] = {64, 128, 256, 512, 512};
    int module = 0;
    for (b->stage = 0; b->stage < STAGES; b->stage++, module++) {
        for (int i = 0; i < row->convolutions[b->stage]; i++) {
            struct unit_spec *u = builder_conv(b, widths[b->stage], 3, 1, 1);
            unit_name(u, "features.%d", module);
            u->shape.bias = u->shape.relu = true;
            if (row->norm)
                unit_norm(u, "features.%d", module + 1);
            module += row->norm ? 3 : 2;
        }
        builder_max_pool(b, 2, 2, 0);
    }
}

static void build(struct model *m, const struct model_request *request)
{
    static const struct vgg_options presets = {.hidden = "4096,4096", .dropout = 0.5};
    const struct vgg_options *o = request->own ? request->own : &presets;
    int sizes[BUILDER_SIZES], hidden = builder_sizes(o->hidden, sizes);
    struct builder b = builder_start(m, request);
    features(&b, find(request->name));
    if (b.h != POOLED || b.w != POOLED)
        builder_mean_pool(&b, POOLED, POOLED);
    for (int i = 0; i < hidden; i++) {
        struct unit_spec *u = builder_dense(&b, sizes[i], true);
        unit_name(u, "classifier.%d", 3 * i);
        u->shape.relu = true;
        if (o->dropout > 0)
            builder_dropout(&b, o->dropout, false);
    }
    unit_name(builder_dense(&b, request->classes, false), "classifier.%d", 3 * hidden);
}

static void variant(const void *own, char *text, size_t size)
{
    snprintf(text, size, "%s", ((const struct vgg_options *)own)->hidden);
}

const struct model_kind model_vgg = {
    .names = "vgg11|vgg16|vgg16_bn",
    .summary = "3x3 convolutions in five stages, as torchvision has them",
    .paper = "Simonyan and Zisserman 2015, arXiv:1409.1556",
    .options = &option_set,
    .variant = variant,
    .build = build,
};
