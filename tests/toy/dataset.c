/* A data set for tests/toy_members.sh: three classes of grey stripes, 12 x 10 pixels, no files. */
#include <stdio.h>

#include "data_loader/kinds.h"

enum { CLASSES = 3, HEIGHT = 12, WIDTH = 10, ALL = 600 };

static void open(struct dataset *d, const struct dataset_options *options)
{
    int32_t *labels;
    uint8_t *pixels;
    dataset_alloc(d, options, ALL, &labels, &pixels);
    for (int64_t i = 0; i < d->count; i++) {
        labels[i] = (int32_t)(i % CLASSES);
        for (int p = 0; p < HEIGHT * WIDTH; p++) {
            int line = labels[i] == 0 ? p / WIDTH : labels[i] == 1 ? p % WIDTH : p / WIDTH + p;
            pixels[i * HEIGHT * WIDTH + p] = line % 2 ? (uint8_t)(150 + i % 7) : 60;
        }
    }
    snprintf(d->source, sizeof d->source, "stripes of three kinds");
}

const struct dataset_kind dataset_toydata = {
    .name = "toydata",
    .summary = "stripes",
    .source = "tests/toy/dataset.c",
    .preset = {.generated = true,
               .classes = CLASSES,
               .channels = 1,
               .height = HEIGHT,
               .width = WIDTH,
               .mean = {0.4f},
               .deviation = {0.2f}},
    .open = open,
};
