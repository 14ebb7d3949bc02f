/* cudnn's own options. They are known to programs without CUDA, too, so that a file of options of
 * one program serves the other. */
#include <string.h>

#include "backend/backend.h"
#include "base/options.h"

static const struct option_row rows[] = {
    {.name = "tf32",
     .type = OPTION_FLAG,
     .flags = OPTION_FREE,
     .offset = offsetof(struct cudnn_options, tf32),
     .preset = "no",
     .help = "multiply float32 as TF32 (10 bits of mantissa) on tensor cores: faster, less exact"},
    {.name = "data-on-device",
     .type = OPTION_FLAG,
     .flags = OPTION_FREE | OPTION_OWN,
     .offset = offsetof(struct cudnn_options, data_on_device),
     .preset = "yes",
     .help = "the data set stays in the GPU's memory where it fits, and is augmented there",
     .old = "resident"},
    {0}};

const struct option_set cudnn_option_set = {.title = "Backend cudnn",
                                            .owner = "--backend cudnn",
                                            .rows = rows,
                                            .size = sizeof(struct cudnn_options)};

const struct option_set *backend_option_set(const char *name)
{
    return strcmp(name, "auto") && strcmp(name, "cudnn") ? NULL : &cudnn_option_set;
}
