/* A disk that fails as it was told to: what a simulated run's files meet under --faults. The real
 * one is NULL.
 *
 * Whoever writes a file of one of these kinds says so when its bytes have been handed over, before
 * they are synced and get their name: disk_wrote() then does to them what is planned. */
#ifndef BASE_DISK_H
#define BASE_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum disk_files {            /* what is written; each has a count of its own */
                  DISK_ROWS, /* a row, or a file that is written at once, of a folder of results */
                  DISK_WEIGHTS, /* a file of --save, or of the best weights */
                  /* a file of a checkpoint that resuming reads: state, its note, manifest */
                  DISK_CHECKPOINT,
                  DISK_FILES
};

enum disk_harm {
    DISK_FULL,   /* one half is written, then there is no room: ENOSPC */
    DISK_TORN,   /* one half is written, and nobody is told */
    DISK_FLIPPED /* all is written but for one bit, and nobody is told */
};

struct disk_fault {
    enum disk_files files;
    int64_t number; /* it strikes the number-th of these that is written, from 1, */
    int64_t count;  /* and so many in a row */
    enum disk_harm harm;
    bool struck; /* set by the disk */
};

struct disk; /* each kind of file is written by one thread at a time */

/* Borrows the list until disk_close(). */
struct disk *disk_open(struct disk_fault *list, int count);
void disk_close(struct disk *d);

/* The bytes from `from` to the end of that open file were written. False and errno: that failed. Of
 * a disk that is NULL: true, at no cost. */
bool disk_wrote(struct disk *d, enum disk_files files, int file, off_t from);

#endif
