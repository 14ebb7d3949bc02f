/* oneDNN 3: a call for each operation, memory is described by handles. */
#include "backend/onednn/operation.h"

memory_description tensor_open(const struct tensor *t)
{
    dnnl_memory_desc_t m;
    dnnl_data_type_t type = t->bf16 ? dnnl_bf16 : dnnl_f32;
    if (t->any)
        DNNL(dnnl_memory_desc_create_with_tag(&m, t->axes, t->size, type, dnnl_format_tag_any));
    else
        DNNL(dnnl_memory_desc_create_with_strides(&m, t->axes, t->size, type, t->step));
    return m;
}

void tensor_close(memory_description m)
{
    DNNL(dnnl_memory_desc_destroy((dnnl_memory_desc_t)m));
}

static dnnl_status_t describe_convolution(dnnl_primitive_desc_t *d, const struct operation *o,
                                          dnnl_engine_t engine, const memory_description *md,
                                          dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr)
{
    memory_description x = md[OPERAND_X], w = md[OPERAND_W], y = md[OPERAND_Y];
    dnnl_alg_kind_t direct = dnnl_convolution_direct;
    const dnnl_dims_t dilation = {0};
    switch (o->direction) {
    case FORWARD:
        return dnnl_convolution_forward_primitive_desc_create(
            d, engine, dnnl_forward_training, direct, x, w, NULL, y, o->stride, dilation,
            o->pad_before, o->pad_after, attr);
    case BACKWARD_DATA:
        return dnnl_convolution_backward_data_primitive_desc_create(
            d, engine, direct, x, w, y, o->stride, dilation, o->pad_before, o->pad_after, hint,
            attr);
    default:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            d, engine, direct, x, w, NULL, y, o->stride, dilation, o->pad_before, o->pad_after,
            hint, attr);
    }
}

static dnnl_status_t describe_inner(dnnl_primitive_desc_t *d, const struct operation *o,
                                    dnnl_engine_t engine, const memory_description *md,
                                    dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr)
{
    memory_description x = md[OPERAND_X], w = md[OPERAND_W], y = md[OPERAND_Y];
    switch (o->direction) {
    case FORWARD:
        return dnnl_inner_product_forward_primitive_desc_create(d, engine, dnnl_forward_training, x,
                                                                w, NULL, y, attr);
    case BACKWARD_DATA:
        return dnnl_inner_product_backward_data_primitive_desc_create(d, engine, x, w, y, hint,
                                                                      attr);
    default:
        return dnnl_inner_product_backward_weights_primitive_desc_create(d, engine, x, w, NULL, y,
                                                                         hint, attr);
    }
}

dnnl_primitive_desc_t operation_describe(const struct operation *o, dnnl_engine_t engine,
                                         dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr)
{
    memory_description md[OPERANDS];
    dnnl_primitive_desc_t description = NULL;
    for (enum operand i = 0; i < OPERANDS; i++)
        md[i] = tensor_open(&o->tensor[i]);
    dnnl_status_t status = o->is_inner
                               ? describe_inner(&description, o, engine, md, hint, attr)
                               : describe_convolution(&description, o, engine, md, hint, attr);
    for (enum operand i = 0; i < OPERANDS; i++)
        tensor_close(md[i]);
    return status == dnnl_success ? description : NULL;
}
