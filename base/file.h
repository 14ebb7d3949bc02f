/* Files that are written whole or not at all, and files that are written as they come.
 *
 * Of a file that is written whole a reader, and a crash at any moment, meet the old one or the new
 * one, never a part of either. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/disk.h"

/* Calls write(file, self) on a new file beside `path` (PATH.<random>.part, which never replaces
 * another), brings it to the disk, gives it its name, and brings the folder to the disk.
 *
 * An old file's permissions stay, and its owner as far as this user may; a new one has the umask's.
 * A link is followed: the file that it names is replaced, the link stays. Nothing but a plain file
 * is replaced: for a folder errno is EISDIR, for a device, FIFO or socket EOPNOTSUPP, for a link to
 * nothing ENOENT.
 *
 * False and errno on failure, also when write() returns false (EIO unless it set errno); then the
 * old file is as it was, and nothing is left beside it. A program that is killed may leave the
 * .part file. */
bool file_write_whole(const char *path, bool (*write)(FILE *file, void *self), void *self);

/* The same where there must be no file yet: of several programs that write one at once a single one
 * succeeds, for the others errno is EEXIST. */
bool file_write_new(const char *path, bool (*write)(FILE *file, void *self), void *self);

struct file_place { /* where it is written, for the disk's account; disk NULL: the real one */
    struct disk *disk;
    enum disk_files files;
};

/* file_write_whole(), or with `fresh` file_write_new(), on that disk. */
bool file_write_on(struct file_place place, const char *path, bool fresh,
                   bool (*write)(FILE *file, void *self), void *self);

/* Could file_write_whole() write it? Makes a file beside it and removes that. False and errno as
 * above. */
bool file_try(const char *path);

/* Opens a file that is written as it comes, and holds a lock on it (flock) until it is closed. What
 * is in a plain file is cut off when `overwrite` says so; else it must be empty (EEXIST). EBUSY:
 * another program holds the lock. Links are followed; a device is written to as it is. NULL and
 * errno on failure. */
FILE *file_begin(const char *path, bool overwrite);

/* Opens for reading, and never waits: fopen() of a pipe that nobody writes into would, for ever.
 * Who needs a plain file asks whether it is one. NULL and errno on failure. */
FILE *file_open(const char *path);

/* The same for a text, which may come by a pipe (`<(..)`): a minute is waited for its first byte.
 * Else errno is ETIMEDOUT; EINTR: a signal came meanwhile. */
FILE *file_open_text(const char *path);

/* Says why file_open_text() failed, or a read after it. */
const char *file_why(int error);

/* Makes the folders above `path` that are not there. Who then makes or opens it finds out whether
 * that could be done. */
void file_make_parents(const char *path);

#endif
