/* The network of DiNNO's experiment on MNIST (Yu, Vincent, Schwager 2022): three filters of 5x5,
 * ReLU, a 2x2 max pool, dense 64, ReLU, dense; 28,440 parameters on 28x28x1 with 10 classes. Theirs
 * ends with a log-softmax and computes in double; here the loss has the softmax, and float32. */
#include "model/model.h"

static void build(struct model *m, const struct model_request *request)
{
    struct builder b = builder_start(m, request);
    struct unit_spec *u = builder_conv(&b, 3, 5, 1, 0);
    unit_name(u, "seq.0");
    u->shape.bias = u->shape.relu = true;
    builder_max_pool(&b, 2, 2, 0);
    b.stage = 1;
    u = builder_dense(&b, 64, true);
    unit_name(u, "seq.4");
    u->shape.relu = true;
    unit_name(builder_dense(&b, request->classes, false), "seq.6");
}

const struct model_kind model_dinno = {
    .names = "dinno",
    .summary = "DiNNO's for MNIST: three filters of 5x5, dense 64",
    .paper = "Yu et al. 2022, arXiv:2109.08665",
    .build = build,
};
