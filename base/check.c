/* The ends of the program. Nothing here returns. */
#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int launched_rank(void)
{
    static const char *const names[] = {"PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK",
                                        "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return atoi(getenv(names[i]));
    return 0;
}

static void say(const char *where, const char *format, va_list args)
{
    char line[2048];
    vsnprintf(line, sizeof line, format, args);
    fflush(stdout);
    fprintf(stderr, "nbsgd: %s%s\n", where, line);
    fflush(stderr);
}

void fatal(const char *format, ...)
{
    char where[64] = "";
    if (launched_rank() > 0) {
        sleep(3); /* the first rank says it, and the launcher ends the others meanwhile */
        snprintf(where, sizeof where, "rank %d: ", launched_rank());
    }
    va_list args;
    va_start(args, format);
    say(where, format, args);
    va_end(args);
    exit(EXIT_USER);
}

static void place(char *text, size_t size)
{
    char host[128] = "?";
    gethostname(host, sizeof host - 1);
    snprintf(text, size, "rank %d on %s: ", launched_rank(), host);
}

void die(int code, const char *format, ...)
{
    char where[200];
    place(where, sizeof where);
    va_list args;
    va_start(args, format);
    say(where, format, args);
    va_end(args);
    exit(code);
}

void check_failed(const char *file, int line, const char *format, ...)
{
    char where[400], rank[200];
    place(rank, sizeof rank);
    snprintf(where, sizeof where, "%s%s:%d: ", rank, file, line);
    va_list args;
    va_start(args, format);
    say(where, format, args);
    va_end(args);
    exit(EXIT_WORLD);
}
