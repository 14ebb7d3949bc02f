/* The folders of checkpoints: a name of one form, whole when it has that name. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"
#include "checkpoint/private.h"

static const char prefix[] = "samples-";

void folder_name(char name[64], int64_t samples)
{
    snprintf(name, 64, "%s%0*" PRId64, prefix, NUMBER_DIGITS, samples);
}

int64_t folder_samples(const char *name)
{
    char again[64], *end;
    if (strncmp(name, prefix, sizeof prefix - 1))
        return -1;
    errno = 0;
    long long samples = strtoll(name + sizeof prefix - 1, &end, 10);
    if (errno || samples < 0)
        return -1;
    folder_name(again, samples);
    return strcmp(again, name) ? -1 : samples;
}

bool folder_make(const char *path)
{
    struct stat s;
    file_make_parents(path);
    if (mkdir(path, 0777) && errno != EEXIST)
        return false;
    if (stat(path, &s))
        return false;
    errno = ENOTDIR;
    return S_ISDIR(s.st_mode);
}

bool folder_sync(const char *path)
{
    int file = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool synced = !fsync(file) || errno == EINVAL || errno == ENOTSUP;
    int error = errno;
    close(file);
    errno = error;
    return synced;
}

bool folder_remove(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return false;
    for (struct dirent *e; (e = readdir(folder));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            unlinkat(dirfd(folder), e->d_name, 0);
    closedir(folder);
    return !rmdir(path);
}

/* ".3-0123456789abcdef.part", ".3-0123456789abcdef.part.old" */
static bool is_unfinished(const char *name)
{
    const char *end = strchr(name, 0);
    if (end - name > 4 && !strcmp(end - 4, ".old"))
        end -= 4;
    return *name == '.' && end - name > 5 && !strncmp(end - 5, ".part", 5);
}

static void remove_unfinished(const char *path)
{
    DIR *folder = opendir(path);
    for (struct dirent *e; folder && (e = readdir(folder));) {
        char part[PATH_MAX];
        if (is_unfinished(e->d_name) &&
            snprintf(part, sizeof part, "%s/%s", path, e->d_name) < (int)sizeof part)
            folder_remove(part);
    }
    if (folder)
        closedir(folder);
}

/* The lock is the open folder's, and stays open. */
bool checkpoint_folder_own(const char *path)
{
    int folder = folder_make(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (folder < 0)
        return true; /* what cannot be written is said when it is written */
    if (!flock(folder, LOCK_EX | LOCK_NB)) {
        remove_unfinished(path);
        return true;
    }
    bool used = errno == EWOULDBLOCK;
    close(folder);
    return !used;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t *folder_list(const char *path, int *count)
{
    int64_t *list = NULL;
    int room = 0;
    DIR *folder = opendir(path);
    *count = 0;
    for (struct dirent *e; folder && (e = readdir(folder));) {
        int64_t samples = folder_samples(e->d_name);
        if (samples < 0)
            continue;
        if (*count == room) {
            room = room ? 2 * room : 16;
            int64_t *longer = realloc(list, (size_t)room * sizeof *list);
            CHECK(longer, "no memory for a list of %d checkpoints", room);
            list = longer;
        }
        list[(*count)++] = samples;
    }
    if (folder)
        closedir(folder);
    if (*count)
        qsort(list, (size_t)*count, sizeof *list, ascending);
    return list;
}

bool file_map(struct mapped *m, const char *path, char *why, size_t why_size)
{
    struct stat s;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *m = (struct mapped){.size = 0};
    if (file < 0 || fstat(file, &s)) {
        snprintf(why, why_size, "%s", strerror(errno));
        if (file >= 0)
            close(file);
        return false;
    }
    bool plain = S_ISREG(s.st_mode);
    if (!plain)
        snprintf(why, why_size, "it is no file");
    m->size = plain ? (size_t)s.st_size : 0;
    m->bytes = m->size ? mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, file, 0) : (const uint8_t *)"";
    close(file);
    if (m->bytes == MAP_FAILED) {
        snprintf(why, why_size, "it cannot be mapped: %s", strerror(errno));
        m->size = 0;
        return false;
    }
    return plain;
}

void file_unmap(struct mapped *m)
{
    if (m->size)
        munmap((void *)m->bytes, m->size);
    m->size = 0;
}
