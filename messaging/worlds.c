/* The list of worlds. */
#include "messaging/worlds.h"

#include <string.h>

const struct world *const worlds[] = {
    &world_mpi,
    &world_sim,
    NULL,
};

const struct world *world_find(const char *name)
{
    for (int i = 0; worlds[i]; i++)
        if (!strcmp(worlds[i]->name, name))
            return worlds[i];
    return NULL;
}
