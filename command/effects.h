/* Options that every run has, but that do nothing in some. */
#ifndef COMMAND_EFFECTS_H
#define COMMAND_EFFECTS_H

#include "scheme/scheme.h"

/* Fatal when the command line gave one that has no effect in this run, naming where it has. Files
 * may hold it: a file may serve several runs. */
void check_effects(const struct options *o, const struct scheme *scheme);

#endif
