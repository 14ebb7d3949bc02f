#include "data_loader/cifar_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/file.h"
#include "base/text.h"

enum { CHUNK = 100, MOST_CLASSES = 100 };

/* A half of a data set, while it is read. */
struct reader {
    const struct cifar *c;
    const char *path;
    int record, records; /* bytes of a record; records of the file */
    uint8_t *chunk;
};

_Noreturn static void refuse_length(const struct reader *r, const char *found)
{
    char expected[TEXT_NUMBER];
    text_number(expected, (int64_t)r->records * r->record);
    fatal("%s: %s bytes expected, %s found; fetch it again with data_loader/fetch %s FOLDER and "
          "give --data FOLDER",
          r->path, expected, found, r->c->name);
}

_Noreturn static void refuse_labels(const struct reader *r, const char *expected, const char *found)
{
    fatal("%s: %s expected, %s found; remove it, fetch it again with data_loader/fetch %s FOLDER "
          "and give --data FOLDER",
          r->path, expected, found, r->c->name);
}

static FILE *open_checked(const struct reader *r)
{
    char found[128];
    FILE *file = file_open(r->path);
    if (!file) {
        snprintf(found, sizeof found, "nothing (%s)", strerror(errno));
        refuse_length(r, found);
    }
    struct stat about;
    CHECK(!fstat(fileno(file), &about), "%s: %s", r->path, strerror(errno));
    if (!S_ISREG(about.st_mode))
        refuse_length(r, S_ISDIR(about.st_mode) ? "a folder" : "no plain file");
    if (about.st_size != (off_t)r->records * r->record)
        refuse_length(r, text_number(found, about.st_size));
    return file;
}

static void check_label(const struct reader *r, int record, uint8_t label, int classes)
{
    char expected[64], found[64];
    if (label < classes)
        return;
    snprintf(expected, sizeof expected, "labels 0 to %d", classes - 1);
    snprintf(found, sizeof found, "%d in record %d", label, record);
    refuse_labels(r, expected, found);
}

static void check_classes(const struct reader *r, const bool *seen, int classes)
{
    char expected[64], found[64];
    for (int c = 0; c < classes; c++) {
        snprintf(expected, sizeof expected, "images of all %d classes", classes);
        snprintf(found, sizeof found, "none of class %d", c);
        if (!seen[c])
            refuse_labels(r, expected, found);
    }
}

/* Reads and checks all of one file; the first `wanted` records go to pixels and labels. */
static void read_file(const struct reader *r, int label, int64_t wanted, uint8_t *pixels,
                      int32_t *labels)
{
    const struct cifar *c = r->c;
    bool seen[CIFAR_LABELS][MOST_CLASSES] = {{false}};
    FILE *file = open_checked(r);
    for (int i = 0; i < r->records; i++) {
        const uint8_t *record = r->chunk + (size_t)(i % CHUNK) * (size_t)r->record;
        if (i % CHUNK == 0)
            CHECK(fread(r->chunk, (size_t)r->record, CHUNK, file) == CHUNK,
                  "%s: cannot be read beyond record %d (%s)", r->path, i,
                  ferror(file) ? strerror(errno) : "it has become shorter");
        for (int k = 0; k < c->labels; k++) {
            check_label(r, i, record[k], c->classes[k]);
            seen[k][record[k]] = true;
        }
        if (i < wanted) {
            labels[i] = record[label];
            memcpy(pixels + (int64_t)i * CIFAR_IMAGE, record + c->labels, CIFAR_IMAGE);
        }
    }
    fclose(file);
    for (int k = 0; k < c->labels; k++)
        check_classes(r, seen[k], c->classes[k]);
}

enum fit cifar_recognises(const struct cifar *c, const char *folder, char place[FOLDER_PATH])
{
    const char *inner = folder_inner(folder, c->folders, c->files);
    return folder_count(folder, inner, c->files) && folder_join(place, folder, inner, "")
               ? FIT_FORM
               : FIT_NONE;
}

void cifar_open(const struct cifar *c, int label, struct dataset *d,
                const struct dataset_options *o)
{
    if (!o->folder || !*o->folder)
        fatal("%s needs the folder of its files: give --data FOLDER (data_loader/fetch %s FOLDER "
              "fills one)",
              c->name, c->name);
    const char *const *names = o->train ? c->files : c->files + c->training_files;
    const char *inner = folder_inner(o->folder, c->folders, c->files);
    char path[FOLDER_PATH];
    struct reader r = {
        .c = c, .path = path, .record = c->labels + CIFAR_IMAGE, .records = c->records[o->train]};
    int files = o->train ? c->training_files : 1;
    int32_t *labels;
    uint8_t *pixels;
    d->classes = c->classes[label];
    dataset_alloc(d, o, (int64_t)files * r.records, &labels, &pixels);
    r.chunk = xcalloc(CHUNK, (size_t)r.record);
    for (int i = 0; i < files; i++) {
        int64_t before = (int64_t)i * r.records, first = before < d->count ? before : d->count;
        folder_path(path, o->folder, inner, names[i]);
        read_file(&r, label, d->count - first, pixels + first * CIFAR_IMAGE, labels + first);
    }
    xfree(r.chunk);
    snprintf(d->source, sizeof d->source, "%s, %s samples, from %s", c->title,
             o->train ? "training" : "test", o->folder);
}
