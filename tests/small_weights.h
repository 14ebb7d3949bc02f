/* A small network's weights: the network, and what must hold of the reader of their files under
 * bytes from anywhere. For the fuzzer and for the tests. */
#ifndef TESTS_SMALL_WEIGHTS_H
#define TESTS_SMALL_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "model/model.h"

enum { SMALL_FLOATS = 97, SMALL_STATISTICS = 6 };

/* Two convolutions, one with norm, and a dense layer. */
void small_model(struct model *a);

/* weights_parse() with that model's table; `has_statistics` may be NULL. */
const char *small_parse(const uint8_t *bytes, size_t size, const struct model *a, float *w,
                        float *statistics, bool *has_statistics, char *why, size_t why_size);

/* Reads the bytes as weights of that network. NULL when the reader behaved: an error said in words,
 * with nothing written, or a load of nothing but tensors that are in the file. Else what it
 * did. *loaded: it was a load. */
const char *small_complaint(const uint8_t *bytes, size_t size, bool *loaded);

#endif
