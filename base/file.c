/* The random part of the name is drawn by the kernel: two ranks never meet, and a name that is
 * taken all the same is drawn again. */
#define _GNU_SOURCE /* renameat2 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_TRIES = 100, TEXT_PATIENCE_S = 60 };

struct target { /* the file itself, after all links */
    char path[PATH_MAX];
    bool exists;
    struct stat old;
};

/* False and errno when it must not be replaced. */
static bool find_target(const char *path, struct target *t)
{
    struct stat link;
    t->exists = !stat(path, &t->old);
    if (!t->exists) {
        if (errno != ENOENT || !lstat(path, &link)) /* a link to nothing is not followed */
            return false;
        if (strlen(path) >= sizeof t->path) {
            errno = ENAMETOOLONG;
            return false;
        }
        strcpy(t->path, path);
        return true;
    }
    if (!S_ISREG(t->old.st_mode)) {
        errno = S_ISDIR(t->old.st_mode) ? EISDIR : EOPNOTSUPP;
        return false;
    }
    return realpath(path, t->path);
}

/* A new file beside the target; its name in part[]. A long name is cut, so that there is room. */
static int open_beside(const char *target, mode_t mode, char *part, size_t size)
{
    const char *slash = strrchr(target, '/'), *name = slash ? slash + 1 : target;
    for (int i = 0; i < NAME_TRIES; i++) {
        uint64_t draw;
        if (getrandom(&draw, sizeof draw, 0) != sizeof draw)
            return -1;
        if (snprintf(part, size, "%.*s%.200s.%08llx.part", (int)(name - target), target, name,
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

/* The owner, else the group alone. Permissions come last, since a change of owner cuts them. */
static bool keep_owner(int file, const struct stat *old)
{
    bool owned = !fchown(file, old->st_uid, old->st_gid);
    bool grouped = owned || !fchown(file, (uid_t)-1, old->st_gid);
    return !fchmod(file, old->st_mode & (owned ? 07777 : grouped ? 0777 : 0707));
}

static bool fill(FILE *file, struct file_place place, bool (*write)(FILE *, void *), void *self)
{
    errno = 0;
    if (!write(file, self) || ferror(file)) {
        errno = errno ? errno : EIO;
        return false;
    }
    return !fflush(file) && disk_wrote(place.disk, place.files, fileno(file), 0) &&
           !fsync(fileno(file));
}

/* A file system that can neither rename to a new name only, nor link: there only a race is lost. */
static bool give_name(const char *part, const char *target, bool fresh)
{
    if (!fresh)
        return !rename(part, target);
    if (!renameat2(AT_FDCWD, part, AT_FDCWD, target, RENAME_NOREPLACE))
        return true;
    if (errno != EINVAL && errno != ENOSYS)
        return false;
    if (!link(part, target))
        return !unlink(part);
    return errno != EEXIST && !rename(part, target);
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

bool file_write_on(struct file_place place, const char *path, bool fresh,
                   bool (*write)(FILE *file, void *self), void *self)
{
    struct target t;
    char part[PATH_MAX];
    if (!find_target(path, &t))
        return false;
    int number = open_beside(t.path, t.exists ? 0600 : 0666, part, sizeof part);
    if (number < 0)
        return false;
    FILE *file = fdopen(number, "wb");
    bool done = file && (!t.exists || keep_owner(number, &t.old)) && fill(file, place, write, self);
    int error = errno;
    if (file ? fclose(file) : close(number)) {
        error = done ? errno : error;
        done = false;
    }
    if (done && !give_name(part, t.path, fresh)) {
        error = errno;
        done = false;
    }
    if (done)
        sync_folder(t.path);
    else
        unlink(part);
    errno = error;
    return done;
}

bool file_write_whole(const char *path, bool (*write)(FILE *file, void *self), void *self)
{
    return file_write_on((struct file_place){0}, path, false, write, self);
}

bool file_write_new(const char *path, bool (*write)(FILE *file, void *self), void *self)
{
    return file_write_on((struct file_place){0}, path, true, write, self);
}

bool file_try(const char *path)
{
    struct target t;
    char part[PATH_MAX];
    if (!find_target(path, &t))
        return false;
    int file = open_beside(t.path, 0600, part, sizeof part);
    if (file < 0)
        return false;
    close(file);
    return !unlink(part);
}

/* A FIFO that nobody reads is an error (ENXIO), not a wait. */
static int open_to_begin(const char *path, bool overwrite)
{
    struct stat s;
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    if (file < 0)
        return -1;
    bool locked = !flock(file, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK;
    if (locked && !fstat(file, &s) &&
        (!S_ISREG(s.st_mode) || !s.st_size || (overwrite && !ftruncate(file, 0))))
        return file;
    int error = locked ? EEXIST : EBUSY;
    close(file);
    errno = error;
    return -1;
}

FILE *file_open(const char *path)
{
    int number = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    FILE *file = number < 0 ? NULL : fdopen(number, "rb");
    if (number >= 0 && !file)
        close(number);
    return file;
}

/* Until the first one comes a pipe looks as if it had ended. */
static bool await_byte(int pipe)
{
    struct pollfd p = {.fd = pipe, .events = POLLIN};
    int events = poll(&p, 1, 1000 * TEXT_PATIENCE_S);
    if (events == 0)
        errno = ETIMEDOUT;
    return events > 0;
}

FILE *file_open_text(const char *path)
{
    struct stat s;
    FILE *file = file_open(path);
    if (!file)
        return NULL;
    int number = fileno(file);
    if ((!fstat(number, &s) && S_ISFIFO(s.st_mode) && !await_byte(number)) ||
        fcntl(number, F_SETFL, 0)) {
        int error = errno;
        fclose(file);
        errno = error;
        return NULL;
    }
    return file;
}

const char *file_why(int error)
{
    if (error == ETIMEDOUT)
        return "nothing came for a minute: a pipe that nobody writes into?";
    return strerror(error);
}

FILE *file_begin(const char *path, bool overwrite)
{
    int number = open_to_begin(path, overwrite);
    FILE *file = number < 0 ? NULL : fdopen(number, "wb");
    if (number >= 0 && !file)
        close(number);
    return file;
}

void file_make_parents(const char *path)
{
    char part[PATH_MAX];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return;
    for (char *c = part + 1; *c; c++)
        if (*c == '/') {
            *c = 0;
            mkdir(part, 0777);
            *c = '/';
        }
}
