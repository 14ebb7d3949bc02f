/* A reader: what a file is, its pixels, the view of them. */
#include "bitmap/bitmap.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "bitmap/format.h"
#include "bitmap/resample.h"

enum { FORMATS_MOST = 8 };

struct bitmap_reader {
    void *formats[FORMATS_MOST];        /* of each built-in format; NULL: not opened yet */
    const struct bitmap_format *format; /* of the file that began; NULL: none */
    void *self;
    int width, height;
    struct bitmap pixels;
    struct resampler resampler;
    char why[BITMAP_WHY];
};

/* Signatures of what is no format here, or not built in. */
static const struct signature {
    const char *name, *bytes;
    int count;
} known[] = {
    {"JPEG", "\xff\xd8\xff", 3},
    {"PNG", "\x89PNG\r\n\x1a\n", 8},
    {"GIF", "GIF8", 4},
    {"WebP", "RIFF", 4},
    {"BMP", "BM", 2},
    {"TIFF", "II*\0", 4},
    {"TIFF", "MM\0*", 4},
    {"portable anymap", "P6", 2},
    {"gzip", "\x1f\x8b", 2},
    {"zip", "PK\3\4", 4},
    {"HTML or XML", "<", 1},
};

struct bitmap_reader *bitmap_reader_open(void)
{
    return xcalloc(1, sizeof(struct bitmap_reader));
}

void bitmap_reader_close(struct bitmap_reader *r)
{
    for (int i = 0; bitmap_format_list[i]; i++)
        if (r->formats[i])
            bitmap_format_list[i]->close(r->formats[i]);
    resampler_close(&r->resampler);
    xfree(r->pixels.pixels);
    xfree(r);
}

const char *bitmap_error(const struct bitmap_reader *r)
{
    return r->why;
}

const char *bitmap_formats(char *text, size_t size)
{
    size_t used = 0;
    *text = 0;
    for (int i = 0; bitmap_format_list[i] && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
                                 bitmap_format_list[i]->name);
    return text;
}

__attribute__((format(printf, 2, 3))) static bool refuse(struct bitmap_reader *r,
                                                         const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(r->why, sizeof r->why, format, list);
    va_end(list);
    r->format = NULL;
    return false;
}

static bool begins(const uint8_t *file, size_t bytes, const char *signature, int count)
{
    return bytes >= (size_t)count && !memcmp(file, signature, (size_t)count);
}

/* The format of the file that none of those built in reads. */
static bool refuse_format(struct bitmap_reader *r, const uint8_t *file, size_t bytes)
{
    char built_in[100];
    bitmap_formats(built_in, sizeof built_in);
    if (!bytes)
        return refuse(r, "it has no byte");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (begins(file, bytes, known[i].bytes, known[i].count))
            return refuse(r, "it is %s; this program was built to read: %s", known[i].name,
                          *built_in ? built_in
                                    : "no format (./install.sh run, then make, brings JPEG, PNG)");
    return refuse(r, "it is no image: its first byte is %d", file[0]);
}

bool bitmap_begin(struct bitmap_reader *r, const uint8_t *file, size_t bytes, int *width,
                  int *height)
{
    r->format = NULL;
    for (int i = 0; bitmap_format_list[i] && !r->format; i++) {
        assert(i < FORMATS_MOST);
        const struct bitmap_format *f = bitmap_format_list[i];
        if (!begins(file, bytes, f->signature, f->signature_bytes))
            continue;
        if (!r->formats[i])
            r->formats[i] = f->open();
        r->format = f;
        r->self = r->formats[i];
    }
    if (!r->format)
        return refuse_format(r, file, bytes);
    if (!r->format->begin(r->self, file, bytes, width, height, r->why)) {
        r->format = NULL;
        return false;
    }
    if (*width <= 0 || *height <= 0 || (int64_t)*width * *height > BITMAP_MOST_PIXELS)
        return refuse(r, "it has %d x %d pixels; 1 to %d can be read", *width, *height,
                      BITMAP_MOST_PIXELS);
    r->width = *width;
    r->height = *height;
    return true;
}

void bitmap_reserve(struct bitmap *b, struct bitmap_box part)
{
    size_t wanted = (size_t)part.width * (size_t)part.height * 4 + BITMAP_SLACK;
    if (wanted > b->room) {
        xfree(b->pixels);
        b->room = wanted + wanted / 4;
        b->pixels = xcalloc(b->room, 1);
    }
    b->part = part;
}

/* The most that the image may be reduced by so that resampling still makes it smaller. */
static int reduction_for(const struct bitmap_view *view, int most)
{
    int by = 1;
    while (2 * by <= most && view->box.width >= 2 * by * view->width &&
           view->box.height >= 2 * by * view->height)
        by *= 2;
    return by;
}

static void mirror_rows(uint8_t *out, int width, int height)
{
    for (int y = 0; y < height; y++, out += (int64_t)width * 4)
        for (int left = 0, right = width - 1; left < right; left++, right--) {
            uint32_t a, b;
            memcpy(&a, out + left * 4, 4);
            memcpy(&b, out + right * 4, 4);
            memcpy(out + left * 4, &b, 4);
            memcpy(out + right * 4, &a, 4);
        }
}

bool bitmap_render(struct bitmap_reader *r, const struct bitmap_view *view, bool quick,
                   uint8_t *out)
{
    assert(r->format);
    const struct bitmap_format *format = r->format;
    r->format = NULL;
    int by = quick ? reduction_for(view, format->most_reduction) : 1;
    struct resample_axis *across = &r->resampler.across, *down = &r->resampler.down;
    resample_axis_set(across, (double)view->box.left / by, (double)view->box.width / by,
                      view->width, view->window.left, view->window.width);
    resample_axis_set(down, (double)view->box.top / by, (double)view->box.height / by, view->height,
                      view->window.top, view->window.height);
    const struct bitmap_box part = {across->from, down->from, across->to - across->from,
                                    down->to - down->from};
    if (!format->decode(r->self, part, by, &r->pixels, r->why))
        return false;
    resample(&r->resampler, &r->pixels, out);
    if (view->mirror)
        mirror_rows(out, view->window.width, view->window.height);
    return true;
}

bool bitmap_write_jpeg(const uint8_t *pixels, int width, int height, int quality, uint8_t **file,
                       size_t *bytes)
{
    for (int i = 0; bitmap_format_list[i]; i++)
        if (bitmap_format_list[i]->write) {
            bitmap_format_list[i]->write(pixels, width, height, quality, file, bytes);
            return true;
        }
    return false;
}
