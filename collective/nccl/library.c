/* The library is never unloaded: what it keeps goes with the process. */
#include "collective/nccl/library.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>

static bool find(void *library, const char *name, void *call)
{
    *(void **)call = dlsym(library, name);
    return *(void **)call;
}

bool nccl_load(struct nccl_calls *calls, char *why, size_t size)
{
    static const char file[] = "libnccl.so.2";
    void *library = dlopen(file, RTLD_LAZY | RTLD_LOCAL);
    if (!library) {
        const char *words = dlerror();
        snprintf(why, size, "%s", words ? words : file);
        return false;
    }
#define FIND(name)                                                                                 \
    if (!find(library, #name, &calls->name)) {                                                     \
        snprintf(why, size, "%s has no %s: it is too old", file, #name);                           \
        return false;                                                                              \
    }
    NCCL_CALLS(FIND)
#undef FIND
    return true;
}
