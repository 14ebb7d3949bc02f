/* A strict scanner of JSON (RFC 8259) for the little that we read: headers of safetensors files,
 * manifests of checkpoints.
 *
 * It reads from memory that need not end with NUL, never beyond its end. The first mistake is a
 * sentence in why[], with its position; everything after it fails too. Nothing is
 * allocated, nothing recurses. */
#ifndef BASE_JSON_READER_H
#define BASE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
    const uint8_t *begin, *at, *end;
    const char *what; /* "its header is no JSON": what is said before a mistake; NULL: "no JSON" */
    char *why;        /* says what is wrong once `failed` */
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

/* A string, number, true, false or null as text: of a string what json_string() gives, of the
 * others what is written. Fails where that does not fit. */
bool json_scalar(struct json *j, char *text, size_t size);

/* Fails for the caller's reason; false, so that it can be returned. The first reason stays. */
bool json_fail(struct json *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
