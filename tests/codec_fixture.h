/* A sender's coder with a message and a vector of exactly the lengths they are to have, for tests
 * of the codecs. */
#ifndef TESTS_CODEC_FIXTURE_H
#define TESTS_CODEC_FIXTURE_H

#include "serialization/serialization.h"

enum { CODEC_COUNT = 7 };
extern const char *const codec_fixture_names[CODEC_COUNT];

struct codec_fixture {
    struct coder *coder;
    char *message;
    float *back; /* what arrived */
    size_t bytes;
    int64_t count;
};

struct codec_fixture codec_fixture_open(const char *format, struct coder_options o);
void codec_fixture_close(struct codec_fixture *l); /* fails when something was written beyond the
                                                      message or the vector */

/* Packed and unpacked: what arrived. */
const float *codec_fixture_carry(struct codec_fixture *l, const float *from);

/* `count` floats of many sizes and both signs; free() them. Nothing readable lies beyond them,
 * where a sanitizer looks. */
float *codec_fixture_floats(int64_t count, uint64_t key);

float codec_fixture_float(uint32_t bits);
uint32_t codec_fixture_bits(float f);

#endif
