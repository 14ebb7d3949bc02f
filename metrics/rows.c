/* The files of a folder of results: rows as they come, the others whole.
 *
 * A failure is said once a run, with its reason. Each file that has one is given up, so that it
 * ends with a whole row, and is named at the end and in summary.json. An earlier file is removed
 * first, or, where the name is a link, the link: what it leads to stays. A device is written to:
 * tests have their full disk so. */
#define _GNU_SOURCE /* asprintf */
#include "metrics/results.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"

static const struct rows_kind {
    const char *name, *columns; /* columns "": its rows are no CSV, and have no head */
    bool late;                  /* it comes with its first row */
} kinds[ROWS_FILES] = {
    [ROWS_EVALUATIONS] = {.name = "eval.csv",
                          .columns = "seconds,samples,updates,epoch,loss,top1,top5,training_loss,"
                                     "weight_norm\n"},
    [ROWS_EVENTS] = {.name = "events.jsonl", .columns = ""},
    [ROWS_CANDIDATES] = {.name = "candidates.csv",
                         .columns = "seconds,samples,updates,of,loss,top1,top5\n",
                         .late = true},
    [ROWS_WORKERS] = {.name = "workers.csv",
                      .columns = "seconds,samples,updates,distance,farthest,pairwise,mean_norm,"
                                 "relative_distance,relative_pairwise,best_top1,worst_top1,"
                                 "mean_top1\n",
                      .late = true},
    [ROWS_LOSSES] = {.name = "worker_losses.csv",
                     .columns = "seconds,samples,updates,worker,rank,used,loss\n",
                     .late = true},
};

void results_path(const struct results *r, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", r->folder, name);
}

void results_unwritten(struct results *r, const char *name)
{
    char *list = NULL;
    CHECK(asprintf(&list, "%s%s%s", r->unwritten ? r->unwritten : "", r->unwritten ? ", " : "",
                   name) >= 0,
          "no memory for the names of files");
    free(r->unwritten);
    r->unwritten = list;
}

void results_say_unwritten(const struct results *r)
{
    if (r->unwritten)
        fprintf(stderr, "nbsgd: NOT WRITTEN, or not in full: %s (results: %s)\n", r->unwritten,
                r->folder);
}

const char *results_unwritten_names(const struct results *r)
{
    return r ? r->unwritten : NULL;
}

static void failed(struct results *r, const char *name)
{
    if (!r->said)
        fprintf(stderr,
                "nbsgd: cannot write %s/%s (%s): what follows is lost, training goes on to its "
                "end\n",
                r->folder, name, strerror(errno));
    r->said = true;
    results_unwritten(r, name);
}

/* --- rows --- */

static void make_way(const char *path)
{
    struct stat s;
    bool leads = !stat(path, &s);
    if (leads ? S_ISREG(s.st_mode) : !lstat(path, &s))
        unlink(path);
}

