/* Image files in memory, for tests: drawn, and written by the libraries that wrote most real
 * ones. */
#ifndef TESTS_IMAGE_FILES_H
#define TESTS_IMAGE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum jpeg_colours { JPEG_GREY, JPEG_COLOUR, JPEG_RGB, JPEG_CMYK, JPEG_YCCK };

struct jpeg_file {
    int width, height;
    enum jpeg_colours colours;
    int across, down; /* a colour's pixel stands for so many of brightness; 0: 1 */
    bool progressive, arithmetic;
    int orientation;         /* EXIF's; 0: none is written */
    const uint8_t *constant; /* the four or fewer values of all pixels; NULL: smooth shapes */
    bool slope;              /* no shapes: from black at the left to white at the right */
};

struct png_file {
    int width, height;
    int depth, type; /* bits; libpng's PNG_COLOR_TYPE_... */
    bool interlaced;
};

struct file_bytes {
    uint8_t *bytes; /* free() */
    size_t count;
};

struct file_bytes image_file_jpeg(const struct jpeg_file *f);

/* Sample x of row y of a PNG: image_file_sample() of its depth. Of a palette entry i is (i, 255 -
 * i, 7). */
struct file_bytes image_file_png(const struct png_file *f);
int image_file_sample(int x, int y, int depth);

/* A file of these bytes; asserts that it could be written. */
void image_file_save(const char *path, const struct file_bytes *f);

#endif
