/* Image files to samples of one size: what data sets of files have in common, and its options.
 *
 * For training a box of any place, size and shape is drawn, resized and perhaps mirrored; for
 * evaluation the shorter side is resized and the middle is taken (bitmap/bitmap.h). Threads may
 * render at once. */
#ifndef DATA_LOADER_RENDERING_H
#define DATA_LOADER_RENDERING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "base/random.h"
#include "data_loader/data_loader.h"

struct rendering_options {
    int64_t side, short_side;
    double crop_area;
    bool quick;
    int64_t threads; /* 0: as the rank computes with */
};

/* The rows of a kind's option set whose struct begins with that. */
#define RENDERING_AT(field) offsetof(struct rendering_options, field)
#define RENDERING_ROWS                                                                             \
    {.name = "image-size",                                                                         \
     .type = OPTION_INT,                                                                           \
     .offset = RENDERING_AT(side),                                                                 \
     .preset = "224",                                                                              \
     .placeholder = "PIXELS",                                                                      \
     .help = "height and width of what is trained on and judged",                                  \
     .least = 1,                                                                                   \
     .most = 4096},                                                                                \
        {.name = "short-side",                                                                     \
         .type = OPTION_INT,                                                                       \
         .offset = RENDERING_AT(short_side),                                                       \
         .preset = "0",                                                                            \
         .placeholder = "PIXELS",                                                                  \
         .help = "to judge, the shorter side is resized to this and the middle is taken (0: 8/7 "  \
                 "of --image-size)",                                                               \
         .most = 65536},                                                                           \
        {.name = "crop-area",                                                                      \
         .type = OPTION_REAL,                                                                      \
         .flags = OPTION_ABOVE,                                                                    \
         .offset = RENDERING_AT(crop_area),                                                        \
         .preset = "0.08",                                                                         \
         .placeholder = "PART",                                                                    \
         .help = "to train, a box of this part of the image or more is drawn; 1: no less than "    \
                 "all",                                                                            \
         .most = 1},                                                                               \
        {.name = "quick-decode",                                                                   \
         .type = OPTION_FLAG,                                                                      \
         .offset = RENDERING_AT(quick),                                                            \
         .preset = "yes",                                                                          \
         .help = "to train, decode a JPEG at 1/2, 1/4 or 1/8 where its box is that much larger "   \
                 "than --image-size: a little blurred, several times as fast"},                    \
    {                                                                                              \
        .name = "decode-threads", .type = OPTION_INT, .flags = OPTION_FREE | OPTION_OWN,           \
        .offset = RENDERING_AT(threads), .preset = "0", .placeholder = "N",                        \
        .help = "of each rank, that read and decode (0: as many as it computes with)",             \
        .most = 1024                                                                               \
    }

enum { RENDERING_WHY = 300 };

struct rendering;

/* Fills the data set's sizes and normalisation, ImageNet's, and its pool. o->own begins with struct
 * rendering_options; NULL takes the presets. Fatal when no format of images was built in, or the
 * sides cannot be. */
struct rendering *rendering_open(struct dataset *d, const struct dataset_options *o);
void rendering_close(struct rendering *r, struct dataset *d);

/* A file of so many bytes as [side][side][3]; draw as for dataset_kind.read. false: why[] says
 * what is wrong with it, also when it has other than `bytes` bytes (-1: any). */
bool rendering_file(struct rendering *r, const char *path, int64_t bytes, struct random *draw,
                    uint8_t *image, char *why);

/* The same of a piece of an open file. digest: XXH3 of the piece, which is checked; NULL: it isn't
 * known. */
bool rendering_piece(struct rendering *r, int file, int64_t offset, size_t bytes,
                     const uint64_t *digest, struct random *draw, uint8_t *image, char *why);

/* Is it an image that is whole, as far as its beginning and its end say? */
bool rendering_check(struct rendering *r, const char *path, char *why);

#endif