/* A FIFO that nobody reads is an error, not a wait. */
static FILE *open_rows(const char *path)
{
    struct stat s;
    int way = stat(path, &s) || S_ISREG(s.st_mode) ? O_RDWR : O_WRONLY; /* cut_row() reads */
    int number = open(path, way | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    FILE *file = number < 0 ? NULL : fdopen(number, "a");
    if (number >= 0 && !file)
        close(number);
    return file;
}

/* What was written of a row that failed goes. */
static void cut_row(int file)
{
    struct stat s;
    char c = 0;
    if (fstat(file, &s) || !S_ISREG(s.st_mode))
        return;
    while (s.st_size && pread(file, &c, 1, s.st_size - 1) == 1 && c != '\n')
        s.st_size--;
    if (ftruncate(file, s.st_size))
        return; /* the reader of the file meets a part of a row */
}

static void give_up(struct results *r, enum rows_file which)
{
    struct rows *rows = &r->rows[which];
    failed(r, kinds[which].name);
    if (rows->file) {
        __fpurge(rows->file);
        cut_row(fileno(rows->file));
        fclose(rows->file);
    }
    *rows = (struct rows){.given_up = true};
}

static void begin_file(struct results *r, enum rows_file which)
{
    char path[PATH_SIZE];
    results_path(r, kinds[which].name, path, sizeof path);
    make_way(path);
    r->rows[which].file = open_rows(path);
    if (r->rows[which].file && *kinds[which].columns)
        fprintf(r->rows[which].file, "%s%s", r->head, kinds[which].columns);
    rows_end(r, which);
}

FILE *rows_begin(struct results *r, enum rows_file which)
{
    if (!r->rows[which].file && !r->rows[which].given_up)
        begin_file(r, which);
    return r->rows[which].file;
}

void rows_end(struct results *r, enum rows_file which)
{
    struct rows *rows = &r->rows[which];
    struct stat s;
    if (rows->given_up)
        return;
    if (!rows->file || fflush(rows->file) || ferror(rows->file) ||
        !disk_wrote(r->disk, DISK_ROWS, fileno(rows->file), rows->written))
        give_up(r, which);
    else if (r->disk && !fstat(fileno(rows->file), &s))
        rows->written = s.st_size;
}

/* What cannot be synced, as a device, need not be. */
static bool bring_to_disk(FILE *file)
{
    return !fflush(file) && (!fsync(fileno(file)) || errno == EINVAL || errno == EROFS);
}

void rows_close(struct results *r)
{
    for (int i = 0; i < ROWS_FILES; i++) {
        struct rows *rows = &r->rows[i];
        if (!rows->file)
            continue;
        bool whole = bring_to_disk(rows->file);
        int error = errno;
        if (fclose(rows->file)) {
            error = whole ? errno : error;
            whole = false;
        }
        *rows = (struct rows){.given_up = true};
        errno = error;
        if (!whole)
            failed(r, kinds[i].name);
    }
}

/* --- going on --- */

/* After a power cut a checkpoint that is whole must find its rows. */
void results_place(const struct results *r, struct results_place *place)
{
    struct stat s;
    *place = (struct results_place){.folder = r->folder};
    for (int i = 0; i < ROWS_FILES; i++)
        if (r->rows[i].file && !fstat(fileno(r->rows[i].file), &s)) {
            fdatasync(fileno(r->rows[i].file)); /* what cannot be synced is a device's */
            place->bytes[i] = s.st_size;
        }
}

/* The first bytes of that file. */
static bool copy_rows(FILE *to, const char *path, int64_t bytes)
{
    char block[1 << 14];
    FILE *from = file_open(path);
    while (from && bytes) {
        size_t wanted = bytes < (int64_t)sizeof block ? (size_t)bytes : sizeof block,
               read = fread(block, 1, wanted, from);
        if (!read || fwrite(block, 1, read, to) != read)
            break;
        bytes -= (int64_t)read;
    }
    if (from)
        fclose(from);
    return from && !bytes;
}

static void place_path(const struct results_place *place, enum rows_file which, char *path)
{
    snprintf(path, PATH_SIZE, "%s/%s", place->folder, kinds[which].name);
}

static void check_place(const struct results_place *place, enum rows_file which)
{
    char path[PATH_SIZE];
    struct stat s;
    place_path(place, which, path);
    if (stat(path, &s) || s.st_size < place->bytes[which])
        fatal("%s has fewer than the %lld bytes of rows that the checkpoint speaks of", path,
              (long long)place->bytes[which]);
}

/* How many of the first bytes are whole rows: a disk may have torn the last one, and told nobody.
 */
static int64_t whole_rows(const char *path, int64_t bytes)
{
    char c = '\n';
    int64_t whole = bytes;
    FILE *f = file_open(path);
    while (f && whole && !fseek(f, (long)whole - 1, SEEK_SET) && fread(&c, 1, 1, f) == 1 &&
           c != '\n')
        whole--;
    if (f)
        fclose(f);
    if (whole < bytes)
        fprintf(stderr,
                "nbsgd: %s: no row ends after %lld bytes, as the checkpoint says: a part "
                "of one is left out\n",
                path, (long long)bytes);
    return whole;
}

void rows_check(const struct results_place *resume)
{
    for (int i = 0; i < ROWS_FILES; i++)
        if (resume->bytes[i])
            check_place(resume, i);
}

/* In the same folder the file is cut to what it had then, elsewhere that is copied. */
static void go_on(struct results *r, enum rows_file which, const struct results_place *place)
{
    char path[PATH_SIZE], from[PATH_SIZE];
    struct stat old, new;
    results_path(r, kinds[which].name, path, sizeof path);
    place_path(place, which, from);
    int64_t bytes = whole_rows(from, place->bytes[which]);
    CHECK(!stat(from, &old), "%s: %s", from, strerror(errno));
    bool same = !stat(path, &new) && old.st_dev == new.st_dev &&old.st_ino == new.st_ino;
    if (!same)
        make_way(path);
    r->rows[which].file = open_rows(path);
    FILE *file = r->rows[which].file;
    if (file && !(same ? !ftruncate(fileno(file), bytes) : copy_rows(file, from, bytes)))
        give_up(r, which);
    rows_end(r, which);
}

void rows_open(struct results *r, const struct results_place *resume)
{
    for (int i = 0; i < ROWS_FILES; i++)
        if (resume && resume->bytes[i])
            go_on(r, i, resume);
        else if (!kinds[i].late)
            begin_file(r, i);
}

/* --- whole files --- */

struct whole {
    const char *head;
    void (*write)(FILE *file, const void *what);
    const void *what;
};

static bool write_whole(FILE *file, void *self)
{
    const struct whole *w = self;
    fputs(w->head, file);
    w->write(file, w->what);
    return !ferror(file);
}

static bool write_to_device(const char *path, struct whole *w)
{
    FILE *file = open_rows(path);
    bool written = file && write_whole(file, w) && !fflush(file);
    int error = errno;
    if (file && fclose(file) && written) {
        error = errno;
        written = false;
    }
    errno = error;
    return written;
}

void rows_write(struct results *r, const char *name, bool has_head,
                void (*write)(FILE *file, const void *what), const void *what)
{
    struct whole w = {.head = has_head ? r->head : "", .write = write, .what = what};
    char path[PATH_SIZE];
    struct stat s;
    results_path(r, name, path, sizeof path);
    bool device = !stat(path, &s) && !S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode);
    if (!device && !lstat(path, &s) && S_ISLNK(s.st_mode))
        unlink(path);
    if (!(device ? write_to_device(path, &w)
                 : file_write_on((struct file_place){r->disk, DISK_ROWS}, path, false, write_whole,
                                 &w)))
        failed(r, name);
}
