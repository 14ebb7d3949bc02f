/* A cell's folder: what is there, how it begins and ends. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"
#include "study/private.h"

static const double release_s = 30; /* in which a run whose study was killed ends */

struct note { /* cell.ini */
    char digest[20], program[200];
    int exit; /* -1: it has not ended */
    double wall_s;
};

void cell_path(const struct plan *p, const struct cell *c, const char *name, char path[STUDY_PATH])
{
    snprintf(path, STUDY_PATH, "%.3900s/%s%s%s", p->root, c->folder, *name ? "/" : "", name);
}

/* --- what is there --- */

static bool read_note(const char *path, struct note *n)
{
    char line[400], name[40], value[300];
    FILE *f = file_open(path);
    *n = (struct note){.exit = -1};
    if (!f)
        return false;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%39[a-z_] = %299[^\n]", name, value) != 2)
            continue;
        if (!strcmp(name, "digest"))
            snprintf(n->digest, sizeof n->digest, "%.16s", value);
        else if (!strcmp(name, "program"))
            snprintf(n->program, sizeof n->program, "%.199s", value);
        else if (!strcmp(name, "exit"))
            n->exit = atoi(value);
        else if (!strcmp(name, "wall_seconds"))
            n->wall_s = strtod(value, NULL);
    }
    fclose(f);
    return true;
}

/* Nothing, or nothing but what a study that was killed left of its note. */
static bool is_empty(const char *folder)
{
    static const char part[] = ".part";
    struct dirent *e;
    DIR *d = opendir(folder);
    bool empty = d || errno == ENOENT;
    while (d && empty && (e = readdir(d))) {
        size_t length = strlen(e->d_name);
        empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
                (length >= sizeof part && !strcmp(e->d_name + length + 1 - sizeof part, part));
    }
    if (d)
        closedir(d);
    return empty;
}

enum { DIFFERENCE = 700 };

/* The first line of the options there that is another one here; "": all are the same. */
static void difference(const char *path, const char *options, char text[DIFFERENCE])
{
    char line[1000];
    FILE *f = file_open(path);
    *text = 0;
    while (f && !*text && fgets(line, sizeof line, f)) {
        size_t name = strcspn(line, *line == '#' ? ":" : "=");
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "# --"))
            break;
        if ((*line == '#' && !line[name]) || !strncmp(line, "seed = ", 7))
            continue;
        const char *same = strstr(options, line);
        if (same && (same == options || same[-1] == '\n') && strchr("\n", same[strlen(line)]))
            continue;
        const char *now = NULL;
        for (const char *at = options; *at && !now; at = strchrnul(at, '\n') + 1) {
            if (!strncmp(at, line, name + 1))
                now = at;
            if (!*strchrnul(at, '\n'))
                break;
        }
        int skip = *line == '#' ? 2 : 0;
        snprintf(text, DIFFERENCE, "'%.300s' there, %s%.*s%s here", line + skip,
                 now ? "'" : "no such option", now ? (int)strcspn(now, "\n") - skip : 0,
                 now ? now + skip : "", now ? "'" : "");
    }
    if (f)
        fclose(f);
}

static _Noreturn void refuse_other(const struct plan *p, const struct cell *c, const struct note *n,
                                   const struct study_program *program)
{
    char path[STUDY_PATH], text[DIFFERENCE];
    cell_path(p, c, "options.ini", path);
    difference(path, c->of->computed, text);
    bool same = !strcmp(n->program, program->name);
    fatal("%s/%s has run with %s%s%s: results of two are not mixed; remove that folder, or name "
          "another one",
          p->root, c->folder, same ? "other options" : n->program,
          *text  ? ", "
          : same ? " (a file that they name, or a seed)"
                 : "",
          text);
}

static bool is_result(int code)
{
    return code == 0 || code == EXIT_NAN;
}

int cell_outcome(const struct plan *p, const struct cell *c)
{
    char status[100], unwritten[100];
    struct cell_result r = cell_summary(p, c);
    cell_field(&r, "status", status, sizeof status);
    cell_field(&r, "unwritten", unwritten, sizeof unwritten);
    cell_result_close(&r);
    return *unwritten                    ? -1
           : !strcmp(status, "finished") ? 0
           : !strcmp(status, "nan")      ? EXIT_NAN
                                         : -1;
}

