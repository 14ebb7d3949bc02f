/* What can be wrong with options before a world is opened. */
#ifndef COMMAND_CHECKS_H
#define COMMAND_CHECKS_H

#include "scheme/scheme.h"

/* Fatal on values that do not go together, whatever is run or printed. */
void check_values(const struct options *o);

/* Fatal on options that do not go together or have no effect in this run. `started`: processes that
 * the launcher started, 1 without one. */
void check_run(const struct options *o, const struct scheme *scheme, int started);

#endif
