/* LeNet-5 in today's form: two convolutions with bias, ReLU and 2x2 max pools, three dense layers.
 *
 * LeCun et al. 1998 take 32x32 images, of which MNIST's 28x28 are padded; here smaller images get a
 * padding of 2 in the first convolution. 61,706 parameters on 28x28x1 with 10 classes. Dropout
 * before each dense layer is an addition, as in Srivastava et al. 2014. */
#include "model/model.h"

#include "base/check.h"

#define AT(field) offsetof(struct lenet5_options, field)

static const struct option_row rows[] = {
    {.name = "dropout",
     .type = OPTION_REAL,
     .flags = OPTION_BELOW,
     .offset = AT(dropout),
     .preset = "0",
     .placeholder = "P",
     .help = "probability with which an input of a dense layer is dropped",
     .most = 1},
    {0}};

static const struct option_set option_set = {.title = "Network lenet5",
                                             .owner = "--network lenet5",
                                             .rows = rows,
                                             .size = sizeof(struct lenet5_options)};

static void convolve(struct builder *b, int out_c, int pad, const char *name)
{
    struct unit_spec *u = builder_conv(b, out_c, 5, 1, pad);
    unit_name(u, "%s", name);
    u->shape.bias = u->shape.relu = true;
    builder_max_pool(b, 2, 2, 0);
}

static void build(struct model *m, const struct model_request *request)
{
    static const struct lenet5_options presets = {.dropout = 0};
    const struct lenet5_options *o = request->own ? request->own : &presets;
    const int hidden[] = {120, 84};
    if (!(o->dropout >= 0 && o->dropout < 1))
        fatal("--dropout: %g is no probability below 1", o->dropout);
    struct builder b = builder_start(m, request);
    bool small = b.h < 32 || b.w < 32;
    convolve(&b, 6, small ? 2 : 0, "conv1");
    b.stage = 1;
    convolve(&b, 16, 0, "conv2");
    b.stage = 2;
    for (int i = 0; i < 3; i++) {
        if (o->dropout > 0)
            builder_dropout(&b, o->dropout, false);
        struct unit_spec *u = builder_dense(&b, i < 2 ? hidden[i] : request->classes, i < 2);
        unit_name(u, "fc%d", i + 1);
        u->shape.relu = i < 2;
    }
}

const struct model_kind model_lenet5 = {
    .names = "lenet5",
    .summary = "LeNet-5 with ReLU and max pools",
    .paper = "LeCun et al. 1998",
    .options = &option_set,
    .build = build,
};
