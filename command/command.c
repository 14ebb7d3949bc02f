/* The list of commands. */
#include "command/command.h"

#include <string.h>

#include "base/check.h"

#define COMMANDS(X)                                                                                \
    X(train)                                                                                       \
    X(pack)                                                                                        \
    X(study)                                                                                       \
    X(tune)                                                                                        \
    X(folds)                                                                                       \
    X(topology)                                                                                    \
    X(report)                                                                                      \
    X(advise)                                                                                      \
    X(version)                                                                                     \
    X(witness)

#define DECLARE(name) extern const struct command command_##name;
COMMANDS(DECLARE)
#define ROW(name) &command_##name,
const struct command *const commands[] = {COMMANDS(ROW) NULL};

const struct command *command_find(const char *name)
{
    const char *names[32];
    int count = 0;
    for (int i = 0; commands[i]; i++) {
        if (!strcmp(commands[i]->name, name))
            return commands[i];
        names[count++] = commands[i]->name;
    }
    const char *near = options_nearest(name, names, count);
    fatal("unknown command '%s'%s%s%s (--help lists all)", name, near ? "; did you mean '" : "",
          near ? near : "", near ? "'?" : "");
}
