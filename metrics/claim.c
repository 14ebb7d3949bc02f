/* The folder is judged twice: before the marker is made, so that nothing is touched in a folder
 * that is refused; and under the lock, since another run may have come and gone meanwhile. Of runs
 * that start at once mkdir() and the lock choose one. */
#include "metrics/claim.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/file.h"

enum { PATH_SIZE = 4096, PATH_MOST = 3900, FIELD = 200, LOCK_TRIES = 20 };
static const char marker_name[] = ".nbsgd";

struct claim {
    char folder[PATH_SIZE], run[FIELD], saved[PATH_SIZE], started[64];
    int marker; /* open, and locked */
    bool has_earlier, goes_on;
};

struct contents { /* of a folder */
    bool has_marker;
    char other[256]; /* a name beside the marker; "": there is none */
};

/* False and errno when there is no such folder, or it cannot be read. */
static bool look(const char *folder, struct contents *c)
{
    struct dirent *e;
    DIR *d = opendir(folder);
    *c = (struct contents){.has_marker = false};
    if (!d)
        return false;
    while ((e = readdir(d)))
        if (!strcmp(e->d_name, marker_name))
            c->has_marker = true;
        else if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && !*c->other)
            snprintf(c->other, sizeof c->other, "%s", e->d_name);
    closedir(d);
    return true;
}

static void marker_path(const char *folder, char path[PATH_SIZE + 10])
{
    snprintf(path, PATH_SIZE + 10, "%s/%s", folder, marker_name);
}

/* "name = value" in the marker; "" when it has none. */
static void read_field(const char *folder, const char *name, char *value, size_t size)
{
    char path[PATH_SIZE + 10], line[PATH_SIZE + 40];
    size_t length = strlen(name);
    marker_path(folder, path);
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    FILE *f = file < 0 ? NULL : fdopen(file, "r");
    *value = 0;
    while (f && !*value && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, name, length) && !strncmp(line + length, " = ", 3))
            snprintf(value, size, "%s", line + length + 3);
    }
    if (f)
        fclose(f);
}

