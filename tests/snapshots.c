#include "tests/snapshots.h"

#include "base/alloc.h"
#include "base/random.h"

enum { SEED = 5 };

static int64_t image_size(const struct snapshots *s)
{
    return (int64_t)s->set.channels * s->set.height * s->set.width;
}

void snapshots_open(struct snapshots *s, const struct model *a)
{
    size_t bytes = (size_t)SNAPSHOTS * (size_t)(a->channels * a->height * a->width);
    uint8_t *pixels = xcalloc(bytes, 1);
    struct random r = random_at(RANDOM_TEST, SEED, 0, 0, 0);
    for (size_t i = 0; i < bytes; i++)
        pixels[i] = (uint8_t)random_below(&r, 256);
    *s = (struct snapshots){.batch = a->batch};
    s->set = (struct dataset){.count = SNAPSHOTS,
                              .channels = a->channels,
                              .height = a->height,
                              .width = a->width,
                              .pixels = pixels,
                              .mean = {0.5f, 0.4f, 0.6f},
                              .deviation = {0.25f, 0.2f, 0.3f},
                              .augmentation = {.border = 4, .mirror = true}};
    levels_fill(&s->levels, &s->set);
    s->crops = xcalloc((size_t)s->batch, sizeof *s->crops);
    s->floats = xcalloc((size_t)(s->batch * image_size(s)), sizeof *s->floats);
    snapshots_draw(s, 0);
}

void snapshots_close(struct snapshots *s)
{
    xfree((void *)s->set.pixels);
    xfree(s->crops);
    xfree(s->floats);
}

struct pixels snapshots_pixels(const struct snapshots *s)
{
    return (struct pixels){.bytes = s->set.pixels,
                           .count = s->set.count,
                           .channels = s->set.channels,
                           .height = s->set.height,
                           .width = s->set.width,
                           .levels = s->levels.of[0]};
}

void snapshots_draw(struct snapshots *s, int number)
{
    for (int i = 0; i < s->batch; i++) {
        int32_t sample = (number * s->batch + 3 * i) % SNAPSHOTS;
        struct augment how = augment_at(&s->set.augmentation, SEED, number, sample);
        s->crops[i] = (struct crop){sample, how.down, how.right, how.mirror};
        image_write(s->floats + i * image_size(s), &s->set, sample, how, &s->levels);
    }
}

struct images snapshots_floats(const struct snapshots *s)
{
    return (struct images){.floats = s->floats};
}

struct images snapshots_crops(const struct snapshots *s, const struct resident_dataset *resident)
{
    return (struct images){.resident = resident, .crops = s->crops};
}
