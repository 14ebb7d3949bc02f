/* The two small networks of "OptML" (Junod, Lamour, Reategui 2023), which they offer beside LeNet-5
 * and ResNet-18.
 *
 * optml_mnist: two 3x3 convolutions without padding, a 2x2 max pool, dense 128; dropout of
 * elements, 0.25 and 0.5. It is PyTorch's MNIST example, but the second convolution has no ReLU.
 * 1,199,882 parameters on 28x28x1 with 10 classes.
 *
 * optml_cifar: two 3x3 convolutions with padding, each with ReLU and a 2x2 max pool, dense 512;
 * dropout of whole channels, 0.25 and 0.5 (of a vector each element is a channel). 2,122,186
 * parameters on 32x32x3 with 10 classes. */
#include "model/model.h"

#include <string.h>

static void convolve(struct builder *b, int out_c, int pad, bool relu, const char *name)
{
    struct unit_spec *u = builder_conv(b, out_c, 3, 1, pad);
    unit_name(u, "%s", name);
    u->shape.bias = true;
    u->shape.relu = relu;
}

static void dense(struct builder *b, int width, bool by_channel, int classes)
{
    builder_dropout(b, 0.25, by_channel);
    b->stage++;
    struct unit_spec *u = builder_dense(b, width, true);
    unit_name(u, "fc1");
    u->shape.relu = true;
    builder_dropout(b, 0.5, by_channel);
    unit_name(builder_dense(b, classes, false), "fc2");
}

static void build(struct model *m, const struct model_request *request)
{
    bool cifar = !strcmp(request->name, "optml_cifar");
    struct builder b = builder_start(m, request);
    convolve(&b, 32, cifar, true, "conv1");
    if (cifar)
        builder_max_pool(&b, 2, 2, 0);
    b.stage = 1;
    convolve(&b, 64, cifar, cifar, "conv2");
    builder_max_pool(&b, 2, 2, 0);
    dense(&b, cifar ? 512 : 128, cifar, request->classes);
}

const struct model_kind model_optml = {
    .names = "optml_mnist|optml_cifar",
    .summary = "two convolutions, two dense layers, dropout, as OptML has them",
    .paper = "Junod, Lamour, Reategui 2023",
    .build = build,
};
