/* Files of images to pixels of 8 bits: decoded, cropped, resampled.
 *
 * What a file is is decided by its content, never by its name. Any image becomes RGB as Pillow's
 * Image.open(file).convert("RGB") makes it, which is what torchvision's ImageFolder reads:
 *   - grey is repeated, a palette is looked up, transparency is dropped, gamma is ignored;
 *   - CMYK of a JPEG is inverted, as Adobe writes it, and turned to RGB without a profile;
 *   - EXIF's orientation is not applied: Pillow's convert() doesn't, so torchvision doesn't;
 *   - of 16 bits the upper 8 are taken. In grey Pillow clips at 255 instead, nearly all is white
 *     then; this is the one difference.
 * A JPEG without its end marker or a PNG without its last chunk is truncated and refused. Damage
 * inside a JPEG shows in the image alone, as with Pillow.
 *
 * A reader belongs to one thread. Its memory grows to what the largest image needed. */
#ifndef BITMAP_BITMAP_H
#define BITMAP_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"

/* Images of more pixels are refused: Pillow's limit, too. */
enum { BITMAP_MOST_PIXELS = 178956970 };

struct bitmap_box { /* pixels */
    int left, top, width, height;
};

/* What becomes of an image: `box` of it is resampled to width x height, of that `window` is made,
 * and mirrored left to right where `mirror` says so. */
struct bitmap_view {
    struct bitmap_box box;
    int width, height;
    struct bitmap_box window; /* relative to the resampled box */
    bool mirror;
};

/* For training: a box of least_area to 1 of the area and of a ratio between 3/4 and 4/3, ten times
 * drawn until it fits, else the largest in the middle; it becomes side x side; mirrored in one of
 * two cases. torchvision's RandomResizedCrop(side), whose least area is 0.08, and
 * RandomHorizontalFlip(), after Szegedy et al. 2015 (arXiv:1409.4842). */
struct bitmap_view bitmap_view_random(int width, int height, int side, double least_area,
                                      struct random *r);

/* For evaluation: the shorter side becomes short_side, of that side x side in the middle;
 * torchvision's Resize(short_side) and CenterCrop(side). side <= short_side. */
struct bitmap_view bitmap_view_centre(int width, int height, int short_side, int side);

/* The whole image, its shorter side `short_side`, or as it is where it is shorter already. */
struct bitmap_view bitmap_view_shrink(int width, int height, int short_side);

struct bitmap_reader;

struct bitmap_reader *bitmap_reader_open(void);
void bitmap_reader_close(struct bitmap_reader *r);

/* Looks at a whole file in memory, which is borrowed until the next call, and gives the image's
 * size. false: bitmap_error() says why. */
bool bitmap_begin(struct bitmap_reader *r, const uint8_t *file, size_t bytes, int *width,
                  int *height);

/* The view of the image that began: out[window.height][window.width][4], red, green, blue and a
 * byte that means nothing. Resampled as Pillow's resize(BILINEAR, reducing_gap=None) does it, bit
 * for bit. With `quick` a JPEG that becomes smaller than half is decoded at 1/2, 1/4 or 1/8 and
 * resampled from there: other pixels, at less cost. Only what the view shows is decoded. Once for a
 * begin; false as above. */
bool bitmap_render(struct bitmap_reader *r, const struct bitmap_view *view, bool quick,
                   uint8_t *out);

/* A JPEG file of pixels[height][width][4], quality 1 .. 100, colours at half the resolution, in
 * *file, to be freed with free(). false: the program was built without libjpeg-turbo. */
bool bitmap_write_jpeg(const uint8_t *pixels, int width, int height, int quality, uint8_t **file,
                       size_t *bytes);

/* One line, without the file's name. Borrowed until the next call. */
const char *bitmap_error(const struct bitmap_reader *r);

/* "JPEG, PNG": the formats that are built in; "" without any. Into text, which is returned. */
const char *bitmap_formats(char *text, size_t size);

#endif
