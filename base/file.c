/* The random part of the name is drawn by the kernel: two ranks never meet, and a name that is
 * taken all the same is drawn again. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_TRIES = 100 };

/* The file itself, after all links; `old` says whether there is one and of which mode. False and
 * errno when it must not be replaced. */
static bool find_target(const char *path, char target[PATH_MAX], bool *exists, mode_t *mode)
{
    struct stat s;
    *exists = !stat(path, &s);
    if (!*exists) {
        if (errno != ENOENT || !lstat(path, &s)) /* a link to nothing is not followed */
            return false;
        if (strlen(path) >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return false;
        }
        strcpy(target, path);
        return true;
    }
    *mode = s.st_mode & 07777;
    if (!S_ISREG(s.st_mode)) {
        errno = S_ISDIR(s.st_mode) ? EISDIR : EOPNOTSUPP;
        return false;
    }
    return realpath(path, target);
}

/* A new file beside the target; its name in part[]. */
static int open_beside(const char *target, mode_t mode, char *part, size_t size)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        uint64_t draw;
        if (getrandom(&draw, sizeof draw, 0) != sizeof draw)
            return -1;
        if (snprintf(part, size, "%s.%08llx.part", target,
                     (unsigned long long)(draw & 0xffffffff)) >= (int)size) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int file = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (file >= 0 || errno != EEXIST)
            return file;
    }
    return -1;
}

static bool fill(FILE *file, bool (*write)(FILE *, void *), void *self)
{
    errno = 0;
    if (!write(file, self) || ferror(file)) {
        errno = errno ? errno : EIO;
        return false;
    }
    return !fflush(file) && !fsync(fileno(file));
}

/* So that the new name is on the disk, too. Some file systems cannot do it, and need not. */
static void sync_folder(const char *target)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(target, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - target) + 1 : 1,
             slash ? target : ".");
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return;
    fsync(file);
    close(file);
}

bool file_write_whole(const char *path, bool (*write)(FILE *file, void *self), void *self)
{
    char target[PATH_MAX], part[PATH_MAX];
    bool exists;
    mode_t mode = 0666;
    if (!find_target(path, target, &exists, &mode))
        return false;
    int number = open_beside(target, exists ? 0600 : mode, part, sizeof part);
    if (number < 0)
        return false;
    FILE *file = fdopen(number, "wb");
    bool done = file && (!exists || !fchmod(number, mode)) && fill(file, write, self);
    int error = errno;
    if (file ? fclose(file) : close(number)) {
        error = done ? errno : error;
        done = false;
    }
    if (done && rename(part, target)) {
        error = errno;
        done = false;
    }
    if (done)
        sync_folder(target);
    else
        unlink(part);
    errno = error;
    return done;
}
