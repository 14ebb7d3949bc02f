/* Images that are generated: any size, any number of classes to learn, for machines without real
 * ones.
 *
 * An image is a plain ground with a slope of brightness, and on it a rectangle filled with the
 * class's texture in two random colours, at a random position, phase, size, tilt and mirror, under
 * noise. Every texture covers exactly half of its tile and colours, positions and noise don't
 * depend on the class: so no pixel's mean and no colour tells one class from another, a linear
 * model finds next to nothing, and a small neighbourhood tells all. Classes are closed under
 * mirroring (augmentation flips). Whole numbers only, keyed by (seed, half, sample): the same bytes
 * on every machine, other ones for training and test. About 10 us per image of 32 x 32 x 3. A set
 * of up to 1 GiB lies in memory, a larger one is made image by image when it is read. */
#include "data_loader/synthetic.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "data_loader/kinds.h"

enum { CLASSES = 10, SIDE = 32, CHANNELS = 3, TRAIN = 50000, TEST = 10000 };
enum { HAND_MADE = 10, TILE = 8, TILE_BITS = TILE * TILE };
enum { ONE = 256, NOISE = 48, CONTRAST = 100 };
enum { RESIDENT_MOST = 1 << 30 }; /* bytes of pixels */

/* Eight rows of eight bits, half of them set: the first classes. */
static const uint8_t tiles[HAND_MADE][8] = {
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

/* The tiles of all classes. The later ones are drawn by their number alone: half of the bits. */
static void fill_tiles(uint8_t (*tile)[TILE], int classes)
{
    memcpy(tile, tiles, sizeof tiles[0] * (size_t)(classes < HAND_MADE ? classes : HAND_MADE));
    for (int c = HAND_MADE; c < classes; c++) {
        int32_t bit[TILE_BITS];
        struct random r = random_at(RANDOM_IMAGE, 0, 2, (uint64_t)c, 0); /* 2: of neither half */
        for (int i = 0; i < TILE_BITS; i++)
            bit[i] = i;
        random_shuffle(&r, bit, TILE_BITS);
        for (int i = 0; i < TILE_BITS / 2; i++)
            tile[c][bit[i] / TILE] |= (uint8_t)(1 << bit[i] % TILE);
    }
}

struct generator {
    uint64_t seed;
    bool train;
    uint8_t (*tile)[TILE]; /* [classes] */
};

/* How one image looks, in pixels and 1/256 of them. The pixel (x, y) shows the tile's (u, v); sums
 * wrap, 8 x 256 divides 2^32. */
struct look {
    const uint8_t *tile;
    uint32_t u, v, u_right, v_right, u_down, v_down;
    int left, top, width, height;
    int ink[MAX_CHANNELS], paper[MAX_CHANNELS], ground[MAX_CHANNELS]; /* colours */
    int slope_right, slope_down; /* of the ground's brightness, 1/16 a pixel */
};

/* low .. high */
static int pick(struct random *r, int low, int high)
{
    return low + (int)random_below(r, (uint64_t)(high - low) + 1);
}

static void colour(struct random *r, int *colour_of, int channels)
{
    for (int c = 0; c < channels; c++)
        colour_of[c] = pick(r, 32, 223);
}

static int distance(const int *a, const int *b, int channels)
{
    int sum = 0;
    for (int c = 0; c < channels; c++)
        sum += a[c] > b[c] ? a[c] - b[c] : b[c] - a[c];
    return sum;
}

static struct look look_at(struct random *r, const uint8_t *tile, int side, int channels)
{
    struct look k = {.tile = tile};
    int mirror = pick(r, 0, 1) ? 1 : -1, size = pick(r, ONE * 7 / 8, ONE * 9 / 8);
    k.u = (uint32_t)random_bits(r);
    k.v = (uint32_t)random_bits(r);
    k.u_right = (uint32_t)(mirror * size);
    k.u_down = (uint32_t)pick(r, -ONE / 8, ONE / 8);
    k.v_right = (uint32_t)pick(r, -ONE / 8, ONE / 8);
    k.v_down = (uint32_t)size;
    k.width = pick(r, side * 9 / 16, side);
    k.height = pick(r, side * 9 / 16, side);
    k.left = pick(r, 0, side - k.width);
    k.top = pick(r, 0, side - k.height);
    colour(r, k.ground, channels);
    do {
        colour(r, k.ink, channels);
        colour(r, k.paper, channels);
    } while (distance(k.ink, k.paper, channels) < CONTRAST);
    k.slope_right = pick(r, -32, 32);
    k.slope_down = pick(r, -32, 32);
    return k;
}

static uint8_t clamped(int value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Puts a pixel into its planes, with noise of its own on each. */
static void put(uint8_t *pixel, int plane, int channels, const int *colours, int light,
                uint64_t bits)
{
    for (int c = 0; c < channels; c++) {
        int noise = (int)((bits >> 16 * c & 0xffff) * NOISE >> 16) - NOISE / 2;
        pixel[c * plane] = clamped(colours[c] + light + noise);
    }
}

static void draw(uint8_t *image, struct random *r, const uint8_t *tile, int side, int channels)
{
    struct look k = look_at(r, tile, side, channels);
    for (int y = 0; y < side; y++) {
        bool high = k.top <= y && y < k.top + k.height;
        uint32_t u = k.u + (uint32_t)y * k.u_down, v = k.v + (uint32_t)y * k.v_down;
        for (int x = 0; x < side; x++, u += k.u_right, v += k.v_right) {
            bool set = k.tile[v / ONE % 8] >> (u / ONE % 8) & 1;
            bool inside = high && k.left <= x && x < k.left + k.width;
            int slope = k.slope_right * (x - side / 2) + k.slope_down * (y - side / 2);
            put(image + y * side + x, side * side, channels,
                inside ? (set ? k.ink : k.paper) : k.ground, inside ? 0 : slope * SIDE / side / 16,
                random_bits(r));
        }
    }
}

static void read_image(const struct dataset *d, int64_t i, struct random *unused, uint8_t *image)
{
    (void)unused;
    const struct generator *g = d->self;
    struct random r = random_at(RANDOM_IMAGE, g->seed, g->train, (uint64_t)i, 0);
    draw(image, &r, g->tile[i % d->classes], d->height, d->channels);
}

static void open(struct dataset *d, const struct dataset_options *o)
{
    struct generator *g = d->self = xcalloc(1, sizeof *g);
    uint8_t *pixels = NULL;
    int32_t *labels;
    if (o->own) {
        const struct synthetic_options *own = o->own;
        d->classes = (int)own->classes;
        d->channels = (int)own->channels;
        d->height = d->width = (int)own->side;
    }
    for (int c = 0; c < d->channels; c++) {
        d->mean[c] = 0.5f;
        d->deviation[c] = 0.23f;
    }
    *g = (struct generator){.seed = o->seed, .train = o->train};
    g->tile = xcalloc((size_t)d->classes, sizeof *g->tile);
    fill_tiles(g->tile, d->classes);
    int64_t all = o->train ? TRAIN : TEST, size = (int64_t)d->channels * d->height * d->width,
            count = o->limit > 0 && o->limit < all ? o->limit : all;
    dataset_alloc(d, o, all, &labels, count * size <= RESIDENT_MOST ? &pixels : NULL);
    for (int64_t i = 0; i < d->count; i++) {
        labels[i] = (int32_t)(i % d->classes);
        if (pixels)
            read_image(d, i, NULL, pixels + i * size);
    }
    snprintf(d->source, sizeof d->source, "GENERATED textures, not real images; %s half, seed %llu",
             o->train ? "training" : "test", (unsigned long long)o->seed);
}

static void close(struct dataset *d)
{
    struct generator *g = d->self;
    xfree(g->tile);
    xfree(g);
}

#define AT(field) offsetof(struct synthetic_options, field)

static const struct option_row rows[] = {{.name = "synthetic-classes",
                                          .type = OPTION_INT,
                                          .offset = AT(classes),
                                          .preset = "10",
                                          .placeholder = "N",
                                          .help = "classes of the generated images",
                                          .least = 1,
                                          .most = 1000000},
                                         {.name = "synthetic-channels",
                                          .type = OPTION_INT,
                                          .offset = AT(channels),
                                          .preset = "3",
                                          .placeholder = "N",
                                          .help = "their channels",
                                          .least = 1,
                                          .most = MAX_CHANNELS},
                                         {.name = "synthetic-side",
                                          .type = OPTION_INT,
                                          .offset = AT(side),
                                          .preset = "32",
                                          .placeholder = "PIXELS",
                                          .help = "their height and width",
                                          .least = TILE,
                                          .most = 4096},
                                         {0}};

static const struct option_set option_set = {.title = "Generated images",
                                             .owner = "--dataset synthetic",
                                             .rows = rows,
                                             .size = sizeof(struct synthetic_options)};

const struct dataset_kind dataset_synthetic = {
    .name = "synthetic",
    .summary = "generated textures, no files needed",
    .preset = {.generated = true,
               .classes = CLASSES,
               .channels = CHANNELS,
               .height = SIDE,
               .width = SIDE,
               .augmentation = {.border = 4, .mirror = true}},
    .options = &option_set,
    .open = open,
    .read = read_image,
    .close = close,
};
