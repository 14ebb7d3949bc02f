#define _GNU_SOURCE /* strcasestr */
#include "data_loader/idx.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/text.h"
#include "data_loader/packed_file.h"

enum { IMAGES, LABELS, DIMS = 3, IMAGE = IDX_SIDE * IDX_SIDE, LABELS_MOST = 1 << 20 };

static const char *const files[] = {
    "t10k-images-idx3-ubyte",     "t10k-labels-idx1-ubyte",     "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",    "t10k-images-idx3-ubyte.gz",  "t10k-labels-idx1-ubyte.gz",
    "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", NULL};

enum { PACKED = 4 }; /* of a file's number: the same, packed */

/* The path of a half's file, plain or packed; where both are, plain. */
static void path_of(char path[FOLDER_PATH], const char *folder, const char *inner, bool train,
                    int what)
{
    int plain = 2 * train + what;
    folder_path(path, folder, inner, files[plain]);
    if (access(path, F_OK))
        folder_path(path, folder, inner, files[plain + PACKED]);
}

static bool is_known(const struct idx_set *s, const char *folder, const char *inner)
{
    char path[FOLDER_PATH];
    uint32_t crc;
    for (int train = 0; train < 2; train++) {
        path_of(path, folder, inner, train, LABELS);
        if (packed_crc(path, LABELS_MOST, &crc) && crc == s->labels_crc[train])
            return true;
    }
    return false;
}

enum fit idx_recognises(const struct idx_set *s, const char *folder, char place[FOLDER_PATH])
{
    char longest[FOLDER_PATH];
    const char *inner = folder_inner(folder, s->folders, files);
    if (!folder_join(longest, folder, inner, files[2 + PACKED]) ||
        !folder_count(folder, inner, files))
        return FIT_NONE;
    folder_join(place, folder, inner, "");
    if (is_known(s, folder, inner))
        return FIT_CONTENT;
    return s->word && strcasestr(place, s->word) ? FIT_NAME : FIT_FORM;
}

static uint32_t number(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Opens a file of that many dimensions, and reads its head; returns its first dimension. */
static int64_t read_head(struct packed_file *f, int dims)
{
    uint8_t head[4 + 4 * DIMS];
    const uint32_t magic = 0x800u + (uint32_t)dims;
    packed_read(f, head, 4);
    if (number(head) != magic)
        packed_refuse(f,
                      "IDX's magic number 0x%08x (unsigned bytes, %d dimension%s) expected, "
                      "0x%08x found",
                      magic, dims, dims > 1 ? "s" : "", number(head));
    packed_read(f, head + 4, 4 * dims);
    int64_t count = number(head + 4);
    if (dims == DIMS && (number(head + 8) != IDX_SIDE || number(head + 12) != IDX_SIDE))
        packed_refuse(f, "images of %d x %d expected, %u x %u found", IDX_SIDE, IDX_SIDE,
                      number(head + 8), number(head + 12));
    if (!count || count > INT32_MAX)
        packed_refuse(f, "1 to %d samples expected, its head says %lld", INT32_MAX,
                      (long long)count);
    if (count * (dims == DIMS ? IMAGE : 1) > packed_most(f))
        packed_refuse(f, "its head says %lld samples, which is more than it can hold",
                      (long long)count);
    return count;
}

static void read_labels(struct packed_file *f, int64_t count, uint8_t *labels)
{
    bool seen[IDX_CLASSES] = {false};
    packed_read(f, labels, count);
    for (int64_t i = 0; i < count; i++) {
        if (labels[i] >= IDX_CLASSES)
            packed_refuse(f, "labels 0 to %d expected, %d in sample %lld found", IDX_CLASSES - 1,
                          labels[i], (long long)i);
        seen[labels[i]] = true;
    }
    for (int c = 0; c < IDX_CLASSES; c++)
        if (!seen[c])
            packed_refuse(f, "images of all %d classes expected, none of class %d found",
                          IDX_CLASSES, c);
}

void idx_open(const struct idx_set *s, struct dataset *d, const struct dataset_options *o)
{
    char images_path[FOLDER_PATH], labels_path[FOLDER_PATH], remedy[160];
    snprintf(remedy, sizeof remedy,
             "fetch it again with data_loader/fetch %s FOLDER and give --data FOLDER", s->name);
    if (!o->folder || !*o->folder)
        fatal("%s needs the folder of its files: give --data FOLDER (data_loader/fetch %s FOLDER "
              "fills one)",
              s->name, s->name);
    const char *inner = folder_inner(o->folder, s->folders, files);
    path_of(images_path, o->folder, inner, o->train, IMAGES);
    path_of(labels_path, o->folder, inner, o->train, LABELS);
    struct packed_file *images = packed_open(images_path, remedy),
                       *labels = packed_open(labels_path, remedy);
    const int64_t all = read_head(images, DIMS), labelled = read_head(labels, 1);
    if (all != labelled)
        packed_refuse(labels, "%lld labels expected, as many as there are images, %lld found",
                      (long long)all, (long long)labelled);
    uint8_t *read = xcalloc((size_t)all, 1), *pixels;
    int32_t *list;
    read_labels(labels, all, read);
    dataset_alloc(d, o, all, &list, &pixels);
    packed_read(images, pixels, d->count * IMAGE);
    packed_read(images, NULL, (all - d->count) * IMAGE);
    for (int64_t i = 0; i < d->count; i++)
        list[i] = read[i];
    xfree(read);
    const bool published = (packed_close(images) == s->images_crc[o->train]) &
                           (packed_close(labels) == s->labels_crc[o->train]);
    snprintf(d->source, sizeof d->source, "%s%s, %s samples, from %s", s->title,
             published ? "" : "'s form, but NOT its published images and labels",
             o->train ? "training" : "test", o->folder);
}
