/* oneDNN 2 (2.6 and newer): a struct is filled for each operation. */
#include "backend/onednn/operation.h"

#include "base/alloc.h"

memory_description tensor_open(const struct tensor *t)
{
    dnnl_memory_desc_t *m = xcalloc(1, sizeof *m);
    dnnl_data_type_t type = t->bf16 ? dnnl_bf16 : dnnl_f32;
    if (t->any)
        DNNL(dnnl_memory_desc_init_by_tag(m, t->axes, t->size, type, dnnl_format_tag_any));
    else
        DNNL(dnnl_memory_desc_init_by_strides(m, t->axes, t->size, type, t->step));
    return m;
}

void tensor_close(memory_description m)
{
    xfree((dnnl_memory_desc_t *)m);
}

static void fill_convolution(dnnl_convolution_desc_t *c, const struct operation *o,
                             memory_description x, memory_description w, memory_description y)
{
    dnnl_alg_kind_t direct = dnnl_convolution_direct;
    switch (o->direction) {
    case FORWARD:
        DNNL(dnnl_convolution_forward_desc_init(c, dnnl_forward_training, direct, x, w, NULL, y,
                                                o->stride, o->pad_before, o->pad_after));
        break;
    case BACKWARD_DATA:
        DNNL(dnnl_convolution_backward_data_desc_init(c, direct, x, w, y, o->stride, o->pad_before,
                                                      o->pad_after));
        break;
    default:
        DNNL(dnnl_convolution_backward_weights_desc_init(c, direct, x, w, NULL, y, o->stride,
                                                         o->pad_before, o->pad_after));
    }
}

static void fill_inner(dnnl_inner_product_desc_t *i, const struct operation *o,
                       memory_description x, memory_description w, memory_description y)
{
    switch (o->direction) {
    case FORWARD:
        DNNL(dnnl_inner_product_forward_desc_init(i, dnnl_forward_training, x, w, NULL, y));
        break;
    case BACKWARD_DATA:
        DNNL(dnnl_inner_product_backward_data_desc_init(i, x, w, y));
        break;
    default:
        DNNL(dnnl_inner_product_backward_weights_desc_init(i, x, w, NULL, y));
    }
}

dnnl_primitive_desc_t operation_describe(const struct operation *o, dnnl_engine_t engine,
                                         dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr)
{
    memory_description x = tensor_open(&o->tensor[OPERAND_X]),
                       w = tensor_open(&o->tensor[OPERAND_W]),
                       y = tensor_open(&o->tensor[OPERAND_Y]);
    dnnl_convolution_desc_t convolution;
    dnnl_inner_product_desc_t inner;
    dnnl_primitive_desc_t description = NULL;
    if (o->is_inner)
        fill_inner(&inner, o, x, w, y);
    else
        fill_convolution(&convolution, o, x, w, y);
    dnnl_status_t status = dnnl_primitive_desc_create(
        &description, o->is_inner ? (const void *)&inner : (const void *)&convolution, attr, engine,
        hint);
    tensor_close(x);
    tensor_close(w);
    tensor_close(y);
    return status == dnnl_success ? description : NULL;
}
