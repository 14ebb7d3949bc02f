/* The formats of image files: a folder beside this header with one optional library, and a line in
 * the list of formats.c. Private to bitmap/. */
#ifndef BITMAP_FORMAT_H
#define BITMAP_FORMAT_H

#include "bitmap/bitmap.h"

enum { BITMAP_WHY = 200 };

/* Pixels of an image: `part` of it, [part.height][part.width][4]. After the last one there are
 * BITMAP_SLACK bytes that may be read. */
struct bitmap {
    struct bitmap_box part;
    uint8_t *pixels;
    size_t room;
};

enum { BITMAP_SLACK = 32 };

/* Makes room for the part; what was there is lost. */
void bitmap_reserve(struct bitmap *b, struct bitmap_box part);

struct bitmap_format {
    const char *name;
    const char *signature; /* the first bytes of a file */
    int signature_bytes;
    int most_reduction; /* decode() takes 1, 2, .. up to this */
    void *(*open)(void);
    void (*close)(void *self);
    /* The size of the image in a file, which is borrowed until the next begin(). false: why[], at
     * most BITMAP_WHY bytes. */
    bool (*begin)(void *self, const uint8_t *file, size_t bytes, int *width, int *height,
                  char *why);
    /* The image that began, its sides divided by `reduction` and rounded up: at least `part` of
     * that, which lies in it. */
    bool (*decode)(void *self, struct bitmap_box part, int reduction, struct bitmap *to, char *why);
    /* As bitmap_write_jpeg(); NULL: it isn't written. */
    void (*write)(const uint8_t *pixels, int width, int height, int quality, uint8_t **file,
                  size_t *bytes);
};

extern const struct bitmap_format *const bitmap_format_list[]; /* those built in; NULL at the end */

#endif
