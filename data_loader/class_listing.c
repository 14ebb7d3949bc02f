/* Cost: 2 us a file where the folder is in memory; 24 bytes and the name. */
#define _GNU_SOURCE
#include "data_loader/class_listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/digest.h"

enum { DEEPEST = 40, PATH_MOST = 4096 };

/* A folder under way, and those above it. */
struct place {
    const struct place *above;
    dev_t device;
    ino_t inode;
    int depth;
};

/* `list` of `room` things with room for one more than `count`. */
static void *grown(void *list, int64_t count, int64_t *room, size_t size)
{
    if (count < *room)
        return list;
    int64_t larger = *room ? 2 * *room : 64;
    void *new = xcalloc((size_t)larger, size);
    if (count)
        memcpy(new, list, (size_t)count * size);
    xfree(list);
    *room = larger;
    return new;
}

static size_t add_text(struct class_listing *l, const char *text)
{
    size_t length = strlen(text) + 1, at = l->text_used;
    if (at + length > l->text_room) {
        size_t room = 2 * (at + length) + 1024;
        char *new = xcalloc(room, 1);
        if (at)
            memcpy(new, l->text, at);
        xfree(l->text);
        l->text = new;
        l->text_room = room;
    }
    memcpy(l->text + at, text, length);
    l->text_used += length;
    return at;
}

static void join(char path[PATH_MOST], const char *folder, const char *name)
{
    if (snprintf(path, PATH_MOST, "%s/%s", folder, name) >= PATH_MOST)
        fatal("%.200s..: a path of more than %d characters", folder, PATH_MOST - 1);
}

static int by_text(const void *a, const void *b, void *text)
{
    return strcmp((char *)text + *(const size_t *)a, (char *)text + *(const size_t *)b);
}

/* S_IFDIR, S_IFREG or another; 0: a link to nothing. */
static unsigned kind_of(int folder, const struct dirent *e, struct stat *s)
{
    return fstatat(folder, e->d_name, s, 0) ? 0 : s->st_mode & S_IFMT;
}

bool class_listing_open(struct class_listing *l, const char *root)
{
    struct stat s;
    int64_t room = 0;
    *l = (struct class_listing){.root = xcalloc(strlen(root) + 1, 1)};
    strcpy(l->root, root);
    DIR *folder = opendir(root);
    if (!folder)
        return false;
    for (struct dirent *e; (e = readdir(folder));)
        if (e->d_name[0] != '.' &&
            (e->d_type == DT_DIR || kind_of(dirfd(folder), e, &s) == S_IFDIR)) {
            l->class_name = grown(l->class_name, l->classes, &room, sizeof *l->class_name);
            l->class_name[l->classes++] = add_text(l, e->d_name);
        }
    closedir(folder);
    if (l->classes)
        qsort_r(l->class_name, (size_t)l->classes, sizeof *l->class_name, by_text, l->text);
    return l->classes;
}

static bool is_image_name(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png",  ".ppm", ".bmp",
                                          ".pgm", ".tif",  ".tiff", ".webp"};
    const char *end = strrchr(name, '.');
    for (size_t i = 0; end && i < sizeof endings / sizeof *endings; i++)
        if (!strcasecmp(end, endings[i]))
            return true;
    return false;
}

static void add_file(struct class_listing *l, const char *name, int64_t bytes, int32_t label)
{
    l->file = grown(l->file, l->count, &l->room, sizeof *l->file);
    l->file[l->count++] = (struct listed_file){
        .name = add_text(l, name), .bytes = bytes, .folder = l->folders - 1, .label = label};
}

static void leave_out_loop(struct class_listing *l, const char *path)
{
    if (!l->loops++)
        snprintf(l->first_loop, sizeof l->first_loop, "%.399s", path);
}

/* Reads a folder and those in it; `path` has room for PATH_MOST. Folders in it come after its own
 * files, so that all files of one lie together. */
