/* Class folders into shards. One thread reads, one shard after another; each is written whole, and
 * none is replaced. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/file.h"
#include "bitmap/bitmap.h"
#include "data_loader/class_listing.h"
#include "data_loader/data_loader.h"
#include "data_loader/folder.h"
#include "data_loader/bundle.h"

struct packing {
    const struct pack_options *options;
    struct class_listing files, classes;
    char *names; /* of the classes, each with a zero byte */
    size_t names_bytes;
    struct bitmap_reader *reader;
    uint8_t *bytes, *pixels; /* of one image */
    size_t room, pixel_room;
    int64_t *first;    /* [shards + 1]; a shard's first file */
    int shards, shard; /* how many; the one under way */
    int64_t written, shrunk, skipped;
    char skipped_first[300];
    char fault[FATAL_LINE]; /* what ends the packing; "": nothing yet */
};

static void make_room(uint8_t **block, size_t *room, size_t bytes)
{
    if (bytes <= *room)
        return;
    xfree(*block);
    *room = bytes + bytes / 4;
    *block = xcalloc(*room, 1);
}

static void collect_names(struct packing *p)
{
    const struct class_listing *l = &p->classes;
    for (int c = 0; c < l->classes; c++)
        p->names_bytes += strlen(l->text + l->class_name[c]) + 1;
    char *at = p->names = xcalloc(p->names_bytes, 1);
    for (int c = 0; c < l->classes; c++)
        at = stpcpy(at, l->text + l->class_name[c]) + 1;
}

/* Which files go into which shard: by their lengths, which stay or shrink. */
static void plan(struct packing *p)
{
    int64_t bytes = 0;
    p->first = xcalloc((size_t)p->files.count + 1, sizeof *p->first);
    p->shards = 1;
    for (int64_t i = 0; i < p->files.count; i++) {
        int64_t of_file = p->files.file[i].bytes > 0 ? p->files.file[i].bytes : 0;
        if (bytes && bytes + of_file > p->options->shard_bytes) {
            p->first[p->shards++] = i;
            bytes = 0;
        }
        bytes += of_file;
    }
    p->first[p->shards] = p->files.count;
}

/* The file into p->bytes; its length, -1: why. */
static int64_t load(struct packing *p, const char *path, int64_t listed, const char **why)
{
    struct stat s;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool good = file >= 0 && !fstat(file, &s) && S_ISREG(s.st_mode) && s.st_size == listed;
    *why = file < 0 ? strerror(errno) : good ? "it cannot be read" : "it has changed meanwhile";
    if (good) {
        make_room(&p->bytes, &p->room, (size_t)s.st_size);
        good = bundle_bytes(file, 0, p->bytes, (size_t)s.st_size);
    }
    if (file >= 0)
        close(file);
    return good ? s.st_size : -1;
}

static void leave_out(struct packing *p, const char *path, const char *why)
{
    if (!p->options->skip)
        snprintf(p->fault, sizeof p->fault,
                 "%.1500s: %.300s: remove it, or leave such files out by --skip", path, why);
    else if (!p->skipped++)
        snprintf(p->skipped_first, sizeof p->skipped_first, "%.200s (%.80s)", path, why);
}

static void shrink_and_add(struct packing *p, struct shard_writer *w, const char *path,
                           const struct bitmap_view *view, int32_t label)
{
    uint8_t *file;
    size_t bytes;
    make_room(&p->pixels, &p->pixel_room, (size_t)view->width * (size_t)view->height * 4);
    if (!bitmap_render(p->reader, view, false, p->pixels)) {
        leave_out(p, path, bitmap_error(p->reader));
        return;
    }
    if (!bitmap_write_jpeg(p->pixels, view->width, view->height, p->options->quality, &file,
                           &bytes))
        fatal("--short-side: this program was built without libjpeg-turbo");
    shard_add(w, file, bytes, label);
    free(file);
    p->shrunk++;
}

static void add(struct packing *p, struct shard_writer *w, int64_t i)
{
    char path[LISTED_PATH];
    const struct listed_file *f = &p->files.file[i];
    const char *why;
    int width, height, wanted = p->options->short_side;
    class_listing_path(&p->files, i, path);
    int64_t bytes = load(p, path, f->bytes, &why);
    if (bytes < 0 || !bitmap_begin(p->reader, p->bytes, (size_t)bytes, &width, &height)) {
        leave_out(p, path, bytes < 0 ? why : bitmap_error(p->reader));
        return;
    }
    if (wanted && width > wanted && height > wanted) {
        const struct bitmap_view view = bitmap_view_shrink(width, height, wanted);
        shrink_and_add(p, w, path, &view, f->label);
    } else {
        shard_add(w, p->bytes, (size_t)bytes, f->label);
    }
    p->written++;
}

static bool write_shard(FILE *file, void *self)
{
    struct packing *p = self;
    struct shard_writer *w =
        shard_begin(file, p->shard, p->shards, p->classes.classes, p->names, p->names_bytes);
    for (int64_t i = p->first[p->shard]; i < p->first[p->shard + 1] && !*p->fault; i++)
        add(p, w, i);
    return shard_end(w) && !*p->fault;
}

static void write_shards(struct packing *p, const char *half)
{
    for (p->shard = 0; p->shard < p->shards; p->shard++) {
        char path[FOLDER_PATH];
        snprintf(path, sizeof path, "%.4000s/%s-%05d.shard", p->options->out, half, p->shard);
        bool written = file_write_new(path, write_shard, p);
        if (*p->fault)
            fatal("%s", p->fault);
        if (!written)
            fatal("%s: it cannot be written: %s%s", path, strerror(errno),
                  errno == EEXIST ? "; name another folder, or remove the shards there" : "");
        printf("%s: %d of %d, %lld images so far\n", path, p->shard + 1, p->shards,
               (long long)p->written);
        fflush(stdout);
    }
    if (p->shrunk)
        printf("%s: %lld of %lld images shrunk to a shorter side of %d\n", half,
               (long long)p->shrunk, (long long)p->written, p->options->short_side);
    if (p->skipped)
        fprintf(stderr, "nbsgd: %s: %lld of %lld files are left out, as %s\n", half,
                (long long)p->skipped, (long long)p->files.count, p->skipped_first);
}

/* false: there is no such folder with classes. */
static bool pack_half(const struct pack_options *o, const char *folder, const char *half)
{
    char path[FOLDER_PATH];
    struct packing p = {.options = o};
    folder_path(path, o->folder, "", folder);
    bool there = class_listing_open(&p.files, path);
    if (there) {
        folder_path(path, o->folder, "", "train");
        if (!class_listing_open(&p.classes, path))
            fatal("%s: there are no class folders", path);
        class_listing_read(&p.files, &p.classes);
        collect_names(&p);
        plan(&p);
        p.reader = bitmap_reader_open();
        write_shards(&p, half);
        bitmap_reader_close(p.reader);
        class_listing_close(&p.classes);
    }
    class_listing_close(&p.files);
    xfree(p.names);
    xfree(p.first);
    xfree(p.bytes);
    xfree(p.pixels);
    return there;
}

void dataset_pack(const struct pack_options *o)
{
    if (mkdir(o->out, 0777) && errno != EEXIST)
        fatal("%s: the folder cannot be made: %s", o->out, strerror(errno));
    if (!pack_half(o, "train", "train"))
        fatal("%s: there are no class folders in its train/", o->folder);
    if (!pack_half(o, "val", "val") && !pack_half(o, "test", "val"))
        fprintf(stderr,
                "nbsgd: %s: neither val/ nor test/ has class folders: no images to judge "
                "by are packed\n",
                o->folder);
}
