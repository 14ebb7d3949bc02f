/* Any images in class folders, as torchvision's ImageFolder takes them: DIR/train/CLASS/.../FILE,
 * and DIR/val/CLASS or DIR/test/CLASS, of the same classes.
 *
 * Files are listed when training begins, and read, decoded and resized when they are needed. The
 * data set's digest is that of its names and lengths, so that ranks with other files are found
 * without reading them. A limit (--train-samples) takes a part that is drawn by a fixed key: the
 * first files are all of one class. */
#include "data_loader/class_folder.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/check.h"
#include "data_loader/class_listing.h"
#include "data_loader/kinds.h"
#include "data_loader/rendering.h"
#include "data_loader/samples.h"
#include "data_loader/thread_pool.h"

static const char *const test_folders[] = {"val", "test"};

struct class_folder {
    struct class_listing classes; /* train/: the classes alone */
    struct class_listing listing;
    const char **class_names; /* [classes.classes] */
    struct rendering *rendering;
    struct unread unread;
};

static enum fit recognises(const char *folder, char place[FOLDER_PATH])
{
    char path[FOLDER_PATH];
    struct class_listing l;
    if (!folder_join(path, folder, "", "train"))
        return FIT_NONE;
    bool there = class_listing_open(&l, path);
    class_listing_close(&l);
    snprintf(place, FOLDER_PATH, "%.4000s", folder);
    return there ? FIT_FORM : FIT_NONE;
}

/* Files that are no whole images: how many, and the first three. */
struct unreadable {
    int64_t count;
    char text[1200];
};

static void add_unreadable(struct unreadable *u, const char *path, const char *why)
{
    enum { NAMED = 3 };
    size_t used = strlen(u->text);
    if (u->count++ < NAMED)
        snprintf(u->text + used, sizeof u->text - used, "%s%.250s (%.100s)", used ? ", " : "", path,
                 why);
}

struct checking {
    const struct class_folder *f;
    char (*path)[LISTED_PATH]; /* [hands] */
    char *why;                 /* [count][RENDERING_WHY]; "": it is good */
    int64_t first;
};

static void check_file(void *of, int64_t i, int hand)
{
    const struct checking *c = of;
    char *why = c->why + i * RENDERING_WHY;
    *why = 0;
    rendering_check(c->f->rendering,
                    class_listing_path(&c->f->listing, c->first + i, c->path[hand]), why);
}

/* What is wrong with files first .. first + count - 1, why[count][RENDERING_WHY]: as far as their
 * names and lengths say, or by a look at each. */
static void check_files(const struct class_folder *f, struct thread_pool *pool, int64_t first,
                        int64_t count, bool each, char *why, char (*path)[LISTED_PATH])
{
    struct checking c = {f, path, why, first};
    if (each)
        thread_pool_run(pool, count, check_file, &c);
    for (int64_t i = 0; i < count; i++) {
        int64_t bytes = f->listing.file[first + i].bytes;
        if (!each)
            snprintf(why + i * RENDERING_WHY, RENDERING_WHY, "%s",
                     bytes < 0 ? "a link to nothing, or no plain file"
                     : !bytes  ? "it has no byte"
                               : "");
    }
}

/* Takes out of the list what cannot be read. */
static void sort_out(struct class_folder *f, struct thread_pool *pool, bool each,
                     struct unreadable *u)
{
    enum { AT_ONCE = 4096 };
    struct class_listing *l = &f->listing;
    char *why = xcalloc(AT_ONCE, RENDERING_WHY),
         (*path)[LISTED_PATH] = xcalloc((size_t)thread_pool_threads(pool), sizeof *path);
    int64_t good = 0;
    for (int64_t first = 0; first < l->count; first += AT_ONCE) {
        int64_t count = l->count - first < AT_ONCE ? l->count - first : AT_ONCE;
        check_files(f, pool, first, count, each, why, path);
        for (int64_t i = 0; i < count; i++) {
            const char *what = why + i * RENDERING_WHY;
            if (*what)
                add_unreadable(u, class_listing_path(l, first + i, path[0]), what);
            else
                l->file[good++] = l->file[first + i];
        }
    }
    l->count = good;
    xfree(why);
    xfree(path);
}

static void refuse_empty_classes(const struct class_listing *l, int classes)
{
    bool *has = xcalloc((size_t)classes, sizeof *has);
    for (int64_t i = 0; i < l->count; i++)
        has[l->file[i].label] = true;
    int c = 0;
    while (c < l->classes && has[class_listing_label(l, c)])
        c++;
    xfree(has);
    if (c < l->classes)
        fatal("%s/%s: none of its files can be read: put others there, or remove the folder",
              l->root, l->text + l->class_name[c]);
}

static void check_readable(struct class_folder *f, struct thread_pool *pool, const char *wanted)
{
    const struct class_listing *l = &f->listing;
    const bool says = launched_rank() == 0;
    int64_t all = l->count;
    struct unreadable u = {0};
    sort_out(f, pool, strcmp(wanted, "refuse"), &u);
    if (u.count && strcmp(wanted, "skip"))
        fatal("%s: %lld of %lld files cannot be read, as %s: remove them, or leave them out by "
              "--unreadable skip",
              l->root, (long long)u.count, (long long)all, u.text);
    if (u.count && says)
        fprintf(stderr, "nbsgd: %s: %lld of %lld files are left out, as %s\n", l->root,
                (long long)u.count, (long long)all, u.text);
    if (l->loops && says)
        fprintf(stderr, "nbsgd: %s: %d link%s to a folder above, left out, as %s\n", l->root,
                l->loops, l->loops > 1 ? "s lead back" : " leads back", l->first_loop);
    refuse_empty_classes(l, f->classes.classes);
}