static void read_folder(struct class_listing *l, const char *path, int32_t label,
                        const struct place *above)
{
    DIR *folder = opendir(path);
    struct stat s;
    if (!folder || fstat(dirfd(folder), &s))
        fatal("%s: the folder cannot be read: %s", path, strerror(errno));
    const struct place here = {above, s.st_dev, s.st_ino, above->depth + 1};
    if (here.depth > DEEPEST)
        fatal("%s: folders in folders, more than %d deep", path, DEEPEST);
    for (const struct place *p = above; p; p = p->above)
        if (p->device == here.device && p->inode == here.inode) {
            leave_out_loop(l, path);
            closedir(folder);
            return;
        }
    int64_t room = l->folder_room, inner_count = 0, inner_room = 0;
    l->folder_name = grown(l->folder_name, l->folders, &room, sizeof *l->folder_name);
    l->folder_room = (int)room;
    l->folder_name[l->folders++] = add_text(l, path);
    size_t *inner = NULL;
    for (struct dirent *e; (e = readdir(folder));) {
        if (e->d_name[0] == '.')
            continue;
        bool image = is_image_name(e->d_name);
        if (e->d_type == DT_REG && !image)
            continue;
        unsigned kind = kind_of(dirfd(folder), e, &s);
        if (kind == S_IFDIR) {
            inner = grown(inner, inner_count, &inner_room, sizeof *inner);
            inner[inner_count++] = add_text(l, e->d_name);
        } else if (image) {
            add_file(l, e->d_name, kind == S_IFREG ? s.st_size : -1, label);
        }
    }
    closedir(folder);
    for (int64_t i = 0; i < inner_count; i++) {
        char next[PATH_MOST];
        join(next, path, l->text + inner[i]);
        read_folder(l, next, label, &here);
    }
    xfree(inner);
}

static int by_place(const void *a, const void *b, void *listing)
{
    const struct class_listing *l = listing;
    const struct listed_file *x = a, *y = b;
    int order = x->folder == y->folder ? 0
                                       : strcmp(l->text + l->folder_name[x->folder],
                                                l->text + l->folder_name[y->folder]);
    return order ? order : strcmp(l->text + x->name, l->text + y->name);
}

static int32_t label_of(const struct class_listing *classes, const char *name)
{
    int low = 0, high = classes->classes;
    while (low < high) {
        int middle = (low + high) / 2,
            order = strcmp(name, classes->text + classes->class_name[middle]);
        if (!order)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

void class_listing_read(struct class_listing *l, const struct class_listing *classes)
{
    char path[PATH_MOST];
    struct place root = {.depth = 0};
    struct stat s;
    int empty = 0;
    size_t first_empty = 0;
    if (stat(l->root, &s))
        fatal("%s: the folder cannot be read: %s", l->root, strerror(errno));
    root.device = s.st_dev;
    root.inode = s.st_ino;
    l->label = xcalloc((size_t)l->classes, sizeof *l->label);
    for (int c = 0; c < l->classes; c++) {
        int64_t before = l->count;
        int32_t label = l->label[c] = label_of(classes, l->text + l->class_name[c]);
        if (label < 0)
            fatal("%s: no class '%s' is in %s: both must have the same classes", l->root,
                  l->text + l->class_name[c], classes->root);
        join(path, l->root, l->text + l->class_name[c]);
        read_folder(l, path, label, &root);
        if (l->count == before && !empty++)
            first_empty = l->class_name[c];
        if (l->count > before)
            qsort_r(l->file + before, (size_t)(l->count - before), sizeof *l->file, by_place, l);
    }
    if (empty)
        fatal("%s: %d class folder%s no image (.jpg, .jpeg, .png), as '%s': put some there, or "
              "remove the folder",
              l->root, empty, empty > 1 ? "s have" : " has", l->text + first_empty);
}

void class_listing_close(struct class_listing *l)
{
    xfree(l->root);
    xfree(l->text);
    xfree(l->class_name);
    xfree(l->label);
    xfree(l->folder_name);
    xfree(l->file);
}

char *class_listing_path(const struct class_listing *l, int64_t i, char *path)
{
    const struct listed_file *f = &l->file[i];
    char *end = stpcpy(path, l->text + l->folder_name[f->folder]);
    *end = '/';
    strcpy(end + 1, l->text + f->name);
    return path;
}

int32_t class_listing_label(const struct class_listing *l, int c)
{
    return l->label[c];
}

uint64_t class_listing_digest(const struct class_listing *l)
{
    struct digest *d = digest_open();
    size_t root = strlen(l->root);
    for (int c = 0; c < l->classes; c++)
        digest_add(d, l->text + l->class_name[c], strlen(l->text + l->class_name[c]) + 1);
    for (int64_t i = 0; i < l->count; i++) {
        const struct listed_file *f = &l->file[i];
        const char *folder = l->text + l->folder_name[f->folder] + root;
        const int64_t numbers[] = {f->bytes, f->label};
        digest_add(d, folder, strlen(folder) + 1);
        digest_add(d, l->text + f->name, strlen(l->text + f->name) + 1);
        digest_add(d, numbers, sizeof numbers);
    }
    uint64_t value = digest_value(d);
    digest_close(d);
    return value;
}
