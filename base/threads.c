/* gcc's OpenMP lets a thread that waits spin for 300,000 turns, some milliseconds. Beside another
 * busy process it takes the core from the thread that it waits for, once a loop. libgomp reads how
 * long to spin when it is loaded, before main(): so the variable is set, and the program executed
 * again, by its own name, which ps and pkill show. Cost: some milliseconds at the start; a wake-up
 * where a wait is longer than SPINS. */
#include "base/threads.h"

#include <stdlib.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static const char spins[] = "1000"; /* some 20 us: from one loop of a network to the next */

void threads_sleep_soon(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    char path[PATH_SIZE];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (setenv("GOMP_SPINCOUNT", spins, 1))
        return;
    if (length > 0) {
        path[length] = '\0';
        execv(path, argv);
    }
    execv("/proc/self/exe", argv); /* its file has been moved or deleted */
}
