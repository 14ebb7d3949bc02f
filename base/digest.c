#include "base/digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/check.h"

struct digest {
    XXH3_state_t *state;
};

uint64_t digest_of(const void *bytes, size_t count)
{
    return XXH3_64bits(bytes, count);
}

struct digest *digest_open(void)
{
    struct digest *d = xcalloc(1, sizeof *d);
    d->state = XXH3_createState();
    CHECK(d->state, "no memory for a digest");
    XXH3_64bits_reset(d->state);
    return d;
}

void digest_add(struct digest *d, const void *bytes, size_t count)
{
    XXH3_64bits_update(d->state, bytes, count);
}

uint64_t digest_value(const struct digest *d)
{
    return XXH3_64bits_digest(d->state);
}

void digest_close(struct digest *d)
{
    XXH3_freeState(d->state);
    xfree(d);
}

void digest_text(uint64_t digest, char text[DIGEST_TEXT])
{
    snprintf(text, DIGEST_TEXT, "%016" PRIx64, digest);
}
