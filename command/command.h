/* What `nbsgd COMMAND` can do: a file each, and a line in command.c's list. No command: train. */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include <signal.h>
#include <stddef.h>
#include <stdio.h>

#include "base/options.h"

struct stop { /* signals ask the program to stop: SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 */
    volatile sig_atomic_t signal; /* the last that came; 0: none has */
    /* The command's: from now on it heeds them. Until then, and when it has taken that back, a
     * signal ends the process at once. So does a second one, a second or more after the first. */
    volatile sig_atomic_t saves;
};

struct command {
    const char *name, *summary;

    /* argv[0] is the program, the command's word is left out. Returns the exit code. */
    int (*run)(int argc, char **argv, struct stop *stop);
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
const char *version_number(void); /* "0.2.0" */
const char *version_commit(void); /* that the program was built from */

/* Where run.s supervises this run (command/witness.c): tell it where the results are, and with what
 * code this process exits, should that be bad. The latter after the launcher's world was joined: on
 * exit it comes before that is left. */
void witness_tell_results(const char *folder);
void witness_tell_end(void);

#endif
