/* Where the program's own files are: figures' scripts and experiments.
 *
 * Looked for in this order: the folder that $NBSGD_DATADIR names, and no other if it is set;
 * beside the executable as `make install` lays it out (bin/ and share/nbsgd/, wherever that was
 * moved); the source tree that the executable was built in; the folder of compile time (PREFIX). */
#ifndef BASE_PATHS_H
#define BASE_PATHS_H

#include <stdbool.h>
#include <stddef.h>

/* Writes the path of `name` ("plots/run.gp") to `path`; false if no readable file of that name is
 * found, or `path` is too small. */
bool data_path(char *path, size_t size, const char *name);

/* How one gets from folder `from` to `to`, a folder or a file, which both must be there: "../b/c";
 * "." where they are the same. False: one is not there, or `path` is too small. */
bool path_between(char *path, size_t size, const char *from, const char *to);

#endif
