/* Cells as processes. A child is in a process group of its own, so that what a terminal sends comes
 * to the study, which passes it on; and it is told when the study dies (PR_SET_PDEATHSIG). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/paths.h"
#include "base/wall_clock.h"
#include "study/progress.h"

enum { MOST_JOBS = 1024, WORDS = 16 };
static const long look_ns = 20000000;
static const double stopping_s = 90; /* for children to save; then they are killed */

struct job {
    struct cell *cell;
    pid_t pid;
    double since_s;
};

struct runner {
    const struct runner_request *r;
    struct job job[MOST_JOBS];
    int jobs, most; /* that run; at most */
    struct progress_bar bar;
    char program[STUDY_PATH], launcher[STUDY_PATH];
    bool passed_on; /* a signal */
    double stopped_s;
    bool lost;   /* the disk takes no more */
    bool failed; /* a cell has, or was left out */
};

/* --- a child --- */

static void reset_signals(void)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_DFL);
}

/* Is the program's file still the one that runs? */
static bool is_same_program(const struct runner *k)
{
    struct stat file, image;
    return !stat(k->program, &file) && !stat("/proc/self/exe", &image) &&
           file.st_dev == image.st_dev && file.st_ino == image.st_ino;
}

/* The image that runs now, whatever its file has become: a study does not mix two programs. By its
 * name where that holds, which ps shows. */
static _Noreturn void become(const struct runner *k, char **words, bool simulated)
{
    if (simulated) {
        setenv("NBSGD_DATADIR", "/nonexistent", 1); /* figures are the report's */
        execv(is_same_program(k) ? k->program : "/proc/self/exe", words);
    } else {
        setenv("RETRIES", "0", 0);
        execvp(words[0], words);
    }
    fprintf(stderr, "nbsgd: cannot start %s: %s\n", k->program, strerror(errno));
    _exit(EXIT_WORLD);
}

static _Noreturn void be_child(const struct runner *k, const char *log, char **words,
                               bool simulated, pid_t parent)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, simulated ? SIGKILL : SIGTERM);
    if (getppid() != parent)
        _exit(EXIT_STOPPED);
    int in = open("/dev/null", O_RDONLY), out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (in < 0 || out < 0)
        _exit(EXIT_WORLD);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    close(in);
    close(out);
    reset_signals();
    become(k, words, simulated);
}

static void start_child(struct runner *k, struct cell *c, bool resumes)
{
    const struct plan *p = k->r->plan;
    bool simulated = !c->of->processes;
    char log[STUDY_PATH], options[STUDY_PATH], folder[STUDY_PATH], ranks[16], *words[WORDS];
    int count = 0;
    cell_path(p, c, "log", log);
    cell_path(p, c, "options.ini", options);
    cell_path(p, c, "", folder);
    snprintf(ranks, sizeof ranks, "%d", c->of->processes);
    char *const launched[] = {"bash", k->launcher, k->program, ranks};
    for (int i = 0; i < 4 && !simulated; i++)
        words[count++] = launched[i];
    char *const run[] = {"nbsgd", "--config", options, "--results", folder, "--overwrite"};
    for (int i = simulated ? 0 : 1; i < 6; i++)
        words[count++] = run[i];
    if (resumes) {
        words[count++] = "--resume";
        words[count++] = "auto";
    }
    words[count] = NULL;
    fflush(NULL);
    pid_t parent = getpid(), child = fork();
    if (!child)
        be_child(k, log, words, simulated, parent);
    CHECK(child > 0, "no process for a cell: %s", strerror(errno));
    k->job[k->jobs++] = (struct job){.cell = c, .pid = child, .since_s = wall_s()};
}

/* --- all of them --- */

static void lose(struct runner *k, const struct cell *c)
{
    fprintf(stderr,
            "nbsgd: cannot write %s/%s (%s): mend that and start the same command again, it goes "
            "on where it is\n",
            k->r->plan->root, c->folder, strerror(errno));
    k->lost = true;
}

static bool stops(const struct runner *k)
{
    return *k->r->program->stop || k->lost;
}

static void begin(struct runner *k, struct cell *c)
{
    bool resumes;
    c->tried = true;
    if (cell_is_used(k->r->plan, c)) {
        printf("%s: another process runs it, left out\n", c->folder);
        k->failed = true;
        return;
    }
    if (c->of->processes && !is_same_program(k)) /* mpirun starts it by its name */
        die(EXIT_WORLD, "%s was replaced while the study ran: start the same command again",
            k->program);
    if (cell_begin(k->r->plan, c, k->r->program, &resumes))
        start_child(k, c, resumes);
    else
        lose(k, c);
}

