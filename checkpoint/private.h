/* What the files of checkpoint/ share.
 *
 *   checkpoint.c  one that is there: found, judged, read
 *   manifest.c    its manifest, as a flat list of names and values
 *   state_file.c  rank-N.safetensors, written and read
 *   folder.c      names of folders, what is brought to the disk, what is removed
 *   writer.c      a cut: the copy, and the thread that writes it
 *   complete.c    what makes it whole, at rank 0
 *   options.c     --checkpoint-every */
#ifndef CHECKPOINT_PRIVATE_H
#define CHECKPOINT_PRIVATE_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/digest.h"
#include "checkpoint/checkpoint.h"

enum { CHECKPOINT_FORMAT = 2, WHY_SIZE = 600 };

struct mapped { /* a file in memory, read only */
    const uint8_t *bytes;
    size_t size;
};

/* A plain file. False: why[] says what is wrong. */
bool file_map(struct mapped *m, const char *path, char *why, size_t why_size);
void file_unmap(struct mapped *m);

/* --- state_file.c --- */

struct file_mark { /* what a file has, so that it is known again */
    uint64_t bytes, digest;
};

/* A safetensors file of the list; 64-bit numbers first, so that all lies aligned. False and
 * errno. */
bool state_file_write(FILE *file, const struct kept *list, int count, struct file_mark *mark);

/* The list of such a file, by name; memory lies in it. To be released by xfree(). NULL: why[] says
 * what is wrong. Every name is there once, and the tensors fill the file without gaps. */
struct kept *state_file_read(const struct mapped *file, int *count, char *why, size_t why_size);
const struct kept *state_file_find(const struct kept *list, int count, const char *name);

/* --- manifest.c --- */

struct manifest_field {
    char *name, *value; /* "options/batch", "256" */
};

struct manifest {
    struct manifest_field *field;
    int fields, room;
};

/* From the text of a JSON object: objects within become names with '/', lists names with their
 * numbers. False: why[] says what is wrong. */
bool manifest_parse(struct manifest *m, const uint8_t *text, size_t size, char *why,
                    size_t why_size);
void manifest_close(struct manifest *m);
const char *manifest_value(const struct manifest *m, const char *name); /* NULL: there is none */
/* A whole number from 0 up; false: it is missing, or no such. */
bool manifest_number(const struct manifest *m, const char *name, uint64_t *number);
bool manifest_digest(const struct manifest *m, const char *name, uint64_t *digest);

/* The line that ends a manifest: the digest of all bytes before it. */
enum { MANIFEST_END = 39 };
void manifest_end(char end[MANIFEST_END + 1], const char *text, size_t size);
/* Is it there, and right? Then *size becomes that of the JSON before it, which the end closes. */
bool manifest_is_whole(const struct mapped *file, char *why, size_t why_size);

/* --- writer.c --- */

struct checkpoint_writer {
    struct checkpoint_writer_options o;
    char *folder;
    char part[PATH_MAX]; /* the folder of the one that is being written */
    pthread_t thread;
    bool started;              /* it is to be joined */
    _Atomic bool busy, failed; /* failed: one of them, or more */
    _Atomic bool closes;       /* the run ends: the others are not waited for long */
    _Atomic bool gives_up;     /* a newer one is to be written, or a rank is lost: nor at all */
    _Atomic int64_t written;
    char *copy; /* of the state */
    size_t room;
    struct kept *list; /* with memory in the copy */
    int count, list_room;
    int64_t number, samples;
    int64_t removed; /* rank 0: no folder of that number, or of one before it, is left */
    char *manifest;
};

/* --- complete.c --- */

enum { NAME_SIZE = 64 };

/* The folder in which checkpoint `number` is written. False and errno: it is too long. */
bool writer_part(const struct checkpoint_writer *w, int64_t number, char path[PATH_MAX]);
/* Of a file in the folder that is being written. False and errno: it is too long. */
bool writer_path(const struct checkpoint_writer *w, const char *name, char path[PATH_MAX]);
/* What failed, with errno's reason. It counts, also where a newer one is to be written. */
void writer_failed(struct checkpoint_writer *w, const char *what);
/* A file there that is on the disk when it has its name. False and errno on failure. */
bool writer_file(const struct checkpoint_writer *w, const char *name,
                 bool (*write)(FILE *file, void *self), void *self);

struct text {
    const char *bytes;
    size_t size;
};

bool write_text(FILE *file, void *self); /* a struct text */

/* Rank 0: waits for all ranks' files, and makes the folder whole. A failure was said. */
bool writer_complete(struct checkpoint_writer *w);
/* Rank 0: removes what is left of those up to number `last`, to which no rank writes any more. */
void writer_remove_given_up(struct checkpoint_writer *w, int64_t last);

/* --- folder.c --- */

enum { NUMBER_DIGITS = 12 };

void folder_name(char name[64], int64_t samples); /* "samples-000000012800" */
/* The samples of such a name, -1: it is none. */
int64_t folder_samples(const char *name);
bool folder_make(const char *path);   /* with those above it; fine where it is there. errno */
bool folder_sync(const char *path);   /* true also where the file system cannot; errno */
bool folder_remove(const char *path); /* with the files in it; errno */
/* All checkpoints in the folder by their names, oldest first; to be released by free(). */
int64_t *folder_list(const char *folder, int *count);

#endif
