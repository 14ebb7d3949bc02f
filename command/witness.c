/* `nbsgd witness FOLDER PROGRAM [WORD ...]`: runs a rank, and writes down how it ended, whoever
 * ends it. run.s puts this between the launcher and the program.
 *
 *   launcher -- keeper -- the program       has all that the launcher gave
 *                    `--- the witness       a session of its own: what ends the others passes it by
 *
 * The keeper passes signals on and waits. It holds the launcher's descriptors, too, so MPICH's
 * launcher does not see yet that a rank was killed: the survivors have some seconds in which they
 * notice, save, and end the run by themselves. The keeper tells the witness how the program ended.
 * Where it is killed itself the witness sees that, writes it down, and ends the program. FOLDER has
 * a file a rank:
 *
 *   SECONDS rank R host HOST pid PID started
 *   SECONDS rank R host HOST pid PID exited CODE | killed SIGNAL
 *
 * and `results`, the path of the run's results, which rank 0 writes. The first end that is not
 * `exited 0` is the cause of the others. A program that ends badly writes that line itself, before
 * it asks the launcher to end all, and so does rank 0 in any case. Cost: two sleeping processes a
 * rank. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/signal_name.h"
#include "command/command.h"

#define FOLDER "NBSGD_WITNESS"        /* of the environment: tells the program */
static const time_t survivors_s = 20; /* for them to notice and save */

struct scene {
    char *folder;
    char **words;     /* of the program */
    sigset_t signals; /* all but SIGCHLD; blocked, and taken one by one */
    sigset_t mask;    /* that the program gets */
    pid_t program;
};

/* Appends a line about the program to its rank's file. Where the folder is gone nobody asks. */
static void note(const struct scene *s, const char *what, const char *value)
{
    char path[4200], host[128] = "?", line[300];
    struct timespec now;
    if (!*s->folder)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gethostname(host, sizeof host - 1);
    snprintf(path, sizeof path, "%s/rank-%d", s->folder, launched_rank());
    int length = snprintf(line, sizeof line, "%lld.%09ld rank %d host %s pid %d %s%s\n",
                          (long long)now.tv_sec, now.tv_nsec, launched_rank(), host,
                          (int)s->program, what, value);
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0)
        return;
    if (write(file, line, (size_t)length) == length)
        fsync(file); /* the folder may be another host's */
    close(file);
}

/* Among processes it is found by another name than the program's. */
static void rename_process(char **argv, int argc)
{
    size_t bytes = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) - argv[0]);
    memset(argv[0], 0, bytes);
    snprintf(argv[0], bytes, "witness of rank %d", launched_rank());
    prctl(PR_SET_NAME, "witness");
}

static _Noreturn void become_program(const struct scene *s)
{
    setenv(FOLDER, s->folder, 1);
    sigprocmask(SIG_SETMASK, &s->mask, NULL);
    execvp(s->words[0], s->words);
    fprintf(stderr, "nbsgd: cannot start %s: %s\n", s->words[0], strerror(errno));
    _exit(EXIT_USER);
}

/* All descriptors from this one on. */
static void close_from(int first)
{
    DIR *list = opendir("/proc/self/fd");
    for (struct dirent *e; list && (e = readdir(list));) {
        int number = atoi(e->d_name);
        if (number >= first && number != dirfd(list))
            close(number);
    }
    if (list)
        closedir(list);
}

/* Reads how the program ended; nothing: the keeper ended first, which a signal does that no process
 * can take. Keeps no descriptor that the launcher may wait for. */
static _Noreturn void witness(const struct scene *s, int from)
{
    int status;
    char text[12];
    setsid();
    dup2(from, 0);
    close_from(1);
    note(s, "started", "");
    if (read(0, &status, sizeof status) != sizeof status) {
        note(s, "killed ", "KILL");
        kill(s->program, SIGKILL);
    } else if (WIFSIGNALED(status)) {
        const char *name = signal_name(WTERMSIG(status));
        snprintf(text, sizeof text, "%d", WTERMSIG(status)); /* real-time signals have no name */
        note(s, "killed ", name ? name : text);
    } else {
        snprintf(text, sizeof text, "%d", WEXITSTATUS(status));
        note(s, "exited ", text);
    }
    _exit(0);
}

