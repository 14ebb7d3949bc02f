#include "tests/codec_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"

enum { CANARY = 8 };

const char *const codec_fixture_names[CODEC_COUNT] = {"f32",  "bf16",  "f16", "int8",
                                                      "topk", "randk", "sign"};

static void *guarded(size_t bytes)
{
    char *block = malloc(bytes + CANARY);
    assert_non_null(block);
    return memset(block, '#', bytes + CANARY);
}

struct codec_fixture codec_fixture_open(const char *format, struct coder_options o)
{
    struct codec_fixture l = {.coder = coder_open(codec_find(format), &o), .count = o.count};
    l.bytes = coder_bytes(l.coder);
    l.message = guarded(l.bytes);
    l.back = guarded((size_t)o.count * sizeof *l.back);
    return l;
}

void codec_fixture_close(struct codec_fixture *l)
{
    assert_memory_equal(l->message + l->bytes, "########", CANARY);
    assert_memory_equal((char *)(l->back + l->count), "########", CANARY);
    coder_close(l->coder);
    free(l->message);
    free(l->back);
}

const float *codec_fixture_carry(struct codec_fixture *l, const float *from)
{
    coder_pack(l->coder, l->message, from);
    const char *wrong = coder_unpack(l->coder, l->back, l->message);
    if (wrong)
        fail_msg("%s", wrong);
    return l->back;
}

float *codec_fixture_floats(int64_t count, uint64_t key)
{
    struct random r = random_at(RANDOM_TEST, 210, key, 0, 0);
    float *v = malloc((size_t)count * sizeof *v);
    assert_non_null(v);
    for (int64_t i = 0; i < count; i++)
        v[i] = (float)(random_normal(&r) * exp(random_normal(&r)));
    return v;
}

float codec_fixture_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint32_t codec_fixture_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}
