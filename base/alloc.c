#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

enum { LINE = 64, PAGE = 4096, HUGE_PAGE = 2 << 20 };

static void *take(size_t count, size_t size, size_t align)
{
    CHECK(!size || count <= SIZE_MAX / 2 / size,
          "%zu x %zu bytes is more memory than can be addressed", count, size);
    size_t bytes = count * size;
    align = bytes >= HUGE_PAGE ? HUGE_PAGE : align;
    bytes = bytes ? (bytes + align - 1) / align * align : align;
    void *block = aligned_alloc(align, bytes);
    CHECK(block, "no memory for %zu bytes (%zu x %zu)", bytes, count, size);
    if (align == HUGE_PAGE)
        madvise(block, bytes, MADV_HUGEPAGE);
    memset(block, 0, bytes);
    return block;
}

void *xcalloc(size_t count, size_t size)
{
    return take(count, size, LINE);
}

void *alloc_pages(size_t bytes)
{
    return take(bytes, 1, PAGE);
}

void xfree(void *block)
{
    free(block);
}

void *allocator_take(const struct allocator *a, size_t count, size_t size)
{
    return a->alloc ? a->alloc(a->owner, count * size) : xcalloc(count, size);
}

void allocator_give_back(const struct allocator *a, void *block)
{
    if (!a->free)
        xfree(block);
    else if (block)
        a->free(a->owner, block);
}
