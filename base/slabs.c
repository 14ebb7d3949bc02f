#include "base/slabs.h"

#include "base/alloc.h"

enum { LINE = 64, FIRST = 32 << 10, LARGEST = 2 << 20 };

struct slab {
    struct slab *before;
    _Alignas(LINE) char data[];
};

static void grow(struct slabs *slabs, size_t bytes)
{
    size_t room = slabs->newest ? 2 * (slabs->room + sizeof(struct slab)) : FIRST;
    room = (room < LARGEST ? room : LARGEST) - sizeof(struct slab);
    slabs->room = room > bytes ? room : bytes;
    slabs->used = 0;
    struct slab *slab = xcalloc(1, sizeof *slab + slabs->room);
    slab->before = slabs->newest;
    slabs->newest = slab;
}

void *slabs_take(struct slabs *slabs, size_t bytes)
{
    bytes = (bytes + LINE - 1) / LINE * LINE;
    if (!slabs->newest || bytes > slabs->room - slabs->used)
        grow(slabs, bytes);
    slabs->used += bytes;
    return slabs->newest->data + slabs->used - bytes;
}

void slabs_close(struct slabs *slabs)
{
    for (struct slab *slab = slabs->newest, *before; slab; slab = before) {
        before = slab->before;
        xfree(slab);
    }
    *slabs = (struct slabs){0};
}
