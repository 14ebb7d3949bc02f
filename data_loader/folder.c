#include "data_loader/folder.h"

#include <stdio.h>
#include <unistd.h>

#include "base/check.h"

bool folder_join(char path[FOLDER_PATH], const char *folder, const char *inner, const char *file)
{
    int length = snprintf(path, FOLDER_PATH, "%s%s%s%s%s", folder, *inner ? "/" : "", inner,
                          *file ? "/" : "", file);
    return length < FOLDER_PATH;
}

int folder_count(const char *folder, const char *inner, const char *const *files)
{
    char path[FOLDER_PATH];
    int count = 0;
    for (; *files; files++)
        count += folder_join(path, folder, inner, *files) && !access(path, F_OK);
    return count;
}

const char *folder_inner(const char *folder, const char *const *names, const char *const *files)
{
    const char *best = "";
    int most = folder_count(folder, "", files);
    for (; *names; names++) {
        int count = folder_count(folder, *names, files);
        if (count > most) {
            most = count;
            best = *names;
        }
    }
    return best;
}

void folder_path(char path[FOLDER_PATH], const char *folder, const char *inner, const char *file)
{
    if (!folder_join(path, folder, inner, file))
        fatal("--data: a path of at most %d characters expected, more found", FOLDER_PATH - 1);
}
