/* What `nbsgd COMMAND` can do: a file each, and a line in command.c's list. No command: train. */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include <signal.h>
#include <stddef.h>
#include <stdio.h>

#include "base/options.h"

struct command {
    const char *name, *summary;

    /* argv[0] is the program, the command's word is left out. Returns the exit code. Where a
     * signal has asked the program to stop, *stop_requested is 1. */
    int (*run)(int argc, char **argv, volatile sig_atomic_t *stop_requested);
};

extern const struct command *const commands[]; /* the first is the default; NULL at the end */

const struct command *command_find(const char *name); /* fatal when unknown, naming the nearest */

/* --- what commands share */

enum { MAX_OPTION_SETS = 63 };

struct option_sets {
    const struct option_set *list[MAX_OPTION_SETS + 1]; /* NULL at the end */
    int count;
};

/* The sets of all runs, and those of all members of all families. */
struct option_sets option_sets(void);

/* Those of the members that *o names are used by this run. */
void option_sets_use(struct options *o);

/* The members' names that an option takes, for options_parse(): "one|two"; "": any text. */
void option_choices(const char *option, char *text, size_t size);

void version_print(FILE *to);     /* the program, its backends and libraries */
const char *version_commit(void); /* that the program was built from */

#endif
