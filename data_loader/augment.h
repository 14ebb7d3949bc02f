/* One image, from bytes to what a network eats: cropped, mirrored, normalised, channels last.
 *
 * Augmentation is the customary one of CIFAR (He et al. 2015, section 4.2): a black border of 4
 * pixels, a crop of the old size at random, mirrored in one of two cases. It is a pure function of
 * (seed, pass, sample), whoever draws it. */
#ifndef DATA_LOADER_AUGMENT_H
#define DATA_LOADER_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "data_loader/data_loader.h"

enum { AUGMENT_BORDER = 4 };

/* What is done to a image: the crop's corner relative to the image's (-4 .. 4), then the mirror.
 * All zero: nothing. */
struct augment {
    int down, right;
    bool mirror;
};

struct augment augment_at(uint64_t seed, int64_t pass, int32_t sample);

/* Normalised values of the 256 bytes, channel by channel, rounded as PyTorch does: ((byte / 255) -
 * mean) / deviation. */
struct levels {
    float of[MAX_CHANNELS][256];
};

void levels_fill(struct levels *levels, const struct dataset *d);

/* Sample `sample` into out, [height][width][channels]. What the crop shows beyond the image is
 * black (byte 0). */
void image_write(float *out, const struct dataset *d, int32_t sample, struct augment how,
                 const struct levels *levels);

#endif
