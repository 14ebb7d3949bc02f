/* What the reader and the writer of safetensors files share.
 *
 * A file is a length (8 bytes, little endian), that many bytes of JSON, and the tensors' bytes:
 *   {"conv1.weight": {"dtype": "F32", "shape": [64, 3, 3, 3], "data_offsets": [from, to]}, ...,
 *     "__metadata__": {...}}
 * Offsets count from the end of the JSON (https://huggingface.co/docs/safetensors). Convolutions
 * lie there as PyTorch has them, [out][in][kh][kw], in our vector as [out][kh][kw][in]. */
#ifndef SERIALIZATION_SAFETENSORS_H
#define SERIALIZATION_SAFETENSORS_H

#include "serialization/serialization.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the file's numbers are little endian, and are copied as they are");

enum {
    LENGTH_BYTES = 8,
    NAME_SIZE = sizeof((struct tensor *)0)->name,
    SHAPE_SIZE = 120 /* of the text: four numbers of 64 bits, a dtype */
};

/* to[column][row] = from[row][column]: a filter's taps and channels change places. */
void safetensors_transpose(float *to, const float *from, int64_t rows, int64_t columns);

int64_t safetensors_taps(const struct tensor *t); /* of a filter; 1: it is no convolution */

/* Floats of one filter; what is no convolution is one row of all its floats. */
int64_t safetensors_row(const struct tensor *t);

/* Of those that are transposed on the way: floats of the buffer that this takes. */
int64_t safetensors_longest_row(const struct tensor *list, int count);

#endif
