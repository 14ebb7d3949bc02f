/* Dense layers with ReLU over the image as a vector. The preset is the "2NN" of McMahan et al.
 * 2017: two hidden layers of 200 units; 199,210 parameters on 28x28x1 with 10 classes. */
#include "model/model.h"

#define AT(field) offsetof(struct mlp_options, field)

static const struct option_row rows[] = {
    {.name = "hidden",
     .type = OPTION_TEXT,
     .offset = AT(hidden),
     .preset = "200,200",
     .placeholder = "N,..",
     .help = "sizes of the hidden layers; `none`: a linear classifier"},
    {0}};

static const struct option_set option_set = {.title = "Network mlp",
                                             .owner = "--network mlp",
                                             .rows = rows,
                                             .size = sizeof(struct mlp_options)};

static void build(struct model *m, const struct model_request *request)
{
    static const struct mlp_options presets = {.hidden = "200,200"};
    const struct mlp_options *o = request->own ? request->own : &presets;
    struct builder b = builder_start(m, request);
    int sizes[BUILDER_SIZES], hidden = builder_sizes(o->hidden, sizes);
    for (int i = 0; i < hidden; i++) {
        struct unit_spec *u = builder_dense(&b, sizes[i], true);
        unit_name(u, "fc%d", i + 1);
        u->shape.relu = true;
        b.stage = 1;
    }
    unit_name(builder_dense(&b, request->classes, false), "fc%d", hidden + 1);
}

static void variant(const void *own, char *text, size_t size)
{
    snprintf(text, size, "%s", ((const struct mlp_options *)own)->hidden);
}

const struct model_kind model_mlp = {
    .names = "mlp",
    .summary = "dense layers with ReLU",
    .paper = "McMahan et al. 2017, arXiv:1602.05629",
    .options = &option_set,
    .variant = variant,
    .build = build,
};
