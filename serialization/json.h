/* A strict scanner for the little JSON that a safetensors header is: objects, arrays, strings,
 * unsigned integers.
 *
 * It reads from memory that need not end with NUL, never beyond its end. The first mistake is a
 * sentence in why[], with its position; everything after it fails too. Nothing is
 * allocated, nothing recurses. */
#ifndef SERIALIZATION_JSON_H
#define SERIALIZATION_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
    const uint8_t *begin, *at, *end;
    char *why; /* says what is wrong once `failed` */
    size_t why_size;
    bool failed;
};

/* takes c when it comes next, spaces before it in any case */
bool json_accept(struct json *j, char c);
bool json_expect(struct json *j, char c); /* fails when something else comes */
bool json_ended(struct json *j);          /* nothing but spaces is left */

/* A string, its escapes decoded to UTF-8, with a NUL after it. One that does not fit, or holds a
 * NUL, comes out empty: it names no tensor of a model. */
bool json_string(struct json *j, char *text, size_t size);

/* digits, without sign, fraction, exponent or leading zero */
bool json_unsigned(struct json *j, uint64_t *number);

/* Fails for the caller's reason; false, so that it can be returned. The first reason stays. */
bool json_fail(struct json *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
