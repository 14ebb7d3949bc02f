/* Images in shards: our own, made by `nbsgd pack`, or WebDataset's tar archives. DIR has files
 * train*.shard and val*.shard (or test*), or the same with .tar.
 *
 * The index of all is read when training begins, images when they are needed. --preload copies the
 * files to a disk of the host first (data_loader/preload.h). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/digest.h"
#include "base/random.h"
#include "data_loader/kinds.h"
#include "data_loader/bundle.h"
#include "data_loader/preload.h"
#include "data_loader/rendering.h"
#include "data_loader/samples.h"

struct shards_options {
    struct rendering_options;
    const char *preload;
};

struct file_list {
    char **path; /* [count], sorted */
    int count;
};

struct shard_set {
    struct file_list files;
    int *descriptor; /* [files.count] */
    struct bundle_list list;
    const char **class_names;
    struct rendering *rendering;
    struct preload *preload; /* NULL: none */
    struct unread unread;
};

static bool begins(const char *name, const char *half)
{
    return !strncmp(name, half, strlen(half));
}

static bool ends(const char *name, const char *ending)
{
    size_t length = strlen(name), end = strlen(ending);
    return length > end && !strcmp(name + length - end, ending);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Files of the folder whose names begin with `half` and end with `ending`. */
static struct file_list list_files(const char *folder, const char *half, const char *ending)
{
    struct file_list l = {NULL, 0};
    int room = 0;
    DIR *entries = opendir(folder);
    for (struct dirent *e; entries && (e = readdir(entries));) {
        char path[FOLDER_PATH];
        if (!begins(e->d_name, half) || !ends(e->d_name, ending) ||
            !folder_join(path, folder, "", e->d_name))
            continue;
        if (l.count == room) {
            char **larger = xcalloc((size_t)(2 * room + 16), sizeof *larger);
            if (room)
                memcpy(larger, l.path, (size_t)room * sizeof *larger);
            xfree(l.path);
            l.path = larger;
            room = 2 * room + 16;
        }
        l.path[l.count] = xcalloc(strlen(path) + 1, 1);
        strcpy(l.path[l.count++], path);
    }
    if (entries)
        closedir(entries);
    if (l.count)
        qsort(l.path, (size_t)l.count, sizeof *l.path, by_name);
    return l;
}

static void free_files(struct file_list *l)
{
    for (int i = 0; i < l->count; i++)
        xfree(l->path[i]);
    xfree(l->path);
}

/* Shards, else archives. */
static struct file_list list_half(const char *folder, const char *half)
{
    struct file_list l = list_files(folder, half, ".shard");
    return l.count ? l : list_files(folder, half, ".tar");
}

static enum fit recognises(const char *folder, char place[FOLDER_PATH])
{
    struct file_list l = list_half(folder, "train");
    bool there = l.count;
    free_files(&l);
    snprintf(place, FOLDER_PATH, "%.4000s", folder);
    return there ? FIT_FORM : FIT_NONE;
}

static struct file_list find_test(const char *folder)
{
    struct file_list l = list_half(folder, "val");
    return l.count ? l : list_half(folder, "test");
}

static bool has_test(const char *folder)
{
    struct file_list l = find_test(folder);
    bool there = l.count;
    free_files(&l);
    return there;
}

static struct file_list list_test(const char *folder)
{
    struct file_list l = find_test(folder);
    if (!l.count)
        fatal("%s: no val*.shard, val*.tar, test*.shard or test*.tar is there: put the images to "
              "judge by there, or hold out a part of the others (--val-split 0.1 --evaluate val)",
              folder);
    return l;
}

/* All parts of a set must be there, each once. */
static void check_numbers(const struct file_list *files, const int *number, const int *of)
{
    bool *seen = xcalloc((size_t)of[0], sizeof *seen);
    int missing = 0;
    for (int i = 0; i < files->count; i++) {
        if (of[i] != of[0] || seen[number[i]])
            fatal("%s and %s are of two packings: leave one set in the folder", files->path[0],
                  files->path[i]);
        seen[number[i]] = true;
    }
    while (missing < of[0] && seen[missing])
        missing++;
    xfree(seen);
    if (missing < of[0])
        fatal("%s: of %d shards number %d is missing; copy or pack it anew", files->path[0], of[0],
              missing);
}

static void read_lists(struct bundle_list *l, const struct file_list *files)
{
    int *number = xcalloc(2 * (size_t)files->count, sizeof *number), *of = number + files->count;
    for (int i = 0; i < files->count; i++)
        if (bundle_is_shard(files->path[i]))
            shard_read(l, files->path[i], i, &number[i], &of[i]);
        else
            tar_read(l, files->path[i], i);
    if (bundle_is_shard(files->path[0]))
        check_numbers(files, number, of);
    xfree(number);
    if (!l->count)
        fatal("%s: no image is in %s", files->path[0],
              files->count > 1 ? "it and those beside it" : "it");
    if (l->count > INT32_MAX)
        fatal("%s: %lld images; %d are the most", files->path[0], (long long)l->count, INT32_MAX);
}

/* Keeps `limit` of the images, drawn by a fixed key, in their order. */
static void draw_limit(struct bundle_list *l, int64_t limit)
{
    int64_t kept = 0;
    bool *stays = samples_draw_limit(l->count, limit);
    for (int64_t i = 0; i < l->count; i++)
        if (!stays || stays[i])
            l->image[kept++] = l->image[i];
    l->count = kept;
    xfree(stays);
}

static void name_classes(struct shard_set *s, struct dataset *d)
{
    if (!s->list.names)
        return;
    d->class_names = s->class_names = xcalloc((size_t)s->list.classes, sizeof *s->class_names);
    const char *at = s->list.names;
    for (int c = 0; c < s->list.classes; c++, at += strlen(at) + 1)
        s->class_names[c] = at;
}

/* An archive says no more of the classes than its own labels do. */
static void count_classes(struct shard_set *s, const struct dataset_options *o)
{
    struct file_list training = {NULL, 0};
    struct bundle_list of_training = {.count = 0};
    if (!o->train && !s->list.names) {
        training = list_half(o->folder, "train");
        read_lists(&of_training, &training);
    }
    if (of_training.classes) {
        if (s->list.classes > of_training.classes)
            fatal("%s: it has label %d, and the training images have %d classes", s->files.path[0],
                  s->list.classes - 1, of_training.classes);
        s->list.classes = of_training.classes;
    }
    bundle_close(&of_training);
    free_files(&training);
}

static void open_files(struct shard_set *s)
{
    s->descriptor = xcalloc((size_t)s->files.count, sizeof *s->descriptor);
    for (int i = 0; i < s->files.count; i++) {
        const char *path = s->preload ? preload_path(s->preload, i) : s->files.path[i];
        s->descriptor[i] = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (s->descriptor[i] < 0)
            fatal("%s: it cannot be opened: %s", path, strerror(errno));
    }
}

static void open_set(struct dataset *d, const struct dataset_options *o)
{
    const struct shards_options *own = o->own;
    struct shard_set *s = d->self = xcalloc(1, sizeof *s);
    s->rendering = rendering_open(d, o);
    unread_open(&s->unread);
    s->files = o->train ? list_half(o->folder, "train") : list_test(o->folder);
    read_lists(&s->list, &s->files);
    count_classes(s, o);
    draw_limit(&s->list, o->limit);
    d->classes = s->list.classes;
    name_classes(s, d);
    if (own && *own->preload)
        s->preload = preload_open(own->preload, s->files.path, s->files.count);
    open_files(s);
    snprintf(d->source, sizeof d->source, "%.300s, %lld images in %d %s", o->folder,
             (long long)s->list.count, s->files.count,
             bundle_is_shard(s->files.path[0]) ? "shards" : "archives");
    int32_t *labels;
    dataset_alloc(d, o, s->list.count, &labels, NULL);
    for (int64_t i = 0; i < d->count; i++)
        labels[i] = s->list.image[i].label;
}

static void read_sample(const struct dataset *d, int64_t i, struct random *draw, uint8_t *image)
{
    struct shard_set *s = d->self;
    const struct bundle_image *at = &s->list.image[i];
    char why[RENDERING_WHY];
    if (!rendering_piece(s->rendering, s->descriptor[at->file], at->offset, (size_t)at->bytes,
                         bundle_is_shard(s->files.path[at->file]) ? &at->digest : NULL, draw, image,
                         why))
        unread_note(&s->unread, "%s: the image at byte %lld, %d bytes long: %s",
                    s->files.path[at->file], (long long)at->offset, at->bytes, why);
}

static const char *unread(const struct dataset *d)
{
    return unread_line(&((struct shard_set *)d->self)->unread);
}

/* Of places, lengths, labels, and what shards know of their bytes. */
static uint64_t digest(const struct dataset *d)
{
    const struct shard_set *s = d->self;
    struct digest *sum = digest_open();
    for (int64_t i = 0; i < s->list.count; i++) {
        const struct bundle_image *at = &s->list.image[i];
        const uint64_t numbers[] = {(uint64_t)at->offset, at->digest, (uint64_t)at->bytes,
                                    (uint64_t)at->label, (uint64_t)at->file};
        digest_add(sum, numbers, sizeof numbers);
    }
    uint64_t value = digest_value(sum);
    digest_close(sum);
    return value;
}

static void close_set(struct dataset *d)
{
    struct shard_set *s = d->self;
    rendering_close(s->rendering, d);
    for (int i = 0; i < s->files.count; i++)
        close(s->descriptor[i]);
    if (s->preload)
        preload_close(s->preload);
    unread_close(&s->unread);
    bundle_close(&s->list);
    free_files(&s->files);
    xfree(s->descriptor);
    xfree(s->class_names);
    xfree(s);
}

static const struct option_row rows[] = {
    RENDERING_ROWS,
    {.name = "preload",
     .type = OPTION_TEXT,
     .flags = OPTION_FREE | OPTION_OWN,
     .offset = offsetof(struct shards_options, preload),
     .preset = "",
     .placeholder = "DIR|yes",
     .help = "before training, copy the shards to this folder of each host's own disk (yes: "
             "$SLURM_TMPDIR, else $TMPDIR), and remove them at the end"},
    {0}};

static const struct option_set option_set = {.title = "Images in shards",
                                             .owner = "--dataset shards",
                                             .rows = rows,
                                             .size = sizeof(struct shards_options)};

const struct dataset_kind dataset_shards = {
    .name = "shards",
    .summary = "images of any size in shards (nbsgd pack) or WebDataset's archives",
    .files = "train*.shard and val*.shard, or .tar,",
    .fetch = "nbsgd pack DIR OUT",
    .has_test = has_test,
    .recognises = recognises,
    .options = &option_set,
    .open = open_set,
    .read = read_sample,
    .unread = unread,
    .digest = digest,
    .close = close_set,
};
