/* What arrives as a message of each codec: bytes of the right number, whatever they are. The first
 * byte is the codec, the second the floats of a vector (by 7), the third the part of them that a
 * sparse one carries. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "serialization/serialization.h"
#include "serialization/sparse.h"

static const float untouched = -7.25e-20f;

/* Taken, or refused in words with nothing written. */
static void unpack(const struct coder *c, int64_t count, const uint8_t *message)
{
    float *to = malloc((size_t)count * sizeof *to);
    for (int64_t i = 0; i < count; i++)
        to[i] = untouched;
    const char *wrong = coder_unpack(c, to, message);
    for (int64_t i = 0; i < count && wrong; i++)
        if (memcmp(&to[i], &untouched, sizeof untouched) != 0)
            fuzz_defect("%s, and yet float %lld was written", wrong, (long long)i);
    if (wrong && !*wrong)
        fuzz_defect("refused without a word");
    *(wrong ? &fuzz_counts()->refused : &fuzz_counts()->taken) += 1;
    free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fuzz_input in = {bytes, bytes + size};
    int members = 0, which = fuzz_byte(&in);
    while (codecs[members])
        members++;
    int64_t count = 1 + 7 * fuzz_byte(&in);
    const struct sparse_options part = {.compress_ratio = (1 + fuzz_byte(&in)) / 256.0};
    const struct coder_options options = {.count = count, .own = &part, .only_unpacks = true};
    struct coder *c = coder_open(codecs[which % members], &options);
    uint8_t *message = malloc(coder_bytes(c)); /* ends where it ends, for the sanitizer */
    fuzz_bytes(&in, message, coder_bytes(c));
    unpack(c, count, message);
    free(message);
    coder_close(c);
    return 0;
}

/* A message of each codec. */
size_t fuzz_seed(int number, uint8_t *bytes)
{
    const struct sparse_options part = {.compress_ratio = 8 / 256.0};
    const struct coder_options options = {.count = 1 + 7 * 100, .own = &part, .seed = 1};
    float from[1 + 7 * 100];
    if (!codecs[number])
        return 0;
    for (int i = 0; i < options.count; i++)
        from[i] = (float)(i * 37 % 101) - 50;
    struct coder *c = coder_open(codecs[number], &options);
    size_t size = coder_bytes(c);
    float *message = xcalloc(size, 1);
    coder_pack(c, message, from);
    memcpy(bytes, (const uint8_t[]){(uint8_t)number, 100, 7}, 3);
    memcpy(bytes + 3, message, size);
    xfree(message);
    coder_close(c);
    return 3 + size;
}
