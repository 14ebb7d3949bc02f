/* Writes JSON (RFC 8259) as lists of named fields.
 *
 * Text is escaped. Bytes that are no UTF-8 become U+FFFD, so that every reader takes what is
 * written. A number that is not finite becomes null. Whether the disk took it is the caller's to
 * ask (ferror). */
#ifndef BASE_JSON_WRITER_H
#define BASE_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum json_type {
    JSON_END,
    JSON_TYPE_TEXT,
    JSON_TYPE_INT,
    JSON_TYPE_FIXED,
    JSON_TYPE_REAL,
    JSON_TYPE_BOOL,
    JSON_TYPE_OBJECT
};

struct json_field {
    const char *name;
    enum json_type type;
    union {
        const char *text;
        int64_t integer;
        double real;
        bool truth;
        const struct json_field *object;
    };
};

/* What a list is made of. JSON_FIXED: six digits after the point (seconds, shares, percent).
 * JSON_REAL: nine significant digits. Text that is NULL becomes null. */
#define JSON_TEXT(key, value)                                                                      \
    {                                                                                              \
        .name = key, .type = JSON_TYPE_TEXT, .text = value                                         \
    }
#define JSON_INT(key, value)                                                                       \
    {                                                                                              \
        .name = key, .type = JSON_TYPE_INT, .integer = value                                       \
    }
#define JSON_FIXED(key, value)                                                                     \
    {                                                                                              \
        .name = key, .type = JSON_TYPE_FIXED, .real = value                                        \
    }
#define JSON_REAL(key, value)                                                                      \
    {                                                                                              \
        .name = key, .type = JSON_TYPE_REAL, .real = value                                         \
    }
#define JSON_BOOL(key, value)                                                                      \
    {                                                                                              \
        .name = key, .type = JSON_TYPE_BOOL, .truth = value                                        \
    }
#define JSON_OBJECT(key, fields)                                                                   \
    {                                                                                              \
        .name = key, .type = JSON_TYPE_OBJECT, .object = fields                                    \
    }

/* A list, ended as json_write() wants it: JSON_FIELDS(JSON_INT("rank", r), ...). */
#define JSON_FIELDS(...) ((const struct json_field[]){__VA_ARGS__, {.type = JSON_END}})

/* One object with the fields of both lists (`more` may be NULL) and a newline after it. On one
 * line, or, with `lines`, each field on a line of its own; objects within are on one line. */
void json_write(FILE *f, const struct json_field *fields, const struct json_field *more,
                bool lines);

#endif
