/* A thread that waits for the end of the start. Who is stopped is in /proc: a process that the same
 * launcher started, whose rank is in its environment. */
#define _GNU_SOURCE
#include "messaging/mpi/start_watch.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "messaging/mpi/launcher.h"
#include "messaging/mpi/process.h"

/* The file /proc/PROCESS/NAME, as far as it fits; its length. */
static size_t read_file(const char *process, const char *name, char *text, size_t size)
{
    char path[300];
    snprintf(path, sizeof path, "/proc/%s/%s", process, name);
    FILE *f = fopen(path, "rb");
    size_t length = f ? fread(text, 1, size - 1, f) : 0;
    text[length] = '\0';
    if (f)
        fclose(f);
    return length;
}

struct kin {
    int parent; /* 0: not known */
    char state;
    bool witness; /* is it run.s's, between the launcher and a rank (command/witness.c)? */
};

/* A command may hold any character; it ends with the last ')'. */
static struct kin kin_of(const char *process)
{
    char text[1024];
    struct kin k = {.state = '?'};
    read_file(process, "stat", text, sizeof text);
    const char *end = strrchr(text, ')');
    if (!end || sscanf(end + 1, " %c %d", &k.state, &k.parent) != 2)
        k.parent = 0;
    k.witness = strstr(text, " (witness) ");
    return k;
}

static int launcher_of(int parent)
{
    char process[12];
    snprintf(process, sizeof process, "%d", parent);
    struct kin k = kin_of(process);
    return k.witness ? k.parent : parent;
}

static bool is_stopped(const char *process)
{
    struct kin k = kin_of(process);
    return k.state == 'T' && k.parent && launcher_of(k.parent) == launcher_of(getppid());
}

/* -1: it does not say. */
static int rank_of(const char *process)
{
    static const char *const names[] = {"PMI_RANK=", "PMIX_RANK=", "OMPI_COMM_WORLD_RANK="};
    static const size_t room = 1 << 17;
    char *text = malloc(room);
    size_t length = text ? read_file(process, "environ", text, room) : 0;
    int rank = -1;
    for (size_t at = 0; at < length; at += strlen(text + at) + 1)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (!strncmp(text + at, names[i], strlen(names[i])))
                rank = atoi(text + at + strlen(names[i]));
    free(text);
    return rank;
}

void start_watch_stopped(char *text, size_t size)
{
    size_t used = 0;
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    *text = '\0';
    while (processes && (entry = readdir(processes)) && used < size) {
        if (!isdigit((unsigned char)*entry->d_name) || !is_stopped(entry->d_name))
            continue;
        int rank = rank_of(entry->d_name);
        if (rank >= 0)
            used += (size_t)snprintf(text + used, size - used, " (rank %d, process %s, is stopped)",
                                     rank, entry->d_name);
    }
    if (processes)
        closedir(processes);
}

static void *watch(void *self)
{
    struct start_watch *w = self;
    char stopped[300], host[128] = "?";
    if (latch_wait(&w->ended, clock_ns() + (int64_t)(1e9 * w->patience_s)))
        return NULL;
    start_watch_stopped(stopped, sizeof stopped);
    gethostname(host, sizeof host - 1);
    fprintf(stderr, "nbsgd: rank %d on %s: this rank has waited %.0f s for %s%s\n", launched_rank(),
            host, w->patience_s, atomic_load(&w->awaited), stopped);
    if (report_end)
        report_end(EXIT_SILENT);
    nap(READ_S);
    launcher_abort(EXIT_SILENT);
    _exit(EXIT_SILENT); /* the library may be half way through its start */
}

void start_watch_await_ranks(struct start_watch *w)
{
    atomic_store(&w->awaited, "all ranks to start: one does not come");
}

void start_watch_await_files(struct start_watch *w)
{
    atomic_store(&w->awaited, "its --config files to be read: is one a pipe that nobody closes?");
}

void start_watch_begin(struct start_watch *w, double patience_s)
{
    start_watch_await_ranks(w);
    w->runs = true;
    w->patience_s = patience_s + (launched_rank() ? GRACE_S : 0);
    latch_begin(&w->ended);
    int error = pthread_create(&w->thread, NULL, watch, w);
    CHECK(!error, "no thread for the start: %s", strerror(error));
}

void start_watch_end(struct start_watch *w)
{
    if (!w->runs)
        return;
    w->runs = false;
    latch_open(&w->ended);
    pthread_join(w->thread, NULL);
    latch_end(&w->ended);
}
