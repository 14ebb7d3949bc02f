/* Shards: a header, images one after another, an index, the names of the classes.
 *
 * Numbers are little-endian, as this program's machines are. The header has a digest of itself and
 * one of all that follows the images, the index one of each image: no byte is without. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/digest.h"
#include "data_loader/bundle.h"

static const char magic[8] = "NBSHARD1";

struct shard_header {
    char magic[8];
    uint64_t bytes;  /* of the file */
    uint64_t index;  /* where it begins, which is where the images end */
    uint64_t images; /* entries of the index */
    uint64_t tail_digest;
    uint32_t classes, names_bytes;
    uint32_t number, of;
    uint64_t digest; /* of the bytes before this field */
};

struct shard_entry {
    uint64_t offset, digest;
    uint32_t bytes;
    int32_t label;
};

_Static_assert(sizeof(struct shard_header) == 64 && sizeof(struct shard_entry) == 24,
               "the layout of docs/shards.md");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers lie as they are in memory");

enum { MOST_CLASSES = 1 << 24, MOST_NAMES = 1 << 30, MOST_SHARDS = 1 << 20 };

/* --- reading */

bool bundle_is_shard(const char *path)
{
    const char *end = strrchr(path, '.');
    return end && !strcmp(end, ".shard");
}

bool bundle_bytes(int file, int64_t offset, void *to, size_t bytes)
{
    for (char *at = to; bytes;) {
        ssize_t got = pread(file, at, bytes, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got ? errno : ENODATA;
            return false;
        }
        at += got;
        offset += got;
        bytes -= (size_t)got;
    }
    return true;
}

void bundle_add(struct bundle_list *l, const struct bundle_image *image)
{
    if (l->count == l->room) {
        int64_t room = l->room ? 2 * l->room : 1024;
        struct bundle_image *list = xcalloc((size_t)room, sizeof *list);
        if (l->count)
            memcpy(list, l->image, (size_t)l->count * sizeof *list);
        xfree(l->image);
        l->image = list;
        l->room = room;
    }
    l->image[l->count++] = *image;
}

void bundle_close(struct bundle_list *l)
{
    xfree(l->image);
    xfree(l->names);
}

/* What is wrong with a header, in a file of so many bytes; NULL: nothing. */
static const char *header_fault(const struct shard_header *h, uint64_t bytes, char *why)
{
    if (memcmp(h->magic, magic, sizeof magic))
        return "it does not begin as a shard does";
    if (digest_of(h, offsetof(struct shard_header, digest)) != h->digest)
        return "its header is damaged";
    if (h->bytes != bytes) {
        snprintf(why, BUNDLE_WHY, "it is %s: it has %llu bytes, and had %llu when it was written",
                 bytes < h->bytes ? "truncated" : "too long", (unsigned long long)bytes,
                 (unsigned long long)h->bytes);
        return why;
    }
    if (h->classes < 1 || h->classes > MOST_CLASSES || h->names_bytes > MOST_NAMES || !h->of ||
        h->of > MOST_SHARDS || h->number >= h->of || h->index < sizeof *h || h->index > bytes ||
        h->images > (bytes - h->index) / sizeof(struct shard_entry) ||
        h->index + h->images * sizeof(struct shard_entry) + h->names_bytes != bytes)
        return "its header contradicts itself";
    return NULL;
}

static const char *tail_fault(const struct shard_header *h, const char *tail)
{
    const struct shard_entry *e = (const void *)tail;
    const char *names = tail + h->images * sizeof *e;
    uint32_t ends = 0;
    if (digest_of(tail, h->bytes - h->index) != h->tail_digest)
        return "its index is damaged";
    for (uint32_t i = 0; i < h->names_bytes; i++)
        ends += !names[i];
    if (ends != h->classes || names[h->names_bytes - 1])
        return "its class names are not as many as its classes";
    for (uint64_t i = 0; i < h->images; i++)
        if (e[i].offset < sizeof *h || e[i].offset > h->index ||
            e[i].bytes > h->index - e[i].offset || e[i].bytes > INT32_MAX || e[i].label < 0 ||
            (uint32_t)e[i].label >= h->classes)
            return "its index contradicts itself";
    return NULL;
}

/* Header and what follows the images, to be freed; NULL: *fault says why, perhaps in why[]. */
static char *read_tail(int file, struct shard_header *h, const char **fault, char *why)
{
    struct stat s;
    *fault = "it cannot be read";
    if (file < 0 || fstat(file, &s) || !S_ISREG(s.st_mode))
        return NULL;
    *fault = "it is truncated: it has no header";
    if (s.st_size < (off_t)sizeof *h || !bundle_bytes(file, 0, h, sizeof *h))
        return NULL;
    *fault = header_fault(h, (uint64_t)s.st_size, why);
    if (*fault)
        return NULL;
    size_t bytes = h->bytes - h->index;
    char *tail = xcalloc(bytes + 1, 1);
    *fault = bundle_bytes(file, (int64_t)h->index, tail, bytes) ? tail_fault(h, tail)
                                                                : "its index cannot be read";
    if (!*fault)
        return tail;
    xfree(tail);
    return NULL;
}

