/* PNG by libpng: any depth, any colour, interlaced; the whole image, whatever part is wanted. */
#include <png.h>

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "bitmap/format.h"

struct decoder {
    png_structp png; /* NULL: nothing has begun */
    png_infop info;
    const uint8_t *at, *end;
    char *why; /* of the call under way */
};

static _Noreturn void fail(png_structp png, png_const_charp said)
{
    struct decoder *d = png_get_error_ptr(png);
    snprintf(d->why, BITMAP_WHY, "a broken PNG: %.150s", said);
    png_longjmp(png, 1);
}

static void say_nothing(png_structp png, png_const_charp said)
{
    (void)png, (void)said;
}

static void take(png_structp png, png_bytep to, size_t bytes)
{
    struct decoder *d = png_get_io_ptr(png);
    if (bytes > (size_t)(d->end - d->at)) {
        snprintf(d->why, BITMAP_WHY, "a truncated PNG");
        png_longjmp(png, 1);
    }
    memcpy(to, d->at, bytes);
    d->at += bytes;
}

static void *open(void)
{
    return xcalloc(1, sizeof(struct decoder));
}

static void end(struct decoder *d)
{
    png_destroy_read_struct(&d->png, &d->info, NULL);
    d->png = NULL;
    d->info = NULL;
}

static void close(void *self)
{
    end(self);
    xfree(self);
}

/* Is the last chunk there? */
static bool has_end(const uint8_t *file, size_t bytes)
{
    static const char end_chunk[] = "IEND";
    for (size_t at = bytes; at >= 4; at--)
        if (!memcmp(file + at - 4, end_chunk, 4))
            return true;
    return false;
}

static bool begin(void *self, const uint8_t *file, size_t bytes, int *width, int *height, char *why)
{
    struct decoder *d = self;
    end(d);
    *d = (struct decoder){.at = file, .end = file + bytes, .why = why};
    d->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, fail, say_nothing);
    d->info = d->png ? png_create_info_struct(d->png) : NULL;
    if (!d->info) {
        snprintf(why, BITMAP_WHY, "libpng has no memory, or is of another version than its header");
        return false;
    }
    if (setjmp(png_jmpbuf(d->png))) {
        end(d);
        return false;
    }
    png_set_read_fn(d->png, d, take);
    png_read_info(d->png, d->info);
    if (!has_end(d->at, (size_t)(d->end - d->at))) {
        snprintf(why, BITMAP_WHY, "a truncated PNG: its end is not there");
        end(d);
        return false;
    }
    *width = (int)png_get_image_width(d->png, d->info);
    *height = (int)png_get_image_height(d->png, d->info);
    return true;
}

static bool decode(void *self, struct bitmap_box part, int reduction, struct bitmap *to, char *why)
{
    struct decoder *d = self;
    (void)part, (void)reduction;
    d->why = why;
    if (setjmp(png_jmpbuf(d->png))) {
        end(d);
        return false;
    }
    int width = (int)png_get_image_width(d->png, d->info),
        height = (int)png_get_image_height(d->png, d->info);
    png_set_palette_to_rgb(d->png);
    png_set_expand_gray_1_2_4_to_8(d->png);
    png_set_strip_16(d->png);
    png_set_strip_alpha(d->png);
    png_set_gray_to_rgb(d->png);
    png_set_filler(d->png, 255, PNG_FILLER_AFTER);
    int passes = png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    bitmap_reserve(to, (struct bitmap_box){0, 0, width, height});
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < height; y++)
            png_read_row(d->png, to->pixels + (int64_t)y * width * 4, NULL);
    end(d);
    return true;
}

const struct bitmap_format bitmap_png = {
    .name = "PNG",
    .signature = "\x89PNG\r\n\x1a\n",
    .signature_bytes = 8,
    .most_reduction = 1,
    .open = open,
    .close = close,
    .begin = begin,
    .decode = decode,
};
