/* Files of MNIST's form, made for tests. */
#ifndef TESTS_IDX_FILES_H
#define TESTS_IDX_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IDX_FILE_MOST = 1 << 20, IDX_IMAGE = 28 * 28 };

/* A file of `count` images whose pixel p is 7 i + p / 3, or of labels 3 i mod 10; returns its
 * size. bytes[IDX_FILE_MOST]. */
size_t idx_images(uint8_t *bytes, int count);
size_t idx_labels(uint8_t *bytes, int count);

/* What gzip makes of bytes[size], in place; returns its size. */
size_t idx_pack(uint8_t *bytes, size_t size);

#endif
