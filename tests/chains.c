#include "tests/chains.h"

#define CONV(input, channels, kernel, stride)                                                      \
    {                                                                                              \
        UNIT_CONV, input, NONE, channels, kernel, stride, kernel / 2, true, true                   \
    }
#define CONV_ADD(input, skip, channels, kernel)                                                    \
    {                                                                                              \
        UNIT_CONV, input, skip, channels, kernel, 1, kernel / 2, true, true                        \
    }
#define NORM(input, skip, channels, kernel, stride)                                                \
    {                                                                                              \
        UNIT_CONV, input, skip, channels, kernel, stride, kernel / 2, true, false                  \
    }
#define BARE(input, skip, channels, kernel, stride, relu)                                          \
    {                                                                                              \
        UNIT_CONV, input, skip, channels, kernel, stride, kernel / 2, false, relu                  \
    }
#define SHORTCUT(input, channels, stride)                                                          \
    {                                                                                              \
        UNIT_SHORTCUT, input, NONE, channels, 1, stride, 0, false, false                           \
    }
#define MAX_POOL(input)                                                                            \
    {                                                                                              \
        UNIT_MAX_POOL, input, NONE, 0, 3, 2, 1, false, false                                       \
    }
#define MEAN_POOL(input)                                                                           \
    {                                                                                              \
        UNIT_MEAN_POOL, input, NONE, 0, 1, 1, 0, false, false                                      \
    }
#define DENSE(input)                                                                               \
    {                                                                                              \
        UNIT_DENSE, input, NONE, 0, 1, 1, 0, false, false                                          \
    }

#define BIASED(input, channels, kernel, pad)                                                       \
    {                                                                                              \
        UNIT_CONV, input, NONE, channels, kernel, 1, pad, .relu = true, .bias = true               \
    }
#define BIASED_ADD(input, skip, channels, kernel, relus)                                           \
    {                                                                                              \
        UNIT_CONV, input, skip, channels, kernel, 1, kernel / 2, .relu = relus, .bias = true       \
    }
#define POOL(input, kernel, stride, pad)                                                           \
    {                                                                                              \
        UNIT_MAX_POOL, input, NONE, 0, kernel, stride, pad, false, false                           \
    }
#define HIDDEN(input, channels)                                                                    \
    {                                                                                              \
        UNIT_DENSE, input, NONE, channels, 1, 1, 0, .relu = true, .hidden = true                   \
    }
#define LINEAR_HIDDEN(input, channels)                                                             \
    {                                                                                              \
        UNIT_DENSE, input, NONE, channels, 1, 1, 0, .hidden = true                                 \
    }
#define BIASED_NORM(input, channels, kernel)                                                       \
    {                                                                                              \
        UNIT_CONV, input, NONE, channels, kernel, 1, kernel / 2, true, true, .bias = true          \
    }
#define MEAN_POOL_TO(input, to)                                                                    \
    {                                                                                              \
        UNIT_MEAN_POOL, input, NONE, 0, 1, 1, 0, .side = to                                        \
    }
#define GROUP_NORM(input, skip, relus, number)                                                     \
    {                                                                                              \
        UNIT_GROUP_NORM, input, skip, 0, 1, 1, 0, .relu = relus, .groups = number                  \
    }
#define DROPOUT_OF_CHANNELS(input, p)                                                              \
    {                                                                                              \
        UNIT_DROPOUT, input, NONE, 0, 1, 1, 0, .drop = p, .by_channel = true                       \
    }
#define DROPOUT(input, p)                                                                          \
    {                                                                                              \
        UNIT_DROPOUT, input, NONE, 0, 1, 1, 0, .drop = p                                           \
    }

