/* A copy gets its name when it is whole and checked: shards by their own digests, others by one of
 * the source. So what has a name and the source's length is good. */
#include "data_loader/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/digest.h"
#include "base/wall_clock.h"
#include "data_loader/bundle.h"

enum { PATH = 4096, PIECE = 1 << 20 };

static const double say_every_s = 5, still_s = 300; /* so long nothing may grow */

struct preload {
    char folder[PATH], lock_path[PATH];
    int lock; /* held shared while the copies are used */
    char (*path)[PATH];
    int count;
};

/* What is copied in a call of preload_open(). */
struct copying {
    int64_t all, done;
    double said_s;
};

static _Noreturn void refuse(const char *what, const char *path)
{
    fatal("--preload: %s: %s: %s", path, what, strerror(errno));
}

/* A half of a data set has a folder of its own: each is used, and left, by itself. */
static void find_folder(struct preload *p, const char *where, const char *first)
{
    char real[PATH], hash[DIGEST_TEXT];
    if (!strcmp(where, "yes")) {
        const char *slurm = getenv("SLURM_TMPDIR"), *tmp = getenv("TMPDIR");
        where = slurm && *slurm ? slurm : tmp;
        if (!where || !*where)
            fatal("--preload yes: neither $SLURM_TMPDIR nor $TMPDIR names a folder; name one: "
                  "--preload DIR");
    }
    if (!realpath(first, real))
        refuse("it cannot be found", first);
    digest_text(digest_of(real, strlen(real)), hash);
    if (snprintf(p->folder, PATH, "%.3000s/nbsgd-%u-%s", where, (unsigned)getuid(), hash) >= PATH)
        fatal("--preload: a path of more than %d characters", PATH - 1);
    if (mkdir(p->folder, 0700) && errno != EEXIST)
        refuse("it cannot be made", p->folder);
    snprintf(p->lock_path, PATH, "%.4000s/lock", p->folder);
}

/* Bytes of what is there of the copies, whole or not. */
static int64_t bytes_there(const struct preload *p)
{
    int64_t sum = 0;
    for (int i = 0; i < p->count; i++) {
        char part[PATH + 8];
        struct stat s;
        snprintf(part, sizeof part, "%s.part", p->path[i]);
        if (!stat(p->path[i], &s) || !stat(part, &s))
            sum += s.st_size;
    }
    return sum;
}

/* Is the lock still that of the folder? Who left last has removed it. */
static bool lock_is_there(const struct preload *p)
{
    struct stat held, there;
    return !fstat(p->lock, &held) && !stat(p->lock_path, &there) && held.st_ino == there.st_ino &&
           held.st_dev == there.st_dev;
}

