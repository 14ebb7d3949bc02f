/* Digests of bytes: XXH3 of 64 bits (libxxhash). It finds what a disk, a link or a torn write has
 * changed; it is no defence against somebody who means to deceive. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

uint64_t digest_of(const void *bytes, size_t count);

struct digest; /* of bytes that come in pieces */

struct digest *digest_open(void);
void digest_add(struct digest *d, const void *bytes, size_t count);
uint64_t digest_value(const struct digest *d); /* of all so far */
void digest_close(struct digest *d);

enum { DIGEST_TEXT = 17 };
void digest_text(uint64_t digest, char text[DIGEST_TEXT]); /* 16 hexadecimal digits */

#endif
