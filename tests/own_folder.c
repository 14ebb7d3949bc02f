#include "tests/own_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct place {
    char before[4096], folder[64];
};

int own_folder_enter(void **state)
{
    struct place *p = *state = calloc(1, sizeof *p);
    strcpy(p->folder, "/tmp/nbsgd-test-XXXXXX");
    return getcwd(p->before, sizeof p->before) && mkdtemp(p->folder) && !chdir(p->folder) ? 0 : 1;
}

int own_folder_leave(void **state)
{
    struct place *p = *state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", p->folder);
    int failed = chdir(p->before) || system(command);
    free(p);
    return failed;
}
