/* Images that are made, not taken: 32 x 32 x 3 with a class to learn, for machines without the real
 * ones.
 *
 * A image is a plain ground with a slope of brightness, and on it a rectangle filled with the
 * class's texture in two random colours, at a random place, phase, size, tilt and mirror, under
 * noise. Every texture covers exactly half of its tile and colours, places and noise don't ask for
 * the class: so no pixel's mean and no colour tells the classes apart, a linear model finds next to
 * nothing, and a small neighbourhood tells all. Classes are closed under mirroring (augmentation
 * flips). Whole numbers only, keyed by (seed, half, sample): the same bytes on every machine, train
 * and test apart. About 10 us a image. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/random.h"
#include "data_loader/kinds.h"

enum {
    CLASSES = 10,
    SIDE = 32,
    PLANE = SIDE * SIDE,
    IMAGE = 3 * PLANE,
    TRAIN = 50000,
    TEST = 10000
};
enum { ONE = 256, NOISE = 48, CONTRAST = 100 };

/* Eight rows of eight bits, half of them set. */
static const uint8_t tiles[CLASSES][8] = {
    {0xff, 0xff, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00}, /* narrow rows */
    {0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc}, /* narrow columns */
    {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00}, /* wide rows */
    {0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0}, /* wide columns */
    {0xcc, 0xcc, 0x33, 0x33, 0xcc, 0xcc, 0x33, 0x33}, /* small squares */
    {0xf0, 0xf0, 0xf0, 0xf0, 0x0f, 0x0f, 0x0f, 0x0f}, /* large squares */
    {0xf0, 0x78, 0x3c, 0x1e, 0x0f, 0x87, 0xc3, 0xe1}, /* diagonals */
    {0xf0, 0x78, 0x3c, 0x1e, 0x0f, 0x1e, 0x3c, 0x78}, /* zigzag */
    {0x00, 0x18, 0x3c, 0x7e, 0xff, 0x7e, 0x3c, 0x18}, /* diamonds */
    {0x00, 0x7e, 0x7e, 0x66, 0x66, 0x7e, 0x7e, 0x00}, /* frames */
};

/* How one image looks, in pixels and 1/256 of them. A place (x, y) shows the tile's (u, v); sums
 * wrap, 8 x 256 divides 2^32. */
struct look {
    const uint8_t *tile;
    uint32_t u, v, u_right, v_right, u_down, v_down;
    int left, top, width, height;
    int ink[3], paper[3], ground[3]; /* colours */
    int slope_right, slope_down;     /* of the ground's brightness, 1/16 a pixel */
};

/* low .. high */
static int pick(struct random *r, int low, int high)
{
    return low + (int)random_below(r, (uint64_t)(high - low) + 1);
}

static void colour(struct random *r, int *channels)
{
    for (int c = 0; c < 3; c++)
        channels[c] = pick(r, 32, 223);
}

static int distance(const int *a, const int *b)
{
    int sum = 0;
    for (int c = 0; c < 3; c++)
        sum += a[c] > b[c] ? a[c] - b[c] : b[c] - a[c];
    return sum;
}

static struct look look_at(struct random *r, int label)
{
    struct look k = {.tile = tiles[label]};
    int mirror = pick(r, 0, 1) ? 1 : -1, size = pick(r, ONE * 7 / 8, ONE * 9 / 8);
    k.u = (uint32_t)random_bits(r);
    k.v = (uint32_t)random_bits(r);
    k.u_right = (uint32_t)(mirror * size);
    k.u_down = (uint32_t)pick(r, -ONE / 8, ONE / 8);
    k.v_right = (uint32_t)pick(r, -ONE / 8, ONE / 8);
    k.v_down = (uint32_t)size;
    k.width = pick(r, 18, 32);
    k.height = pick(r, 18, 32);
    k.left = pick(r, 0, SIDE - k.width);
    k.top = pick(r, 0, SIDE - k.height);
    colour(r, k.ground);
    do {
        colour(r, k.ink);
        colour(r, k.paper);
    } while (distance(k.ink, k.paper) < CONTRAST);
    k.slope_right = pick(r, -32, 32);
    k.slope_down = pick(r, -32, 32);
    return k;
}

static uint8_t clamped(int value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Puts a pixel into the three planes, with noise of its own on each. */
static void put(uint8_t *pixel, const int *colours, int light, uint64_t bits)
{
    for (int c = 0; c < 3; c++) {
        int noise = (int)((bits >> 16 * c & 0xffff) * NOISE >> 16) - NOISE / 2;
        pixel[c * PLANE] = clamped(colours[c] + light + noise);
    }
}

static void draw(uint8_t *image, struct random *r, int label)
{
    struct look k = look_at(r, label);
    for (int y = 0; y < SIDE; y++) {
        bool high = k.top <= y && y < k.top + k.height;
        uint32_t u = k.u + (uint32_t)y * k.u_down, v = k.v + (uint32_t)y * k.v_down;
        for (int x = 0; x < SIDE; x++, u += k.u_right, v += k.v_right) {
            bool set = k.tile[v / ONE % 8] >> (u / ONE % 8) & 1;
            int slope = k.slope_right * (x - SIDE / 2) + k.slope_down * (y - SIDE / 2);
            if (high && k.left <= x && x < k.left + k.width)
                put(image + y * SIDE + x, set ? k.ink : k.paper, 0, random_bits(r));
            else
                put(image + y * SIDE + x, k.ground, slope / 16, random_bits(r));
        }
    }
}

static void synthetic_open(struct dataset *d, const struct dataset_options *options)
{
    int64_t all = options->train ? TRAIN : TEST,
            count = options->limit > 0 && options->limit < all ? options->limit : all;
    uint8_t *pixels = xcalloc((size_t)count, IMAGE), *labels = xcalloc((size_t)count, 1);
    for (int64_t i = 0; i < count; i++) {
        struct random r = random_at(RANDOM_IMAGE, options->seed, options->train, (uint64_t)i, 0);
        labels[i] = (uint8_t)(i % CLASSES);
        draw(pixels + i * IMAGE, &r, labels[i]);
    }
    *d = (struct dataset){.generated = true,
                          .count = count,
                          .classes = CLASSES,
                          .channels = 3,
                          .height = SIDE,
                          .width = SIDE,
                          .pixels = pixels,
                          .labels = labels,
                          .mean = {0.5f, 0.5f, 0.5f},
                          .deviation = {0.23f, 0.23f, 0.23f}};
    snprintf(d->source, sizeof d->source, "GENERATED textures, not real images; %s half, seed %llu",
             options->train ? "training" : "test", (unsigned long long)options->seed);
}

static void synthetic_close(struct dataset *d)
{
    xfree((void *)d->pixels);
    xfree((void *)d->labels);
}

const struct dataset_kind dataset_synthetic = {.name = "synthetic",
                                               .summary = "made textures, no files needed",
                                               .open = synthetic_open,
                                               .close = synthetic_close};
