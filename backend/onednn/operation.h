/* What differs between oneDNN 2 and 3: how a tensor and an operation are described.
 *
 * operation_v2.c and operation_v3.c define the same functions; the Makefile compiles one, by the
 * dnnl.h that it finds. All other calls of the library (library.c) are the same in both. */
#ifndef BACKEND_ONEDNN_OPERATION_H
#define BACKEND_ONEDNN_OPERATION_H

#include <dnnl.h>
#include <dnnl_debug.h>

#include "backend/onednn/library.h"
#include "base/check.h"

#define DNNL(call)                                                                                 \
    do {                                                                                           \
        dnnl_status_t status_ = (call);                                                            \
        CHECK(status_ == dnnl_success, "%s: oneDNN says %s", #call, dnnl_status2str(status_));     \
    } while (0)

/* An operand: sizes and steps in memory, axes in the library's order [n][c][h][w] or
 * [rows][columns], whatever the steps. */
struct tensor {
    int axes;
    dnnl_dims_t size, step;
    bool bf16, any; /* any: in the layout that the kernel likes best; `step` is not used */
};

/* A convolution, or an inner product, in one direction. */
struct operation {
    enum direction direction;
    bool is_inner;
    struct tensor tensor[OPERANDS];
    dnnl_dims_t stride, pad_before, pad_after; /* a convolution's, along h and w */
};

/* A description of memory as the library's calls take it: a pointer to a struct in 2, a handle in
 * 3. */
typedef __typeof__(dnnl_primitive_desc_query_md(NULL, dnnl_query_src_md, 0)) memory_description;

/* Closed by tensor_close(). */
memory_description tensor_open(const struct tensor *t);
void tensor_close(memory_description m);

/* NULL when the library can't do it. A direction back needs the forward one as a hint. Closed by
 * dnnl_primitive_desc_destroy(). */
dnnl_primitive_desc_t operation_describe(const struct operation *o, dnnl_engine_t engine,
                                         dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr);

#endif
