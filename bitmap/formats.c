/* Which formats were built in. The one place that knows the optional libraries of images. */
#include "bitmap/format.h"

extern const struct bitmap_format bitmap_jpeg, bitmap_png;

const struct bitmap_format *const bitmap_format_list[] = {
#ifdef WITH_JPEG
    &bitmap_jpeg,
#endif
#ifdef WITH_PNG
    &bitmap_png,
#endif
    NULL,
};
