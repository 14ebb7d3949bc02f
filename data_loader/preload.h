/* Copies of files on a disk of the host's own, for the time of a run.
 *
 * DIR/nbsgd-USER-HASH/ has them, HASH being that of the first path. Whoever comes first on a host
 * copies, says how far, and checks; the others of the host wait for it by a lock on a file there,
 * which the system takes from a process that dies. A copy that broke off is gone on with. Who
 * leaves last removes all; a run that was killed leaves them to the next. */
#ifndef DATA_LOADER_PRELOAD_H
#define DATA_LOADER_PRELOAD_H

struct preload;

/* where: a folder, or "yes": $SLURM_TMPDIR, else $TMPDIR. paths[count], at least one, are
 * borrowed for the call. Fatal without room, or where a file is damaged. */
struct preload *preload_open(const char *where, char *const *paths, int count);

const char *preload_path(const struct preload *p, int i); /* of the copy */
void preload_close(struct preload *p);

#endif