void cell_look(const struct plan *p, struct cell *c, const struct study_program *program,
               bool refuses)
{
    char path[STUDY_PATH];
    struct note n;
    c->state = CELL_MISSING;
    c->exit = -1;
    cell_path(p, c, "cell.ini", path);
    if (!read_note(path, &n)) {
        cell_path(p, c, "", path);
        bool other = refuses && !is_empty(path);
        cell_path(p, c, "cell.ini", path);
        if (other && !read_note(path, &n)) /* no task has begun it meanwhile */
            fatal("%s/%s: what is there is no cell of a study (it has no cell.ini): remove it, or "
                  "name another folder",
                  p->root, c->folder);
        return;
    }
    int code = cell_outcome(p, c);
    if (code >= 0 && *n.digest && (n.exit < 0 || n.exit > 128))
        n.exit = code;
    bool whole = n.exit >= 0 && (!is_result(n.exit) || code == n.exit);
    bool same = !is_result(n.exit) || !strcmp(n.digest, c->digest);
    if (whole && !same && refuses)
        refuse_other(p, c, &n, program);
    if (!whole || !same || n.exit == EXIT_STOPPED)
        return;
    c->exit = n.exit;
    c->wall_s = n.wall_s;
    c->state = n.exit == 0 ? CELL_DONE : n.exit == EXIT_NAN ? CELL_DIVERGED : CELL_FAILED;
}

bool cell_is_used(const struct plan *p, const struct cell *c)
{
    char path[STUDY_PATH];
    bool used = true;
    cell_path(p, c, ".nbsgd", path);
    for (double waited_s = 0; used && waited_s < release_s; waited_s += 0.1) {
        int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        used = file >= 0 && flock(file, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
        if (file >= 0)
            close(file);
        if (used)
            nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    return used;
}

void cell_complaint(const struct plan *p, const struct cell *c, char *text, size_t size)
{
    char path[STUDY_PATH], line[600];
    cell_path(p, c, "log", path);
    FILE *f = file_open(path);
    *text = 0;
    while (f && fgets(line, sizeof line, f))
        if ((!strncmp(line, "nbsgd: ", 7) || !strncmp(line, "launch: ", 8)) &&
            !strstr(line, " ranks share the ") && !strstr(line, "NO REAL IMAGES")) {
            line[strcspn(line, "\n")] = 0;
            snprintf(text, size, "%s", strchr(line, ' ') + 1);
        }
    if (f)
        fclose(f);
}

/* --- beginning and ending --- */

/* What is in the folder but for its note: so it is a cell's at every moment. */
static int remove_one(const char *path, const struct stat *s, int type, struct FTW *at)
{
    (void)s;
    (void)type;
    bool stays = at->level == 0 || (at->level == 1 && !strcmp(path + at->base, "cell.ini"));
    return stays ? 0 : remove(path);
}

static bool write_options(FILE *f, void *self)
{
    const struct cell *c = self;
    fprintf(f,
            "# nbsgd --config FILE runs this cell again.\nseed = %lld\n%s# --\n# What does not "
            "change what is computed:\n%s",
            (long long)c->seed, c->of->computed, c->of->own);
    return true;
}

struct noted {
    const struct cell *cell;
    bool cleared; /* only then the digest: what is there is of it */
    const struct study_program *program;
};

static bool write_note(FILE *f, void *self)
{
    const struct noted *n = self;
    char host[128] = "?", date[64];
    time_t now = time(NULL);
    gethostname(host, sizeof host - 1);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S %z", localtime(&now));
    fprintf(f,
            "# A cell of a study: what was run with which program and options (options.ini).\n"
            "%s%s\nprogram = %s\nhost = %s\n",
            n->cleared ? "digest = " : "# (it is being cleared)", n->cleared ? n->cell->digest : "",
            n->program->name, host);
    if (n->cell->exit < 0)
        fprintf(f, "begun = %s\n", date);
    else
        fprintf(f, "ended = %s\nexit = %d\nwall_seconds = %.3f\n", date, n->cell->exit,
                n->cell->wall_s);
    return true;
}

static bool write_cell_note(const struct plan *p, const struct cell *c, bool cleared,
                            const struct study_program *program)
{
    char path[STUDY_PATH];
    struct noted n = {c, cleared, program};
    cell_path(p, c, "cell.ini", path);
    return file_write_whole(path, write_note, &n);
}

/* What was begun with these very options, by this program. */
static bool can_resume(const struct plan *p, const struct cell *c)
{
    char path[STUDY_PATH];
    struct note n;
    cell_path(p, c, "cell.ini", path);
    return c->of->resumes && read_note(path, &n) && !strcmp(n.digest, c->digest) &&
           (n.exit < 0 || n.exit == EXIT_STOPPED || n.exit == EXIT_SILENT || n.exit > 128);
}

bool cell_begin(const struct plan *p, const struct cell *c, const struct study_program *program,
                bool *resumes)
{
    char path[STUDY_PATH];
    *resumes = can_resume(p, c);
    cell_path(p, c, "cell.ini", path);
    file_make_parents(path);
    if (!write_cell_note(p, c, *resumes, program))
        return false;
    cell_path(p, c, "", path);
    if (!*resumes &&
        (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) || !write_cell_note(p, c, true, program)))
        return false;
    cell_path(p, c, "options.ini", path);
    return file_write_whole(path, write_options, (void *)c);
}

bool cell_end(const struct plan *p, const struct cell *c, const struct study_program *program)
{
    return write_cell_note(p, c, true, program);
}
