/* What the reader and the writer of safetensors files share.
 *
 * A file is a length (8 bytes, little endian), that many bytes of JSON, and the tensors' bytes:
 *   {"conv1.weight": {"dtype": "F32", "shape": [64, 3, 3, 3], "data_offsets": [from, to]}, ...,
 *     "__metadata__": {...}}
 * Offsets count from the end of the JSON (https://huggingface.co/docs/safetensors). Convolutions
 * lie there as PyTorch has them, [out][in][kh][kw], in our vector as [out][kh][kw][in]. */
#ifndef SERIALIZATION_SAFETENSORS_H
#define SERIALIZATION_SAFETENSORS_H

#include "base/json_reader.h"
#include "serialization/serialization.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the file's numbers are little endian, and are copied as they are");

enum {
    LENGTH_BYTES = 8,
    HEADER_MOST = 16 << 20, /* bytes of JSON; ResNet-152's are 0.1 million */
    NAME_SIZE = sizeof((struct tensor *)0)->name,
    SHAPE_SIZE = 120 /* of the text: four numbers of 64 bits, a dtype */
};

/* to[column][row] = from[row][column]: taps and channels of a filter, pixels and channels of what a
 * dense layer reads, change places. */
void safetensors_transpose(float *to, const float *from, int64_t rows, int64_t columns);

/* Taps of a filter, pixels of what a dense layer reads; 1: nothing changes places. */
int64_t safetensors_taps(const struct tensor *t);

/* Floats of one filter, of one output of a dense layer over an image; else the whole tensor. */
int64_t safetensors_row(const struct tensor *t);

/* Of those that are transposed on the way: floats of the buffer that this takes. */
int64_t safetensors_longest_row(const struct tensor *list, int count);

struct extent { /* the bytes of a tensor of the file, behind the header */
    uint64_t from, to;
    const uint8_t *name; /* where its name begins in the header */
};

/* The name, as far as it fits; the header ends at `end`. */
void extent_name(const struct extent *e, const uint8_t *end, char name[NAME_SIZE]);

/* As the format wants it, the tensors' bytes are all bytes behind the header, each of one tensor.
 * Fails, naming the tensors, where two overlap, or bytes belong to none. Sorts the list. Cost:
 * count log count. */
bool extents_check(struct json *j, struct extent *list, size_t count, uint64_t data_bytes);

/* Where the bytes are of a known kind of file that is no safetensors file: says in why[] which, and
 * what to do. */
void safetensors_foreign(const uint8_t *bytes, size_t size, char *why, size_t why_size);

#endif
