/* Harm is done to the file itself, so that whoever reads it later meets it. */
#include "base/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"

struct disk {
    struct disk_fault *list;
    int count;
    int64_t written[DISK_FILES];
};

struct disk *disk_open(struct disk_fault *list, int count)
{
    struct disk *d = xcalloc(1, sizeof *d);
    d->list = list;
    d->count = count;
    return d;
}

void disk_close(struct disk *d)
{
    xfree(d);
}

/* In its middle. Of a device, or where nothing was written, nothing is harmed. */
static void spoil(enum disk_harm what, int file, off_t from)
{
    struct stat s;
    unsigned char byte;
    if (fstat(file, &s) || !S_ISREG(s.st_mode) || s.st_size <= from)
        return;
    off_t middle = from + (s.st_size - from) / 2;
    bool done = what == DISK_FLIPPED ? pread(file, &byte, 1, middle) == 1 &&
                                           (byte ^= 1, pwrite(file, &byte, 1, middle) == 1)
                                     : !ftruncate(file, middle);
    CHECK(done, "a file could not be spoiled: %s", strerror(errno));
}

/* By a descriptor of its own, which neither appends nor is for writing alone. */
static bool harm(enum disk_harm what, int file, off_t from)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    int own = open(path, O_RDWR | O_CLOEXEC);
    if (own >= 0) {
        spoil(what, own, from);
        close(own);
    }
    errno = ENOSPC;
    return what != DISK_FULL;
}

bool disk_wrote(struct disk *d, enum disk_files files, int file, off_t from)
{
    bool whole = true;
    if (!d)
        return true;
    int64_t number = ++d->written[files];
    for (int i = 0; i < d->count; i++) {
        struct disk_fault *f = &d->list[i];
        if (f->files != files || number < f->number || number - f->number >= f->count)
            continue;
        f->struck = true;
        whole &= harm(f->harm, file, from);
    }
    return whole;
}
