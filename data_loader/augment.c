/* Bytes to normalised floats by a table, a row of a channel at a time.
 *
 * Cost: one load, one look-up (1 KiB a channel, in L1) and one store a value; about 2 us for an
 * image of 32 x 32 x 3, whatever is done to it. */
#include "data_loader/augment.h"

#include <assert.h>
#include <stddef.h>

#include "data_loader/kinds.h"

struct augment augment_at(const struct augmentation *a, uint64_t seed, int64_t pass, int32_t sample)
{
    struct random r = random_at(RANDOM_AUGMENT, seed, (uint64_t)pass, (uint64_t)sample, 0);
    uint64_t corners = 2 * (uint64_t)a->border + 1;
    int down = (int)random_below(&r, corners) - a->border;
    int right = (int)random_below(&r, corners) - a->border;
    return (struct augment){
        .down = down, .right = right, .mirror = a->mirror && random_below(&r, 2)};
}

struct random augment_draw_at(uint64_t seed, int64_t pass, int32_t sample)
{
    return random_at(RANDOM_AUGMENT, seed, (uint64_t)pass, (uint64_t)sample, 1);
}

void levels_fill(struct levels *levels, const struct dataset *d)
{
    for (int c = 0; c < d->channels; c++)
        for (int byte = 0; byte < 256; byte++)
            levels->of[c][byte] = ((float)byte / 255.0f - d->mean[c]) / d->deviation[c];
}

static int between(int low, int x, int high)
{
    return x < low ? low : x > high ? high : x;
}

/* out[x step] for 0 <= x < width is row[x + right], and black where the row has no such pixel or
 * there is no row. */
static void row_write(float *out, int64_t step, const uint8_t *row, int width, int right,
                      const float *level)
{
    int from = row ? between(0, -right, width) : width;
    int to = row ? between(from, width - right, width) : width;
    for (int x = 0; x < from; x++)
        out[x * step] = level[0];
    for (int x = from; x < to; x++)
        out[x * step] = level[row[x + right]];
    for (int x = to; x < width; x++)
        out[x * step] = level[0];
}

const uint8_t *dataset_image(const struct dataset *d, int64_t i, struct random *draw,
                             uint8_t *buffer)
{
    if (d->pixels)
        return d->pixels + i * d->channels * d->height * d->width;
    d->kind->read(d, d->index ? d->index[i] : i, draw, buffer);
    return buffer;
}

static void convert_channels_last(float *out, const struct dataset *d, const uint8_t *bytes,
                                  const struct levels *levels)
{
    const int64_t pixels = (int64_t)d->height * d->width, channels = d->channels;
    for (int64_t i = 0; i < pixels; i++, out += channels, bytes += channels)
        for (int64_t c = 0; c < channels; c++)
            out[c] = levels->of[c][bytes[c]];
}

void image_convert(float *out, const struct dataset *d, const uint8_t *bytes, struct augment how,
                   const struct levels *levels)
{
    if (d->channels_last) {
        assert(!how.down && !how.right && !how.mirror);
        convert_channels_last(out, d, bytes, levels);
        return;
    }
    int64_t width = d->width, height = d->height, channels = d->channels;
    int64_t step = how.mirror ? -channels : channels,
            start = how.mirror ? (width - 1) * channels : 0;
    for (int64_t y = 0; y < height; y++) {
        int64_t from = y + how.down;
        bool inside = 0 <= from && from < height;
        for (int64_t c = 0; c < channels; c++) {
            const uint8_t *row = inside ? bytes + (c * height + from) * width : NULL;
            row_write(out + y * width * channels + start + c, step, row, d->width, how.right,
                      levels->of[c]);
        }
    }
}

void image_write(float *out, const struct dataset *d, int32_t sample, struct augment how,
                 const struct levels *levels)
{
    image_convert(out, d, dataset_image(d, sample, NULL, NULL), how, levels);
}
