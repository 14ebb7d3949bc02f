/* The ResNets as lists of units: 18 34 50 101 152 (He 2016, with the stride in the 3x3 convolution
 * as torchvision has it) and He's small ones for CIFAR, 20 32 44 56 110 (section 4.2 there: three
 * stages of 16, 32, 64 channels, shortcuts without parameters). */
#ifndef RESNET_RESNET_H
#define RESNET_RESNET_H

#include <stdbool.h>

#include "model/model.h"

/* Their own options. */
struct resnet_options {
    const char *stem; /* 18 .. 152: "cifar" (3x3, stride 1, no pool) or "imagenet" (7x7, stride 2,
                         max pool) */
    bool zero_gamma;  /* each block starts as its shortcut: gamma 0 in its last norm */
    const char *norm; /* "batch" (or NULL) or "group" */
    int64_t groups;   /* of a group norm; half the channels where that is less */
};

/* Fatal on an unknown stem, or images of fewer than 8 x 8 pixels. */
extern const struct model_kind model_resnet;

#endif