/* Keeps `limit` of the files, drawn by a fixed key, in their order. */
static void draw_limit(struct class_listing *l, int64_t limit)
{
    int64_t kept = 0;
    bool *stays = samples_draw_limit(l->count, limit);
    for (int64_t i = 0; i < l->count; i++)
        if (!stays || stays[i])
            l->file[kept++] = l->file[i];
    l->count = kept;
    xfree(stays);
}

/* The folder of the test images: val/, else test/. False: neither has any. */
static bool find_test(struct class_listing *l, const char *folder)
{
    char path[FOLDER_PATH];
    for (int i = 0; i < 2; i++) {
        if (i)
            class_listing_close(l);
        folder_path(path, folder, "", test_folders[i]);
        if (class_listing_open(l, path))
            return true;
    }
    return false;
}

static bool has_test(const char *folder)
{
    struct class_listing l = {0};
    bool found = find_test(&l, folder);
    class_listing_close(&l);
    return found;
}

static void open_test(struct class_listing *l, const char *folder)
{
    if (find_test(l, folder))
        return;
    fatal("%s: neither val/ nor test/ has class folders: put the images to judge by there, or hold "
          "out a part of the others (--val-split 0.1 --evaluate val)",
          folder);
}

static void open_files(struct class_folder *f, struct dataset *d, const struct dataset_options *o)
{
    const struct class_folder_options *own = o->own;
    char path[FOLDER_PATH];
    folder_path(path, o->folder, "", "train");
    if (!class_listing_open(&f->classes, path))
        fatal("%s: its class folders are gone", path);
    if (!o->train)
        open_test(&f->listing, o->folder);
    else if (!class_listing_open(&f->listing, path))
        fatal("%s: its class folders are gone", path);
    class_listing_read(&f->listing, &f->classes);
    check_readable(f, d->pool, own ? own->unreadable : "refuse");
    if (f->listing.count > INT32_MAX)
        fatal("%s: %lld files; %d are the most", f->listing.root, (long long)f->listing.count,
              INT32_MAX);
}

static void open(struct dataset *d, const struct dataset_options *o)
{
    struct class_folder *f = d->self = xcalloc(1, sizeof *f);
    unread_open(&f->unread);
    f->rendering = rendering_open(d, o);
    open_files(f, d, o);
    draw_limit(&f->listing, o->limit);
    d->classes = f->classes.classes;
    d->class_names = f->class_names = xcalloc((size_t)d->classes, sizeof *f->class_names);
    for (int c = 0; c < d->classes; c++)
        f->class_names[c] = f->classes.text + f->classes.class_name[c];
    snprintf(d->source, sizeof d->source, "%.400s, %lld files", f->listing.root,
             (long long)f->listing.count);
    int32_t *labels;
    dataset_alloc(d, o, f->listing.count, &labels, NULL);
    for (int64_t i = 0; i < d->count; i++)
        labels[i] = f->listing.file[i].label;
}

static const char *unread(const struct dataset *d)
{
    return unread_line(&((struct class_folder *)d->self)->unread);
}

static void read_sample(const struct dataset *d, int64_t i, struct random *draw, uint8_t *image)
{
    struct class_folder *f = d->self;
    char path[LISTED_PATH], why[RENDERING_WHY];
    class_listing_path(&f->listing, i, path);
    if (!rendering_file(f->rendering, path, f->listing.file[i].bytes, draw, image, why))
        unread_note(&f->unread, "%s: %s; --unreadable check finds such files before training", path,
                    why);
}

static uint64_t digest(const struct dataset *d)
{
    const struct class_folder *f = d->self;
    return class_listing_digest(&f->listing);
}

static void close(struct dataset *d)
{
    struct class_folder *f = d->self;
    class_listing_close(&f->classes);
    class_listing_close(&f->listing);
    rendering_close(f->rendering, d);
    unread_close(&f->unread);
    xfree(f->class_names);
    xfree(f);
}

static const struct hint hints[] = {
    {"ILSVRC2012_img_train.tar", "the archive of ImageNet's training images: unpack it into "
                                 "train/CLASS/"},
    {"n01440764", "a class folder of ImageNet: put the classes into train/ and val/"},
    {0}};

static const struct option_row rows[] = {
    RENDERING_ROWS,
    {.name = "unreadable",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct class_folder_options, unreadable),
     .preset = "refuse",
     .choices = "refuse|check|skip",
     .help = "a file that is no whole image ends the run: when it is met; before training, when "
             "every file has been looked at; or it is left out, named and counted then"},
    {0}};

static const struct option_set option_set = {.title = "Images in class folders",
                                             .owner = "--dataset folder",
                                             .rows = rows,
                                             .size = sizeof(struct class_folder_options)};

const struct dataset_kind dataset_folder = {
    .name = "folder",
    .summary = "images of any size in class folders (ImageNet, imagenette, your own)",
    .files = "train/CLASS/ and val/CLASS/ with JPEG and PNG files",
    .fetch = "your own",
    .has_test = has_test,
    .recognises = recognises,
    .hints = hints,
    .options = &option_set,
    .preset = {.channels = 3, .augmentation = {.border = 0, .mirror = false}},
    .open = open,
    .read = read_sample,
    .unread = unread,
    .digest = digest,
    .close = close,
};
