#include "tests/cuda/convolution.h"

const char *const direction_name[DIRECTIONS] = {"forward", "backward data", "backward weights"};

struct unit_shape conv_shape(int batch, int in_c, int side, int out_c, int kernel, int stride)
{
    int pad = kernel / 2, out = (side + 2 * pad - kernel) / stride + 1;
    return (struct unit_shape){.kind = UNIT_CONV,
                               .batch = batch,
                               .in_c = in_c,
                               .in_h = side,
                               .in_w = side,
                               .out_c = out_c,
                               .out_h = out,
                               .out_w = out,
                               .kernel = kernel,
                               .stride = stride,
                               .pad = pad};
}
