/* Cost: a look every few milliseconds while the child runs. */
#define _GNU_SOURCE
#include "base/child.h"
#include "base/wall_clock.h"

#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static const long look_ns = 5000000;
static const double killed_s = 1; /* in which a child that is killed ends */

static bool start(pid_t *child, char *const *words)
{
    posix_spawnattr_t alone;
    sigset_t ignored; /* by this program (main.c), which a child would take over */
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGPIPE);
    sigaddset(&ignored, SIGXFSZ);
    posix_spawnattr_init(&alone);
    posix_spawnattr_setflags(&alone, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&alone, 0);
    posix_spawnattr_setsigdefault(&alone, &ignored);
    int error = posix_spawnp(child, words[0], NULL, &alone, words, environ);
    posix_spawnattr_destroy(&alone);
    return !error;
}

/* Its status; -1, when somebody else has taken it. */
static bool ends_within(pid_t child, double limit_s, int *status)
{
    double until_s = wall_s() + limit_s;
    pid_t ended;
    while (!(ended = waitpid(child, status, WNOHANG)) && wall_s() < until_s)
        nanosleep(&(struct timespec){.tv_nsec = look_ns}, NULL);
    if (ended < 0)
        *status = -1;
    return ended;
}

enum child_end child_run(char *const *words, double limit_s)
{
    pid_t child;
    int status = 0;
    if (!start(&child, words))
        return CHILD_BADLY;
    if (ends_within(child, limit_s, &status))
        return status ? CHILD_BADLY : CHILD_WELL;
    kill(-child, SIGKILL);
    ends_within(child, killed_s, &status); /* not while it waits for a disk: it is left */
    return CHILD_KILLED;
}
