/* The study's folder: whose it is, who runs there now, and what is written on top of it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/file.h"
#include "study/private.h"

static const char marker[] = ".nbsgd-study", writing[] = ".nbsgd-study-rows";
enum { LONGEST_ROOT = 3000 };

struct study_lock {
    int all, part; /* part: of a task of an array; -1 without one */
};

static int number_of(const char *name, int preset)
{
    const char *text = getenv(name);
    char *end;
    long number = text ? strtol(text, &end, 10) : preset;
    return text && (end == text || *end || number < 0 || number > 1000000) ? preset : (int)number;
}

void study_tasks(int *tasks, int *task)
{
    int first = number_of("SLURM_ARRAY_TASK_MIN", 0), step = number_of("SLURM_ARRAY_TASK_STEP", 1);
    *tasks = number_of("SLURM_ARRAY_TASK_COUNT", 1);
    *task = (number_of("SLURM_ARRAY_TASK_ID", first) - first) / (step > 0 ? step : 1);
    if (!getenv("SLURM_ARRAY_TASK_ID") || *tasks < 1)
        *tasks = 1;
    if (*tasks == 1)
        *task = 0;
    if (*task < 0 || *task >= *tasks)
        fatal("SLURM_ARRAY_TASK_ID is %s, of %d tasks from %d on in steps of %d: give an array "
              "such as --array=1-8",
              getenv("SLURM_ARRAY_TASK_ID"), *tasks, first, step);
}

/* Is there anything but what a study has? */
static void judge_folder(const char *root)
{
    char path[STUDY_PATH];
    const char *other = NULL;
    struct dirent *e;
    DIR *d = opendir(root);
    if (!d)
        fatal("--results: cannot read the folder %s (%s)", root, strerror(errno));
    snprintf(path, sizeof path, "%s/%s", root, marker);
    bool ours = !access(path, F_OK);
    while (!ours && !other && (e = readdir(d)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, marker))
            other = e->d_name;
    if (other && access(path, F_OK)) /* nor has another task made it meanwhile */
        fatal("--results %s: the folder is not empty, and it is no study's (%s): name another one",
              root, other);
    closedir(d);
}

static int open_in(const char *root, const char *name)
{
    char path[STUDY_PATH];
    snprintf(path, sizeof path, "%s/%s", root, name);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (file < 0)
        fatal("--results: cannot write %s (%s)", path, strerror(errno));
    return file;
}

static _Noreturn void refuse_used(const char *root, int file)
{
    char who[300] = "";
    ssize_t length = pread(file, who, sizeof who - 1, 0);
    who[length > 0 ? length : 0] = 0;
    who[strcspn(who, "\n")] = 0;
    fatal("--results %s: another study runs there now%s%s%s: wait for it, or name another folder",
          root, *who ? " (" : "", who, *who ? ")" : "");
}

static int lock(const char *root, const char *name, int how)
{
    int file = open_in(root, name);
    if (!flock(file, how | LOCK_NB))
        return file;
    if (errno == EWOULDBLOCK)
        refuse_used(root, file);
    fprintf(stderr,
            "nbsgd: no lock can be had in %s (%s): another study that is told to run there would "
            "not notice this one\n",
            root, strerror(errno));
    return file;
}

static void say_who(int file)
{
    char host[128] = "?", date[64];
    time_t now = time(NULL);
    gethostname(host, sizeof host - 1);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S %z", localtime(&now));
    if (!ftruncate(file, 0))
        dprintf(file, "process %d on %s, since %s\n", (int)getpid(), host, date);
}

/* The size of the array that a file of that name is a task's of; 0: it is none. */
static int array_of(const char *name)
{
    int task, tasks, end = 0;
    size_t length = strlen(marker);
    if (strncmp(name, marker, length) ||
        sscanf(name + length, "-%d-of-%d%n", &task, &tasks, &end) != 2 || name[length + end])
        return 0;
    return tasks;
}

static bool is_locked(const char *root, const char *name)
{
    char path[STUDY_PATH];
    snprintf(path, sizeof path, "%s/%.300s", root, name);
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool locked = file >= 0 && flock(file, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    if (file >= 0)
        close(file);
    return locked;
}

/* Tasks of arrays of two sizes would take each other's cells. */
static void refuse_other_size(const char *root, int tasks)
{
    int other = 0;
    DIR *d = opendir(root);
    for (struct dirent *e; d && !other && (e = readdir(d));) {
        int size = array_of(e->d_name);
        if (size && size != tasks && is_locked(root, e->d_name))
            other = size;
    }
    if (d)
        closedir(d);
    if (other)
        fatal("--results %s: an array of %d tasks runs there now, this one is of %d: they would "
              "take each other's cells; wait for it, or name another folder",
              root, other, tasks);
}

/* Waits for it, whatever signals come. */
static void take_turn(int file)
{
    while (flock(file, LOCK_EX) && errno == EINTR)
        ;
}

/* One task after the other, so that of two sizes the first one is seen. */
static int lock_part(const char *root, int tasks, int task)
{
    char name[60];
    int turn = open_in(root, writing);
    take_turn(turn);
    refuse_other_size(root, tasks);
    snprintf(name, sizeof name, "%s-%d-of-%d", marker, task + 1, tasks);
    int part = lock(root, name, LOCK_EX);
    say_who(part);
    close(turn);
    return part;
}

struct study_lock *study_lock(const char *root)
{
    struct study_lock *l = xcalloc(1, sizeof *l);
    char path[STUDY_PATH];
    int tasks, task;
    if (strlen(root) > LONGEST_ROOT)
        fatal("--results: a path of %zu bytes; at most %d are taken", strlen(root), LONGEST_ROOT);
    study_tasks(&tasks, &task);
    snprintf(path, sizeof path, "%s/", root);
    file_make_parents(path);
    judge_folder(root);
    l->all = lock(root, marker, tasks > 1 ? LOCK_SH : LOCK_EX);
    say_who(l->all);
    l->part = tasks > 1 ? lock_part(root, tasks, task) : -1;
    return l;
}

void study_unlock(struct study_lock *l)
{
    close(l->all);
    if (l->part >= 0)
        close(l->part);
    xfree(l);
}

void study_write(const char *root, const char *name, bool (*write)(FILE *file, void *self),
                 void *self)
{
    char path[STUDY_PATH];
    int file = open_in(root, writing);
    snprintf(path, sizeof path, "%s/%s", root, name);
    take_turn(file); /* of tasks: the last one to write has seen what all have left */
    bool written = file_write_whole(path, write, self);
    int error = errno;
    close(file);
    if (!written)
        die(EXIT_WORLD,
            "cannot write %s (%s): mend that and start the same command again, it goes on where it "
            "is",
            path, strerror(error));
}