static int await_program(const struct scene *s)
{
    sigset_t signals = s->signals;
    int status;
    sigaddset(&signals, SIGCHLD);
    while (waitpid(s->program, &status, WNOHANG) != s->program) {
        int signal = sigwaitinfo(&signals, NULL);
        if (signal > 0 && signal != SIGCHLD)
            kill(s->program, signal);
    }
    return status;
}

/* As the program did. The launcher sees it when the survivors have had their time, or asks for it.
 * Its other signals stay blocked: main's handler would answer them. */
static int end_as(const struct scene *s, int status)
{
    const struct timespec patience = {.tv_sec = survivors_s};
    sigset_t own;
    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status);
    sigtimedwait(&s->signals, NULL, &patience);
    prctl(PR_SET_DUMPABLE, 0); /* one core file is enough */
    signal(WTERMSIG(status), SIG_DFL);
    sigemptyset(&own);
    sigaddset(&own, WTERMSIG(status));
    sigprocmask(SIG_UNBLOCK, &own, NULL);
    raise(WTERMSIG(status));
    return EXIT_SILENT;
}

static int run(int argc, char **argv, struct stop *stop)
{
    (void)stop;
    if (argc < 3)
        fatal("witness: it is given a folder and a program: nbsgd witness FOLDER PROGRAM ...");
    struct scene s = {.folder = strdup(argv[1]), .words = argv + 2};
    int ends[2];
    signal(SIGCHLD, SIG_DFL);
    sigfillset(&s.signals);
    sigprocmask(SIG_BLOCK, &s.signals, &s.mask);
    sigdelset(&s.signals, SIGCHLD);
    CHECK(!pipe2(ends, O_CLOEXEC), "no pipe: %s", strerror(errno));
    s.program = fork();
    if (!s.program)
        become_program(&s);
    pid_t other = s.program < 0 ? -1 : fork();
    CHECK(s.program > 0 && other >= 0, "no process: %s", strerror(errno));
    rename_process(argv, argc);
    close(ends[other != 0 ? 0 : 1]);
    if (!other)
        witness(&s, ends[0]);
    int status = await_program(&s);
    if (write(ends[1], &status, sizeof status) == sizeof status)
        waitpid(other, NULL, 0);
    free(s.folder);
    return end_as(&s, status);
}

/* A survivor may notice a death before the witness of the dead, whose line shall come first. Rank 0
 * says that it ends well, too: where a rank is absent the launcher is told to kill all then. */
void report_end(int code)
{
    char text[12], *folder = getenv(FOLDER);
    if (!folder || (!code && launched_rank()))
        return;
    if (code == EXIT_SILENT)
        nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
    snprintf(text, sizeof text, "%d", code);
    note(&(struct scene){.folder = folder, .program = getpid()}, "exited ", text);
}

static void at_exit(int code, void *unused)
{
    (void)unused;
    report_end(code);
}

void witness_tell_end(void)
{
    if (getenv(FOLDER))
        on_exit(at_exit, NULL);
}

void witness_tell_results(const char *folder)
{
    const char *to = getenv(FOLDER);
    char path[4200], *whole = to && *to ? realpath(folder, NULL) : NULL;
    if (!whole)
        return;
    snprintf(path, sizeof path, "%s/results", to);
    FILE *f = fopen(path, "w");
    if (f) {
        fprintf(f, "%s\n", whole);
        fclose(f);
    }
    free(whole);
}

const struct command command_witness = {
    .name = "witness",
    .summary = "run a rank and write down how it ends: witness FOLDER PROGRAM ...; run.s does",
    .run = run,
};
