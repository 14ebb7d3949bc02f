/* The ResNets as lists of units: 18 34 50 101 152 (He 2016, with the stride in the 3x3 convolution
 * as torchvision has it) and He's small ones for CIFAR, 20 32 44 56 110 (section 4.2 there: three
 * stages of 16, 32, 64 channels, shortcuts without parameters). */
#ifndef RESNET_RESNET_H
#define RESNET_RESNET_H

#include <stdbool.h>

#include "model/model.h"

struct resnet_options {
    const char *name; /* "resnet50"; resnet_names() lists them */
    const char *stem; /* 18 .. 152: "cifar" (3x3, stride 1, no pool) or "imagenet" (7x7, stride 2,
                         max pool) */
    int batch, classes, channels, height, width;
};

bool resnet_known(const char *name);
const char *resnet_names(void);

/* Fills *a. Fatal on an unknown name or stem, or images too small for the network. */
void resnet_describe(struct model *a, const struct resnet_options *options);

#endif
