/* The message of a sparse codec: k indices, ascending, and then the values of these floats;
 * all others are zero.
 *
 * Cost: 8 bytes per float that is sent. Values are the floats themselves, so what is left of one
 * that was sent is exactly zero. */
#ifndef SERIALIZATION_SPARSE_H
#define SERIALIZATION_SPARSE_H

#include "serialization/kinds.h"

struct sparse_options {
    double compress_ratio; /* part of the floats that a message carries, in (0, 1] */
};

extern const struct option_set sparse_option_set; /* of all sparse codecs */

/* max(1, round(compress_ratio x count)); fatal when the ratio is none. */
int64_t sparse_k(const struct coder_options *o);

size_t sparse_bytes(const struct coder *c);
const char *sparse_decode(const struct coder *c, float *to, const void *from);

#endif
