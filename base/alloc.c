#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

enum { LINE = 64, HUGE_PAGE = 2 << 20 };

void *obtain(size_t count, size_t size)
{
    CHECK(!size || count <= SIZE_MAX / 2 / size, "%zu x %zu bytes is more memory than can be addressed", count, size);
    size_t bytes = count * size, align = bytes >= HUGE_PAGE ? HUGE_PAGE : LINE;
    bytes = bytes ? (bytes + align - 1) / align * align : align;
    void *block = aligned_alloc(align, bytes);
    CHECK(block, "no memory for %zu bytes (%zu x %zu)", bytes, count, size);
    if (align == HUGE_PAGE)
        madvise(block, bytes, MADV_HUGEPAGE);
    memset(block, 0, bytes);
    return block;
}

void release(void *block)
{
    free(block);
}