static void take_names(struct bundle_list *l, const char *path, const struct shard_header *h,
                       const char *names)
{
    if (!l->names) {
        l->names = xcalloc(h->names_bytes, 1);
        memcpy(l->names, names, h->names_bytes);
        l->names_bytes = h->names_bytes;
        l->classes = (int)h->classes;
    }
    if (l->names_bytes != h->names_bytes || memcmp(l->names, names, h->names_bytes))
        fatal("%s: its classes are others than those of the shards before it: pack all of a data "
              "set at once",
              path);
}

void shard_read(struct bundle_list *l, const char *path, int32_t file, int *number, int *of)
{
    struct shard_header h;
    const char *fault;
    char why[BUNDLE_WHY];
    int open_file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *tail = read_tail(open_file, &h, &fault, why);
    if (open_file >= 0)
        close(open_file);
    if (!tail)
        fatal("%s: %s; copy or pack it anew", path, fault);
    const struct shard_entry *e = (const void *)tail;
    take_names(l, path, &h, tail + h.images * sizeof *e);
    *number = (int)h.number;
    *of = (int)h.of;
    for (uint64_t i = 0; i < h.images; i++)
        bundle_add(l, &(struct bundle_image){.offset = (int64_t)e[i].offset,
                                             .digest = e[i].digest,
                                             .bytes = (int32_t)e[i].bytes,
                                             .label = e[i].label,
                                             .file = file});
    xfree(tail);
}

static bool images_are_whole(int file, const struct shard_header *h, const char *tail, char *why)
{
    const struct shard_entry *e = (const void *)tail;
    char *bytes = NULL;
    size_t room = 0;
    bool good = true;
    for (uint64_t i = 0; i < h->images && good; i++) {
        if (e[i].bytes > room) {
            xfree(bytes);
            room = e[i].bytes + e[i].bytes / 4;
            bytes = xcalloc(room, 1);
        }
        good = bundle_bytes(file, (int64_t)e[i].offset, bytes, e[i].bytes) &&
               digest_of(bytes, e[i].bytes) == e[i].digest;
        if (!good)
            snprintf(why, BUNDLE_WHY, "its image %llu, at byte %llu, is damaged",
                     (unsigned long long)i, (unsigned long long)e[i].offset);
    }
    xfree(bytes);
    return good;
}

bool shard_check(const char *path, char *why)
{
    struct shard_header h;
    const char *fault;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *tail = read_tail(file, &h, &fault, why);
    bool good = tail && images_are_whole(file, &h, tail, why);
    if (!tail && fault != why)
        snprintf(why, BUNDLE_WHY, "%s", fault);
    if (file >= 0)
        close(file);
    xfree(tail);
    return good;
}

/* --- writing */

struct shard_writer {
    FILE *file;
    struct shard_header header;
    const char *names;
    struct shard_entry *entry;
    uint64_t room, at;
};

struct shard_writer *shard_begin(void *file, int number, int of, int classes, const char *names,
                                 size_t names_bytes)
{
    struct shard_writer *w = xcalloc(1, sizeof *w);
    w->file = file;
    w->names = names;
    w->header = (struct shard_header){.classes = (uint32_t)classes,
                                      .names_bytes = (uint32_t)names_bytes,
                                      .number = (uint32_t)number,
                                      .of = (uint32_t)of};
    memcpy(w->header.magic, magic, sizeof magic);
    w->at = fwrite(&w->header, 1, sizeof w->header, w->file);
    return w;
}

void shard_add(struct shard_writer *w, const void *bytes, size_t count, int32_t label)
{
    assert(count <= INT32_MAX);
    if (w->header.images == w->room) {
        uint64_t room = w->room ? 2 * w->room : 1024;
        struct shard_entry *list = xcalloc(room, sizeof *list);
        if (w->room)
            memcpy(list, w->entry, w->room * sizeof *list);
        xfree(w->entry);
        w->entry = list;
        w->room = room;
    }
    w->entry[w->header.images++] = (struct shard_entry){.offset = w->at,
                                                        .digest = digest_of(bytes, count),
                                                        .bytes = (uint32_t)count,
                                                        .label = label};
    w->at += fwrite(bytes, 1, count, w->file);
}

bool shard_end(struct shard_writer *w)
{
    struct shard_header *h = &w->header;
    size_t index_bytes = h->images * sizeof *w->entry;
    struct digest *d = digest_open();
    digest_add(d, w->entry, index_bytes);
    digest_add(d, w->names, h->names_bytes);
    h->tail_digest = digest_value(d);
    digest_close(d);
    h->index = w->at;
    h->bytes = w->at + index_bytes + h->names_bytes;
    h->digest = digest_of(h, offsetof(struct shard_header, digest));
    bool good = (!index_bytes || fwrite(w->entry, index_bytes, 1, w->file) == 1) &&
                fwrite(w->names, h->names_bytes, 1, w->file) == 1 && !fflush(w->file) &&
                !fseek(w->file, 0, SEEK_SET) && fwrite(h, sizeof *h, 1, w->file) == 1 &&
                !ferror(w->file);
    xfree(w->entry);
    xfree(w);
    return good;
}
