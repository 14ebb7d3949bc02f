/* One box of an image to another size: Pillow's resize(BILINEAR). Private to bitmap/.
 *
 * A triangle as wide as two output pixels, or two input pixels where the image grows, so that
 * nothing is skipped (antialias). First along rows, rounded to bytes, then along columns; weights
 * are whole numbers of 1/2^22, sums are of 32 bits, as in Pillow's resampling of 8-bit images, and
 * so have the same bits. */
#ifndef BITMAP_RESAMPLE_H
#define BITMAP_RESAMPLE_H

#include "bitmap/format.h"

/* The weights of one direction. Output i is the sum over t < inputs[i] of weight[i * taps + t] x
 * input first[i] + t. */
struct resample_axis {
    int taps;            /* even; the most inputs of an output */
    int count;           /* outputs */
    int from, to;        /* inputs that are read: from .. to - 1 */
    int *first, *inputs; /* [count] each */
    int32_t *weight;     /* [count][taps]; 0 beyond inputs[i] */
    size_t room, list_room;
};

struct resampler {
    struct resample_axis across, down;
    uint8_t *rows; /* the input's rows at the output's width */
    size_t room;
};

/* Plans: the stretch [from, from + stretch) of the inputs' line becomes `size` outputs, of which
 * `count` from `first` on are made. Inputs that the stretch doesn't touch have no weight: a crop
 * that is resampled doesn't know what was beside it. */
void resample_axis_set(struct resample_axis *a, double from, double stretch, int size, int first,
                       int count);

/* The planned outputs, out[down.count][across.count][4], from a bitmap that has what is read. */
void resample(struct resampler *r, const struct bitmap *from, uint8_t *out);

void resampler_close(struct resampler *r);

#endif
