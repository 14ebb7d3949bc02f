/* One image, from bytes to a network's input: cropped, mirrored, normalised, channels last.
 *
 * Which crops and mirrors there are is the data set's (struct augmentation). Which one a sample
 * gets is a pure function of (seed, pass, sample), whoever draws it. */
#ifndef DATA_LOADER_AUGMENT_H
#define DATA_LOADER_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "data_loader/data_loader.h"

/* What is done to an image: the crop's corner relative to the image's (-border .. border), then the
 * mirror. All zero: nothing. */
struct augment {
    int down, right;
    bool mirror;
};

struct augment augment_at(const struct augmentation *a, uint64_t seed, int64_t pass,
                          int32_t sample);

/* Normalised values of the 256 bytes, channel by channel, rounded as PyTorch does: ((byte / 255) -
 * mean) / deviation. */
struct levels {
    float of[MAX_CHANNELS][256];
};

/* Of what the kind itself draws for a sample (dataset_kind.read). */
struct random augment_draw_at(uint64_t seed, int64_t pass, int32_t sample);

void levels_fill(struct levels *levels, const struct dataset *d);

/* Sample i as bytes, [channels][height][width] (see d->channels_last): where it lies in memory, or
 * read into `buffer` of that size, which may be NULL where the data set's pixels lie in memory.
 * `draw` as for dataset_kind.read. */
const uint8_t *dataset_image(const struct dataset *d, int64_t i, struct random *draw,
                             uint8_t *buffer);

/* The image at `bytes` into out, [height][width][channels]. What the crop shows beyond the image is
 * black (byte 0). */
void image_convert(float *out, const struct dataset *d, const uint8_t *bytes, struct augment how,
                   const struct levels *levels);

/* The same for a sample of a data set whose pixels lie in memory. */
void image_write(float *out, const struct dataset *d, int32_t sample, struct augment how,
                 const struct levels *levels);

#endif
