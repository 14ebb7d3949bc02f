/* Children that are expected to die: fork, a pipe for stderr, wait. A body that returns ends with
 * exit code 0. */
#include "tests/death_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"

int death_test(void (*body)(const void *argument), const void *argument, char *said, size_t size)
{
    int pipes[2], status;
    CHECK(!pipe(pipes), "no pipe");
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0, "no fork");
    if (!child) {
        dup2(pipes[1], STDERR_FILENO);
        close(pipes[0]);
        body(argument);
        _exit(0);
    }
    close(pipes[1]);
    size_t used = 0;
    for (ssize_t got = 1; got > 0;) {
        char rest[256];
        bool full = used + 1 >= size;
        got = read(pipes[0], full ? rest : said + used, full ? sizeof rest : size - 1 - used);
        used += got > 0 && !full ? (size_t)got : 0;
    }
    said[used] = 0;
    close(pipes[0]);
    CHECK(waitpid(child, &status, 0) == child, "the child is lost");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void assert_dies(int code, void (*body)(const void *argument), const void *argument,
                 const char *const *words)
{
    char said[8192];
    int ended = death_test(body, argument, said, sizeof said);
    if (ended != code)
        fail_msg("ended with %d instead of %d, saying: %s", ended, code, said);
    for (; words && *words; words++)
        if (!strstr(said, *words))
            fail_msg("did not say \"%s\" but: %s", *words, said);
}
