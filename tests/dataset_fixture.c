#include "tests/dataset_fixture.h"

#include "base/alloc.h"
#include "base/random.h"

struct dataset dataset_fixture_random(int count)
{
    uint8_t *pixels = xcalloc((size_t)count, FIXTURE_IMAGE);
    int32_t *labels = xcalloc((size_t)count, sizeof *labels);
    struct random r = random_at(RANDOM_TEST, 7, 0, 0, 0);
    for (int64_t i = 0; i < (int64_t)count * FIXTURE_IMAGE; i++)
        pixels[i] = (uint8_t)random_bits(&r);
    for (int i = 0; i < count; i++)
        labels[i] = i % 251;
    return (struct dataset){.count = count,
                            .classes = 251,
                            .channels = FIXTURE_CHANNELS,
                            .height = FIXTURE_HEIGHT,
                            .width = FIXTURE_WIDTH,
                            .pixels = pixels,
                            .labels = labels,
                            .mean = {0.5f, 0.3f},
                            .deviation = {0.25f, 0.2f},
                            .augmentation = {.border = 4, .mirror = true}};
}

void dataset_fixture_close(struct dataset *d)
{
    xfree((void *)d->pixels);
    xfree((void *)d->labels);
}

struct dataset dataset_fixture_labels(const int32_t *labels, int64_t count, int classes)
{
    return (struct dataset){.count = count,
                            .classes = classes,
                            .channels = 1,
                            .height = 1,
                            .width = 1,
                            .pixels = (const uint8_t *)labels,
                            .labels = labels,
                            .deviation = {1}};
}
