/* What `nbsgd COMMAND` can do: a file each, and a line in command.c's list. No command: train. */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include "base/options.h"

enum { MAX_OPTION_SETS = 63 };

struct option_sets {
    const struct option_set *list[MAX_OPTION_SETS + 1]; /* NULL at the end */
    int count;
};

/* The sets of all runs, and those of all members of all families. */
struct option_sets option_sets(void);

#endif
