/* Data sets made by hand, for tests of what is done with them. */
#ifndef TESTS_DATASET_FIXTURE_H
#define TESTS_DATASET_FIXTURE_H

#include "data_loader/data_loader.h"

enum {
    FIXTURE_CHANNELS = 2,
    FIXTURE_HEIGHT = 9,
    FIXTURE_WIDTH = 11,
    FIXTURE_IMAGE = FIXTURE_CHANNELS * FIXTURE_HEIGHT * FIXTURE_WIDTH
};

/* Random bytes in an odd shape, sample i has label i % 251; border 4 and a mirror. */
struct dataset dataset_fixture_random(int count);
void dataset_fixture_close(struct dataset *d);

/* Images of one byte, with these labels, which it borrows. */
struct dataset dataset_fixture_labels(const int32_t *labels, int64_t count, int classes);

#endif
