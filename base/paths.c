#include "base/paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef DATADIR
#define DATADIR "/usr/local/share/nbsgd"
#endif

/* The folder of the running program, links resolved; "" where the system does not say. */
static void executable_folder(char *folder, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", folder, size - 1);
    folder[length > 0 ? length : 0] = 0;
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = 0;
}

static bool is_readable_at(char *path, size_t size, const char *folder, const char *below,
                           const char *name)
{
    int length = snprintf(path, size, "%s%s/%s", folder, below, name);
    return length > 0 && (size_t)length < size && !access(path, R_OK);
}

bool data_path(char *path, size_t size, const char *name)
{
    const char *chosen = getenv("NBSGD_DATADIR");
    if (chosen)
        return is_readable_at(path, size, chosen, "", name);
    char folder[4096];
    executable_folder(folder, sizeof folder);
    return (*folder && (is_readable_at(path, size, folder, "/../share/nbsgd", name) ||
                        is_readable_at(path, size, folder, "/../..", name))) ||
           is_readable_at(path, size, DATADIR, "", name);
}
