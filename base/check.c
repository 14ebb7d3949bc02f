/* The ends of the program. Nothing here returns. */
#include "base/check.h"

#include <ctype.h>
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

/* Names come from files and from other ranks: nothing of theirs may steer a terminal, or begin a
 * line. */
static void clean(char *line)
{
    for (char *c = line; *c; c++)
        if (iscntrl((unsigned char)*c))
            *c = isspace((unsigned char)*c) ? ' ' : '?';
}

static void say_line(const char *where, char *line)
{
    clean(line);
    fflush(stdout);
    fprintf(stderr, "nbsgd: %s%s\n", where, line);
    fflush(stderr);
}

static void say(const char *where, const char *format, va_list args)
{
    char line[FATAL_LINE];
    vsnprintf(line, sizeof line, format, args);
    say_line(where, line);
}

/* One rank says it: the first, which ends all. It hears what is wrong with another one by
 * mpi_report(). */
void fatal(const char *format, ...)
{
    char line[FATAL_LINE] = "";
    int rank = launched_rank(), used = 0;
    va_list args;
    if (rank > 0)
        used = snprintf(line, sizeof line, "rank %d: ", rank);
    va_start(args, format);
    vsnprintf(line + used, sizeof line - (size_t)used, format, args);
    va_end(args);
    if (rank > 0 && mpi_report)
        mpi_report(line);
    say_line("", line);
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