static bool try_lock(struct preload *p)
{
    if (mkdir(p->folder, 0700) && errno != EEXIST)
        refuse("it cannot be made", p->folder);
    p->lock = open(p->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (p->lock < 0 && errno == ENOENT) /* removed in between */
        return false;
    if (p->lock < 0)
        refuse("it cannot be locked", p->lock_path);
    if (!flock(p->lock, LOCK_EX | LOCK_NB) && lock_is_there(p))
        return true;
    if (errno != EWOULDBLOCK && errno != EINTR && lock_is_there(p))
        refuse("it cannot be locked", p->lock_path);
    close(p->lock);
    return false;
}

/* All copies are there and may be used: then a shared lock is enough. */
static bool all_are_there(const struct preload *p, char *const *paths)
{
    for (int i = 0; i < p->count; i++) {
        struct stat source, copy;
        if (stat(paths[i], &source))
            refuse("it cannot be read", paths[i]);
        if (stat(p->path[i], &copy) || copy.st_size != source.st_size ||
            copy.st_mtime < source.st_mtime)
            return false;
    }
    return true;
}

static bool try_share(struct preload *p, char *const *paths)
{
    if (!all_are_there(p, paths))
        return false;
    p->lock = open(p->lock_path, O_RDWR | O_CLOEXEC);
    if (p->lock < 0)
        return false;
    if (!flock(p->lock, LOCK_SH | LOCK_NB) && lock_is_there(p) && all_are_there(p, paths))
        return true;
    close(p->lock);
    return false;
}

/* true: this process copies; false: another one has. */
static bool take_lock(struct preload *p, char *const *paths)
{
    double grew_s = wall_s();
    int64_t there = bytes_there(p);
    for (;;) {
        if (try_share(p, paths))
            return false;
        if (try_lock(p))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        int64_t now = bytes_there(p);
        if (now != there) {
            there = now;
            grew_s = wall_s();
        }
        if (wall_s() - grew_s > still_s)
            fatal("--preload: %s: another process of this host holds its lock, and has copied "
                  "nothing for %.0f s: end it, or name another folder",
                  p->folder, still_s);
    }
}

static void say(struct copying *c, const char *folder, bool last)
{
    double now = wall_s();
    if (now < c->said_s + say_every_s && !last)
        return;
    c->said_s = now;
    fprintf(stderr, "nbsgd: preload: %.2f of %.2f GB in %s\n", 1e-9 * (double)c->done,
            1e-9 * (double)c->all, folder);
}

static uint64_t digest_of_file(int file, const char *path)
{
    struct digest *d = digest_open();
    char *piece = xcalloc(PIECE, 1);
    ssize_t got;
    for (int64_t at = 0; (got = pread(file, piece, PIECE, at)) > 0; at += got)
        digest_add(d, piece, (size_t)got);
    if (got < 0)
        refuse("it cannot be read", path);
    uint64_t value = digest_value(d);
    digest_close(d);
    xfree(piece);
    return value;
}

/* Goes on with the copy where it ends. */
static void copy_rest(int from, int to, int64_t at, int64_t bytes, const char *part,
                      const struct preload *p, struct copying *c)
{
    char *piece = xcalloc(PIECE, 1);
    while (at < bytes) {
        ssize_t got = pread(from, piece, PIECE, at);
        if (got <= 0)
            refuse("its source cannot be read", part);
        for (ssize_t done = 0; done < got;) {
            ssize_t put = pwrite(to, piece + done, (size_t)(got - done), at + done);
            if (put < 0 && errno != EINTR)
                refuse("it cannot be written", part);
            done += put > 0 ? put : 0;
        }
        at += got;
        c->done += got;
        say(c, p->folder, false);
    }
    xfree(piece);
}

/* false: the copy differs from the source, and is gone. */
static bool copy(const struct preload *p, const char *path, const char *to_path, struct copying *c)
{
    char part[PATH + 8], why[BUNDLE_WHY] = "";
    struct stat source, there;
    snprintf(part, sizeof part, "%s.part", to_path);
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK),
        to = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (from < 0 || fstat(from, &source))
        refuse("it cannot be read", path);
    if (to < 0 || fstat(to, &there))
        refuse("it cannot be written", part);
    bool resumed = there.st_size > 0 && there.st_size <= source.st_size;
    if (!resumed && ftruncate(to, 0))
        refuse("it cannot be written", part);
    int64_t at = resumed ? there.st_size : 0;
    c->done += at;
    copy_rest(from, to, at, source.st_size, part, p, c);
    bool good = bundle_is_shard(path) ? shard_check(part, why)
                                      : digest_of_file(from, path) == digest_of_file(to, part);
    close(from);
    good = good && !fsync(to) && !rename(part, to_path);
    close(to);
    if (good)
        return true;
    unlink(part);
    c->done -= source.st_size;
    if (!resumed)
        fatal("%s: %s; copy or pack it anew", path, *why ? why : "its copy differs from it");
    return false;
}

static void check_room(const struct preload *p, int64_t wanted)
{
    struct statvfs s;
    if (statvfs(p->folder, &s))
        refuse("its disk cannot be asked", p->folder);
    double room = (double)s.f_bavail * (double)s.f_frsize;
    if (room < (double)wanted)
        fatal("--preload: %s: %.2f GB are needed there, %.2f GB are free: name another folder",
              p->folder, 1e-9 * (double)wanted, 1e-9 * room);
}

static void copy_all(struct preload *p, char *const *paths)
{
    struct copying c = {.said_s = wall_s()};
    for (int i = 0; i < p->count; i++) {
        struct stat s;
        if (stat(paths[i], &s))
            refuse("it cannot be read", paths[i]);
        c.all += s.st_size;
    }
    check_room(p, c.all - bytes_there(p));
    for (int i = 0; i < p->count; i++) {
        struct stat s, source;
        if (!stat(p->path[i], &s) && !stat(paths[i], &source) && s.st_size == source.st_size &&
            s.st_mtime >= source.st_mtime)
            c.done += s.st_size;
        else if (!copy(p, paths[i], p->path[i], &c))
            copy(p, paths[i], p->path[i], &c);
    }
    say(&c, p->folder, true);
}

struct preload *preload_open(const char *where, char *const *paths, int count)
{
    struct preload *p = xcalloc(1, sizeof *p);
    p->count = count;
    p->path = xcalloc((size_t)count, sizeof *p->path);
    find_folder(p, where, paths[0]);
    for (int i = 0; i < count; i++) {
        const char *slash = strrchr(paths[i], '/');
        snprintf(p->path[i], PATH, "%.3600s/%.400s", p->folder, slash ? slash + 1 : paths[i]);
    }
    if (take_lock(p, paths)) {
        copy_all(p, paths);
        if (flock(p->lock, LOCK_SH))
            refuse("it cannot be locked", p->lock_path);
    }
    return p;
}

const char *preload_path(const struct preload *p, int i)
{
    return p->path[i];
}

void preload_close(struct preload *p)
{
    if (!flock(p->lock, LOCK_EX | LOCK_NB) && lock_is_there(p)) {
        for (int i = 0; i < p->count; i++)
            unlink(p->path[i]);
        unlink(p->lock_path);
        rmdir(p->folder);
    }
    close(p->lock);
    xfree(p->path);
    xfree(p);
}
