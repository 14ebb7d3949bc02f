/* A sender's coder with a message and a vector of exactly the lengths they are to have, for tests of the wire formats. */
#ifndef TESTS_LINE_H
#define TESTS_LINE_H

#include "serialization.h"

enum { LINE_FORMATS = 7 };
extern const char *const line_formats[LINE_FORMATS];

struct line {
    struct coder *coder;
    char *message;
    float *back; /* what arrived */
    size_t bytes;
    int64_t count;
};

struct line line_open(const char *format, struct coder_options o);
void line_close(struct line *l); /* fails when something was written behind the message or the vector */

/* Over the wire and back: what arrived. */
const float *line_carry(struct line *l, const float *from);

/* `count` floats of many sizes and both signs; free() them. Nothing readable lies behind them, where a sanitizer looks. */
float *line_floats(int64_t count, uint64_t key);

float line_float(uint32_t bits);
uint32_t line_bits(float f);

#endif