static void end(struct runner *k, int at, int status)
{
    struct job j = k->job[at];
    struct cell *c = j.cell;
    k->job[at] = k->job[--k->jobs];
    c->exit = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    c->wall_s = wall_s() - j.since_s;
    if (c->exit > 128 && cell_outcome(k->r->plan, c) >= 0) /* killed, it or its launcher */
        c->exit = cell_outcome(k->r->plan, c);
    bool asked = k->passed_on && c->exit && c->exit != EXIT_NAN;
    c->state = asked                 ? CELL_MISSING
               : c->exit == 0        ? CELL_DONE
               : c->exit == EXIT_NAN ? CELL_DIVERGED
                                     : CELL_FAILED;
    c->exit = asked ? EXIT_STOPPED : c->exit;
    k->failed |= c->state == CELL_FAILED;
    if (!cell_end(k->r->plan, c, k->r->program))
        lose(k, c);
    if (!k->lost)
        k->r->ended(k->r->self, c);
    progress_ended(&k->bar, c);
    if (asked)
        c->wall_s = 0;
}

static void reap(struct runner *k)
{
    int status;
    for (int i = k->jobs - 1; i >= 0; i--) {
        pid_t ended = waitpid(k->job[i].pid, &status, WNOHANG);
        if (ended == k->job[i].pid)
            end(k, i, status);
    }
}

/* Passes a signal on, once; kills what has not ended after a while. */
static void pass_on(struct runner *k)
{
    if (!stops(k))
        return;
    if (!k->passed_on)
        k->stopped_s = wall_s();
    bool late = wall_s() - k->stopped_s > stopping_s;
    for (int i = 0; i < k->jobs && (!k->passed_on || late); i++)
        kill(late ? -k->job[i].pid : k->job[i].pid, late ? SIGKILL : SIGTERM);
    k->passed_on = true;
}

static void wait_for_one(struct runner *k, int most)
{
    const struct cell *running[MOST_JOBS];
    double since_s[MOST_JOBS];
    while (k->jobs > most) {
        reap(k);
        pass_on(k);
        for (int i = 0; i < k->jobs; i++) {
            running[i] = k->job[i].cell;
            since_s[i] = k->job[i].since_s;
        }
        progress_show(&k->bar, running, since_s, k->jobs);
        if (k->jobs > most)
            nanosleep(&(struct timespec){.tv_nsec = look_ns}, NULL);
    }
}

/* Those of one kind, `most` at once. */
static void run_kind(struct runner *k, bool simulated, int most)
{
    struct plan *p = k->r->plan;
    for (int i = 0; i < p->count && !stops(k); i++) {
        struct cell *c = &p->cells[p->order[i]];
        if (!c->mine || !c->of->processes != simulated || c->state == CELL_DONE ||
            c->state == CELL_DIVERGED)
            continue;
        wait_for_one(k, most - 1);
        if (!stops(k))
            begin(k, c);
    }
    wait_for_one(k, 0);
}

static void find_programs(struct runner *k)
{
    ssize_t length = readlink("/proc/self/exe", k->program, sizeof k->program - 1);
    bool real = false;
    k->program[length > 0 ? length : 0] = 0;
    for (int i = 0; i < k->r->plan->count; i++)
        real |= k->r->plan->cells[i].of->processes > 0;
    if (real && !data_path(k->launcher, sizeof k->launcher, "launch/cell.sh"))
        fatal("cells over MPI: launch/cell.sh is not where it belongs; set NBSGD_DATADIR");
}

int plan_run(const struct runner_request *r)
{
    struct runner *k = xcalloc(1, sizeof *k);
    k->r = r;
    k->most = r->jobs < MOST_JOBS ? r->jobs : MOST_JOBS;
    find_programs(k);
    progress_begin(&k->bar, r->plan, k->most);
    run_kind(k, true, k->most);
    run_kind(k, false, 1);
    progress_end(&k->bar, *r->program->stop);
    int code = k->lost ? EXIT_WORLD : *r->program->stop ? EXIT_STOPPED : k->failed ? EXIT_CELLS : 0;
    xfree(k);
    return code;
}
