/* What a cell's digest takes in beside options: the data's own bytes, and of runs by the real clock
 * what decides a time. */
#ifndef COMMAND_CELL_CONDITIONS_H
#define COMMAND_CELL_CONDITIONS_H

#include <stdio.h>

#include "base/digest.h"
#include "base/options.h"

struct cell_data {
    const char *kind; /* NULL: the problem has no data set */
    bool in_files;    /* else generated: the options say all */
    bool was_known;
    char *which; /* what is read, in a line; to be freed */
    char digest[DIGEST_TEXT];
};

/* `known`: lines "data DIGEST WHICH" of data that were read before, which are not read again. Fatal
 * where the data cannot be read. */
struct cell_data cell_data_of(const struct options *o, const char *known);

/* Lines "# NAME: WHAT", for study_program.configure(). `processes`: 0: simulated. */
void cell_conditions_write(const struct options *o, const struct cell_data *d, int processes,
                           FILE *to);

#endif
