/* Each thread that renders takes a set of tools: a reader, and room for a file and for pixels. As
 * many are made as threads have rendered at once. Files are read whole. */
#include "data_loader/rendering.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/digest.h"
#include "bitmap/bitmap.h"
#include "data_loader/kinds.h"
#include "data_loader/bundle.h"
#include "data_loader/thread_pool.h"

enum { FILE_MOST = 1 << 30 };

struct tools {
    struct bitmap_reader *reader;
    uint8_t *file;
    size_t room;
    uint8_t *pixels; /* [side][side][4] */
    struct tools *after;
};

struct rendering {
    struct rendering_options options;
    int side, short_side;
    pthread_mutex_t lock;
    struct tools *idle;
};

struct rendering *rendering_open(struct dataset *d, const struct dataset_options *o)
{
    const struct rendering_options *own = o->own;
    static const float mean[] = {0.485f, 0.456f, 0.406f}, deviation[] = {0.229f, 0.224f, 0.225f};
    static const struct rendering_options presets = {.side = 224, .crop_area = 0.08, .quick = true};
    char formats[100];
    if (!*bitmap_formats(formats, sizeof formats))
        fatal("--dataset %s: this program was built without libjpeg-turbo and libpng; "
              "./install.sh run, then make, brings them",
              d->kind->name);
    struct rendering *r = xcalloc(1, sizeof *r);
    r->options = own ? *own : presets;
    r->side = (int)r->options.side;
    r->short_side = (int)r->options.short_side;
    if (!r->short_side)
        r->short_side = (r->side * 8 + 3) / 7;
    if (r->short_side < r->side)
        fatal("--short-side %d is less than --image-size %d: what is judged would not fill it",
              r->short_side, r->side);
    pthread_mutex_init(&r->lock, NULL);
    int threads = r->options.threads ? (int)r->options.threads : o->threads;
    d->pool = thread_pool_open(threads > 1 ? threads : 1);
    d->channels = 3;
    d->channels_last = true;
    d->height = d->width = r->side;
    memcpy(d->mean, mean, sizeof mean);
    memcpy(d->deviation, deviation, sizeof deviation);
    return r;
}

void rendering_close(struct rendering *r, struct dataset *d)
{
    thread_pool_close(d->pool);
    for (struct tools *t = r->idle, *after; t; t = after) {
        after = t->after;
        bitmap_reader_close(t->reader);
        xfree(t->file);
        xfree(t->pixels);
        xfree(t);
    }
    pthread_mutex_destroy(&r->lock);
    xfree(r);
}

static struct tools *take(struct rendering *r)
{
    pthread_mutex_lock(&r->lock);
    struct tools *t = r->idle;
    if (t)
        r->idle = t->after;
    pthread_mutex_unlock(&r->lock);
    if (t)
        return t;
    t = xcalloc(1, sizeof *t);
    t->reader = bitmap_reader_open();
    t->pixels = xcalloc((size_t)r->side * (size_t)r->side, 4);
    return t;
}

static void give_back(struct rendering *r, struct tools *t)
{
    pthread_mutex_lock(&r->lock);
    t->after = r->idle;
    r->idle = t;
    pthread_mutex_unlock(&r->lock);
}

static bool render(struct rendering *r, struct tools *t, const uint8_t *file, size_t bytes,
                   struct random *draw, uint8_t *image, char *why)
{
    int width, height, pixels = r->side * r->side;
    if (!bitmap_begin(t->reader, file, bytes, &width, &height)) {
        snprintf(why, RENDERING_WHY, "%s", bitmap_error(t->reader));
        return false;
    }
    const struct bitmap_view view =
        draw ? bitmap_view_random(width, height, r->side, r->options.crop_area, draw)
             : bitmap_view_centre(width, height, r->short_side, r->side);
    if (!bitmap_render(t->reader, &view, draw && r->options.quick, t->pixels)) {
        snprintf(why, RENDERING_WHY, "%s", bitmap_error(t->reader));
        return false;
    }
    for (int i = 0; i < pixels; i++)
        memcpy(image + 3 * i, t->pixels + 4 * i, 3);
    return true;
}

static void make_room(struct tools *t, size_t bytes)
{
    if (bytes <= t->room)
        return;
    xfree(t->file);
    t->room = bytes + bytes / 4;
    t->file = xcalloc(t->room, 1);
}

bool rendering_piece(struct rendering *r, int file, int64_t offset, size_t bytes,
                     const uint64_t *digest, struct random *draw, uint8_t *image, char *why)
{
    struct tools *t = take(r);
    make_room(t, bytes);
    bool good = bundle_bytes(file, offset, t->file, bytes);
    if (!good)
        snprintf(why, RENDERING_WHY, "it cannot be read: %s", strerror(errno));
    if (good && digest && digest_of(t->file, bytes) != *digest) {
        snprintf(why, RENDERING_WHY, "it is damaged; copy or pack the shard anew");
        good = false;
    }
    good = good && render(r, t, t->file, bytes, draw, image, why);
    give_back(r, t);
    return good;
}

/* The file into t->file; its length, -1: why[] says what is wrong. */
static int64_t load_open(struct tools *t, int file, int64_t wanted, char *why)
{
    struct stat s;
    if (fstat(file, &s) || !S_ISREG(s.st_mode)) {
        snprintf(why, RENDERING_WHY, "it is no plain file");
        return -1;
    }
    if (wanted >= 0 && s.st_size != wanted) {
        snprintf(why, RENDERING_WHY, "it has %lld bytes now, and had %lld when the run began",
                 (long long)s.st_size, (long long)wanted);
        return -1;
    }
    if (s.st_size > FILE_MOST) {
        snprintf(why, RENDERING_WHY, "it has more than 1 GiB");
        return -1;
    }
    size_t bytes = (size_t)s.st_size;
    make_room(t, bytes);
    if (!bundle_bytes(file, 0, t->file, bytes)) {
        snprintf(why, RENDERING_WHY, "%s", strerror(errno));
        return -1;
    }
    return s.st_size;
}

static int64_t load(struct tools *t, const char *path, int64_t wanted, char *why)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        snprintf(why, RENDERING_WHY, "%s", strerror(errno));
        return -1;
    }
    int64_t bytes = load_open(t, file, wanted, why);
    close(file);
    return bytes;
}

bool rendering_file(struct rendering *r, const char *path, int64_t bytes, struct random *draw,
                    uint8_t *image, char *why)
{
    struct tools *t = take(r);
    int64_t count = load(t, path, bytes, why);
    bool good = count >= 0 && render(r, t, t->file, (size_t)count, draw, image, why);
    give_back(r, t);
    return good;
}

bool rendering_check(struct rendering *r, const char *path, char *why)
{
    int width, height;
    struct tools *t = take(r);
    int64_t count = load(t, path, -1, why);
    bool good = count >= 0 && bitmap_begin(t->reader, t->file, (size_t)count, &width, &height);
    if (count >= 0 && !good)
        snprintf(why, RENDERING_WHY, "%s", bitmap_error(t->reader));
    give_back(r, t);
    return good;
}