const struct chain chains[ALL_CHAINS] = {
    [PLAIN] = {"plain",
               {CONV(IMAGES, 1, 3, 1), CONV(0, 2, 3, 2), CONV(1, 1, 1, 1), MEAN_POOL(2), DENSE(3)}},
    [BOTTLENECK] = {"bottleneck",
                    {CONV(IMAGES, 4, 3, 1), CONV(0, 1, 1, 1), CONV(1, 1, 3, 1),
                     CONV_ADD(2, 0, 4, 1), MEAN_POOL(3), DENSE(4)}},
    [STAGE] = {"stage",
               {/* of ResNet-50, the first two blocks of stages 2 to 4 */
                CONV(IMAGES, 2, 3, 1), CONV(0, 1, 1, 1), CONV(1, 1, 3, 2), NORM(0, NONE, 4, 1, 2),
                CONV_ADD(2, 3, 4, 1), CONV(4, 1, 1, 1), CONV(5, 1, 3, 1), CONV_ADD(6, 4, 4, 1),
                MEAN_POOL(7), DENSE(8)}},
    [STAGE_ONE] = {"stage one",
                   {CONV(IMAGES, 1, 3, 1), CONV(0, 1, 1, 1), CONV(1, 1, 3, 1),
                    NORM(0, NONE, 4, 1, 1), CONV_ADD(2, 3, 4, 1), MEAN_POOL(4), DENSE(5)}},
    [OPTION_A] = {"option A",
                  {/* of ResNet-20, from one stage into the next */
                   CONV(IMAGES, 1, 3, 1), CONV(0, 1, 3, 1), CONV_ADD(1, 0, 1, 3), CONV(2, 2, 3, 2),
                   SHORTCUT(2, 2, 2), CONV_ADD(3, 4, 2, 3), MEAN_POOL(5), DENSE(6)}},
    [IMAGENET_STEM] = {"imagenet stem",
                       {CONV(IMAGES, 1, 7, 2), MAX_POOL(0), CONV(1, 1, 3, 1), CONV_ADD(2, 1, 1, 3),
                        MEAN_POOL(3), DENSE(4)}},
    [EVERY_FLAG] = {"every flag",
                    {BARE(IMAGES, NONE, 1, 3, 1, true), BARE(0, NONE, 2, 1, 1, false),
                     BARE(1, 0, 1, 3, 1, false), BARE(2, NONE, 1, 1, 1, true),
                     BARE(3, 2, 1, 3, 1, true), BARE(4, NONE, 3, 3, 2, true),
                     NORM(5, NONE, 2, 1, 1), NORM(6, NONE, 3, 3, 1), NORM(7, 5, 3, 3, 1),
                     MEAN_POOL(8), DENSE(9)}},
    [BIASES] = {"biases",
                {/* with and without ReLU, read twice; odd pools; dense layers over images */
                 BIASED(IMAGES, 1, 3, 1), BIASED_ADD(0, NONE, 2, 1, false),
                 BIASED_ADD(1, NONE, 1, 3, true), BIASED_ADD(2, 0, 1, 3, true), POOL(3, 2, 2, 1),
                 POOL(4, 3, 1, 1), HIDDEN(5, 3), LINEAR_HIDDEN(6, 2), DENSE(7)}},
    [DROPPED] = {"dropped",
                 {/* of tensors that are read twice, of images, of vectors */
                  CONV(IMAGES, 1, 3, 1), DROPOUT(0, 0.25f), CONV(1, 1, 3, 1), CONV_ADD(2, 1, 1, 3),
                  DROPOUT(3, 0.5f), HIDDEN(4, 2), DROPOUT(5, 0.1f), DENSE(6)}},
    [POOLED] = {"pooled",
                {/* a bias before a norm; to fewer pixels and to more */
                 BIASED_NORM(IMAGES, 1, 3), MEAN_POOL_TO(0, 3), DROPOUT_OF_CHANNELS(1, 0.25f),
                 CONV_ADD(2, 1, 1, 3), MEAN_POOL_TO(3, 7), HIDDEN(4, 2), DENSE(5)}},
    [GROUPED] = {"grouped",
                 {/* a block with a shortcut: with and without skip and ReLU */
                  BARE(IMAGES, NONE, 2, 3, 1, false), GROUP_NORM(0, NONE, true, 2),
                  BARE(1, NONE, 2, 3, 1, false), GROUP_NORM(2, 1, true, 1),
                  BARE(3, NONE, 4, 3, 2, false), GROUP_NORM(4, NONE, false, 4),
                  BARE(3, NONE, 4, 1, 2, false), GROUP_NORM(6, 5, true, 2), MEAN_POOL(7),
                  DENSE(8)}},
    [LENET] = {"lenet",
               {/* from 12 x 12 on */
                BIASED(IMAGES, 1, 5, 2), POOL(0, 2, 2, 0), BIASED(1, 3, 5, 2), POOL(2, 2, 2, 0),
                HIDDEN(3, 20), DROPOUT(4, 0.3f), HIDDEN(5, 14), DENSE(6)}},
};

struct chain chain_without_relu(const struct chain *chain)
{
    struct chain linear = *chain;
    for (int i = 0; i < MOST_UNITS; i++)
        linear.link[i].relu = false;
    return linear;
}
