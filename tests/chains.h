/* The small networks of test_backends.c: parts of ResNets with both stems, every flag of a
 * convolution, and what other networks have. */
#ifndef TESTS_CHAINS_H
#define TESTS_CHAINS_H

#include "tests/layer_harness.h"

/* Those before CHAINS fit images of any size. */
enum {
    PLAIN,
    BOTTLENECK,
    STAGE,
    STAGE_ONE,
    OPTION_A,
    IMAGENET_STEM,
    EVERY_FLAG,
    BIASES,
    DROPPED,
    POOLED,
    GROUPED,
    CHAINS,
    LENET = CHAINS,
    ALL_CHAINS
};

extern const struct chain chains[ALL_CHAINS];

struct chain chain_without_relu(const struct chain *chain); /* the same units, no ReLU */

#endif
