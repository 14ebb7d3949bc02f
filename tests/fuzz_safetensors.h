/* The reader of weights under bytes from anywhere: what must hold, for the fuzzer and for the
 * tests. */
#ifndef TESTS_FUZZ_SAFETENSORS_H
#define TESTS_FUZZ_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "model/model.h"

/* A network of two convolutions, one with norm, and a dense layer: 97 floats, and 6 of
 * statistics. */
void fuzz_architecture(struct model *a);

/* weights_parse() with that model's table. */
const char *parse_weights(const uint8_t *bytes, size_t size, const struct model *a, float *w,
                          float *statistics, bool *has_statistics, char *why, size_t why_size);

/* Reads the bytes as weights of that network. NULL when the reader behaved: an error said in words,
 * with nothing written, or a load of nothing but tensors that are in the file. Else what it
 * did. */
const char *fuzz_complaint(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#endif
