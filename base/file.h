/* Files that are written whole or not at all.
 *
 * A reader, and a crash at any moment, meet the old file or the new one, never a part of either. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stdio.h>

/* Calls write(file, self) on a new file beside `path` (PATH.<random>.part, which never replaces
 * another), brings it to the disk, gives it its name, and brings the folder to the disk.
 *
 * An old file's permissions stay; a new one has the umask's. A link is followed: the file that it
 * names is replaced, the link stays. Nothing but a plain file is replaced: for a folder errno is
 * EISDIR, for a device, FIFO or socket EOPNOTSUPP, for a link to nothing ENOENT.
 *
 * False and errno on failure, also when write() returns false (EIO unless it set errno); then the
 * old file is as it was, and nothing is left beside it. A program that is killed may leave the
 * .part file. */
bool file_write_whole(const char *path, bool (*write)(FILE *file, void *self), void *self);

#endif
