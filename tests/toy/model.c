/* A model for tests/toy_members.sh: one dense layer. */
#include "model/model.h"

static void build(struct model *m, const struct model_request *request)
{
    struct builder b = builder_start(m, request);
    unit_name(builder_dense(&b, request->classes, false), "fc");
}

const struct model_kind model_toymodel = {
    .names = "toymodel",
    .summary = "one dense layer",
    .paper = "none",
    .build = build,
};
