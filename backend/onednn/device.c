/* The scratch block is given anew, without what was in it. */
#include "backend/onednn/device.h"

#include "base/alloc.h"

void device_reserve(struct device *d, size_t bytes)
{
    if (bytes <= d->scratch_bytes)
        return;
    xfree(d->scratch);
    d->scratch = xcalloc(bytes, 1);
    d->scratch_bytes = bytes;
}
