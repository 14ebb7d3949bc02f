/* A data set of random bytes in the shape of a network's images, and batches out of it: as crops,
 * and as the floats that a loader makes of them. */
#ifndef TESTS_SNAPSHOTS_H
#define TESTS_SNAPSHOTS_H

#include "data_loader/data_loader.h"
#include "data_loader/augment.h"
#include "network/network.h"

enum { SNAPSHOTS = 7 };

struct snapshots {
    struct dataset set;
    struct levels levels;
    int batch;
    struct crop *crops; /* the batch drawn last */
    float *floats;
};

void snapshots_open(struct snapshots *s, const struct model *a);
void snapshots_close(struct snapshots *s);
struct pixels snapshots_pixels(const struct snapshots *s);

/* A batch of its own for each number. Those that were handed out before change with it. */
void snapshots_draw(struct snapshots *s, int number);
struct images snapshots_floats(const struct snapshots *s);
struct images snapshots_crops(const struct snapshots *s, const struct resident_dataset *resident);

#endif