/* Asking takes the lock for a moment: who claims a folder tries again. */
static bool is_used(const char *folder)
{
    char path[PATH_SIZE + 10];
    marker_path(folder, path);
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool used = file >= 0 && flock(file, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    if (file >= 0)
        close(file);
    return used;
}

static _Noreturn void refuse_used(const char *folder)
{
    char pid[FIELD], host[FIELD], started[FIELD];
    read_field(folder, "pid", pid, sizeof pid);
    read_field(folder, "host", host, sizeof host);
    read_field(folder, "started", started, sizeof started);
    fatal("--results %s: another run writes there now (process %s on %s, since %s): name another "
          "folder",
          folder, *pid ? pid : "?", *host ? host : "?", *started ? started : "?");
}

static _Noreturn void refuse_unreadable(const char *folder)
{
    int error = errno;
    struct stat s;
    if (!stat(folder, &s) && !S_ISDIR(s.st_mode))
        fatal("--results: %s is no folder; name one, or a new one", folder);
    if (!lstat(folder, &s) && S_ISLNK(s.st_mode) && error == ENOENT)
        fatal("--results: %s is a link to nothing; remove it, or name another folder", folder);
    if (error == ENOTDIR)
        fatal("--results: cannot make the folder %s (%s)", folder, strerror(error));
    fatal("--results: cannot read the folder %s (%s)", folder, strerror(error));
}

static void judge(const struct claim_request *r, const char *folder, const struct contents *c)
{
    if (!*c->other || r->overwrite || (r->resume && c->has_marker))
        return;
    if (c->has_marker)
        fatal("--results %s: an earlier run's files are there (%s): name another folder, or say "
              "--overwrite",
              folder, c->other);
    fatal("--results %s: the folder is not empty, and its files are no run's (%s): name another "
          "folder, or say --overwrite, which deletes none of them",
          folder, c->other);
}

static void check_length(const char *folder)
{
    if (strlen(folder) > PATH_MOST)
        fatal("--results: a path of %zu bytes; at most %d are taken", strlen(folder), PATH_MOST);
}

void claim_check(const struct claim_request *r)
{
    struct contents c;
    struct stat s;
    if (!*r->wanted)
        return;
    check_length(r->wanted);
    if (!look(r->wanted, &c)) {
        if (errno == ENOENT && lstat(r->wanted, &s))
            return;
        refuse_unreadable(r->wanted);
    }
    if (c.has_marker && is_used(r->wanted))
        refuse_used(r->wanted);
    judge(r, r->wanted, &c);
}

/* --- claiming --- */

static void name_run(struct claim *c)
{
    char date[32], host[80] = "?";
    time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    strftime(date, sizeof date, "%Y%m%d-%H%M%S", &local);
    strftime(c->started, sizeof c->started, "%Y-%m-%d %H:%M:%S %z", &local);
    gethostname(host, sizeof host - 1);
    for (char *at = host; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr(".-_", *at))
            *at = '_';
    snprintf(c->run, sizeof c->run, "%s-%s-%d", date, host, (int)getpid());
}

static void write_marker(const struct claim *c, const char *save)
{
    char host[128] = "?";
    gethostname(host, sizeof host - 1);
    if (ftruncate(c->marker, 0) ||
        dprintf(c->marker,
                "# Of nbsgd: which run has this folder. While it writes here it locks this file.\n"
                "run = %s\npid = %d\nhost = %s\nstarted = %s\nsave = %s\n",
                c->run, (int)getpid(), host, c->started, save) < 0)
        return; /* a full disk: the rows will say it, and the lock is held */
}

/* The marker, made if need be. */
static int open_marker(const char *folder, bool *made)
{
    char path[PATH_SIZE + 10];
    marker_path(folder, path);
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
        file = open(path, flags | O_CREAT | O_EXCL, 0666);
    *made = file >= 0;
    if (file < 0 && errno == EEXIST)
        file = open(path, flags);
    if (file < 0)
        fatal("--results: cannot write into %s (%s: %s)", folder, marker_name, strerror(errno));
    return file;
}

/* False: another run has it. Without locks a marker that was there says that, too, unless `forced`.
 */
static bool lock_marker(struct claim *c, bool forced)
{
    bool made = false, made_now;
    for (int i = 0; i < LOCK_TRIES; i++) {
        c->marker = open_marker(c->folder, &made_now);
        made |= made_now;
        if (!flock(c->marker, LOCK_EX | LOCK_NB))
            return true;
        if (errno != EWOULDBLOCK) {
            fprintf(stderr,
                    "nbsgd: no lock can be had in %s (%s): another run that is told to write there "
                    "would not notice this one\n",
                    c->folder, strerror(errno));
            return made || forced;
        }
        close(c->marker);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

/* False: another run has it. */
static bool take(struct claim *c, const struct claim_request *r)
{
    struct contents before, now;
    if (!look(c->folder, &before))
        refuse_unreadable(c->folder);
    judge(r, c->folder, &before);
    if (!lock_marker(c, r->overwrite || r->resume))
        return false;
    if (!look(c->folder, &now))
        refuse_unreadable(c->folder);
    judge(r, c->folder, &now);
    c->has_earlier = before.has_marker && *now.other;
    c->goes_on = r->resume && c->has_earlier;
    if (c->goes_on) {
        char run[FIELD];
        read_field(c->folder, "run", run, sizeof run);
        if (*run) /* it was written, on a disk that was not full */
            memcpy(c->run, run, sizeof c->run);
        read_field(c->folder, "save", c->saved, sizeof c->saved);
    }
    write_marker(c, c->goes_on ? c->saved : r->save);
    return true;
}

/* False: there is one. */
static bool make_folder(const char *folder)
{
    if (!mkdir(folder, 0777))
        return true;
    if (errno != EEXIST)
        fatal("--results: cannot make the folder %s (%s)", folder, strerror(errno));
    return false;
}

/* The first of results/run-DATE-SCHEME, -2, -3, .. that is not there yet. */
static void take_new(struct claim *c, const struct claim_request *r)
{
    char date[32];
    time_t now = time(NULL);
    struct tm local;
    strftime(date, sizeof date, "%Y%m%d-%H%M%S", localtime_r(&now, &local));
    for (int i = 1;; i++) {
        char number[16] = "";
        if (i > 1)
            snprintf(number, sizeof number, "-%d", i);
        snprintf(c->folder, sizeof c->folder, "results/run-%s-%.100s%s", date, r->scheme, number);
        file_make_parents(c->folder);
        if (make_folder(c->folder) && take(c, r))
            return;
    }
}

struct claim *claim_open(const struct claim_request *r)
{
    struct claim *c = xcalloc(1, sizeof *c);
    name_run(c);
    if (!*r->wanted) {
        take_new(c, r);
        return c;
    }
    check_length(r->wanted);
    snprintf(c->folder, sizeof c->folder, "%s", r->wanted);
    file_make_parents(c->folder);
    make_folder(c->folder);
    if (!take(c, r))
        refuse_used(c->folder);
    return c;
}

void claim_set_saved(const struct claim *c, const char *save)
{
    write_marker(c, save);
}

void claim_close(struct claim *c)
{
    close(c->marker);
    xfree(c);
}

const char *claim_folder(const struct claim *c)
{
    return c->folder;
}

const char *claim_run(const struct claim *c)
{
    return c->run;
}

const char *claim_saved(const struct claim *c)
{
    return c->goes_on ? c->saved : NULL;
}

bool claim_has_earlier(const struct claim *c)
{
    return c->has_earlier;
}
