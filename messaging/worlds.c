/* The list of worlds. */
#include "messaging/worlds.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"

const struct world *const worlds[] = {
    &world_mpi,
    &world_sim,
    NULL,
};

const char *world_names(char *text, size_t size)
{
    *text = '\0';
    for (int i = 0; worlds[i]; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", i ? "|" : "", worlds[i]->name);
    }
    return text;
}

const struct world *world_find(const char *name)
{
    char names[100];
    for (int i = 0; worlds[i]; i++)
        if (!strcmp(worlds[i]->name, name))
            return worlds[i];
    fatal("--world %s: there is %s", name, world_names(names, sizeof names));
}
