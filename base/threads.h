/* How threads of one loop wait for each other. */
#ifndef BASE_THREADS_H
#define BASE_THREADS_H

/* Makes OpenMP's threads sleep soon where they wait, unless the environment says how they are to
 * wait (OMP_WAIT_POLICY, GOMP_SPINCOUNT). The first thing in main(): it may start the program anew,
 * with the same process and descriptors. Does nothing where that fails. */
void threads_sleep_soon(char **argv);

#endif
