#include "base/paths.h"

#include <limits.h>
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

/* Of both the bytes of the folders that they have in common, the last slash included. */
static size_t common_folders(const char *a, const char *b)
{
    size_t common = 0, i = 0;
    for (; a[i] && a[i] == b[i]; i++)
        if (a[i] == '/')
            common = i + 1;
    bool whole = (!a[i] || a[i] == '/') && (!b[i] || b[i] == '/');
    return whole && i > common ? i : common;
}

bool path_between(char *path, size_t size, const char *from, const char *to)
{
    char a[PATH_MAX], b[PATH_MAX];
    if (!realpath(from, a) || !realpath(to, b))
        return false;
    size_t common = common_folders(a, b), used = 0;
    const char *up = a + common, *down = b + common;
    up += *up == '/';
    down += *down == '/';
    for (const char *c = up; *c && used < size; c = *c ? c + 1 : c) {
        used += (size_t)snprintf(path + used, size - used, "%s..", used ? "/" : "");
        c = strchr(c, '/');
        if (!c)
            break;
    }
    if (used < size && (*down || !used))
        used +=
            (size_t)snprintf(path + used, size - used, "%s%s", used ? "/" : "", *down ? down : ".");
    return used < size;
}
