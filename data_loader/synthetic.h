/* The generator's own options. */
#ifndef DATA_LOADER_SYNTHETIC_H
#define DATA_LOADER_SYNTHETIC_H

#include <stdint.h>

struct synthetic_options {
    int64_t classes, channels, side;
};

#endif
