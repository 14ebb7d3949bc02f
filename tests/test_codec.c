/* Codecs: their lengths and errors, what is special, and what garbage may do. Each bit of bf16 and
 * f16 is in test_codec_half.c. */
#include "serialization/sparse.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "tests/death_test.h"
#include "tests/codec_fixture.h"

enum { BLOCK = 512 };

static void finds(const void *name)
{
    codec_find(name);
}

static void opens(const void *part)
{
    coder_open(codec_find("topk"),
               &(struct coder_options){.count = 10,
                                       .own = &(struct sparse_options){*(const double *)part}});
}

static void test_tables(void **state)
{
    (void)state;
    assert_string_equal(codec_names(), "f32|bf16|f16|int8|topk|randk|sign");
    for (int i = 0; i < CODEC_COUNT; i++) {
        const struct codec *codec = codec_find(codec_fixture_names[i]);
        struct coder_options o = {.count = 7, .own = &(struct sparse_options){0.5}};
        struct coder *c = coder_open(codec, &o);
        assert_string_equal(codec->name, codec_fixture_names[i]);
        assert_int_equal(codec->in_place, i == 0);
        assert_int_equal(codec->weights, i <= 2);
        assert_int_equal(codec->remembers, i >= 4);
        assert_int_equal(coder_left(c) != NULL, codec->remembers);
        assert_true(codec->summary && (i == 0 || codec->paper));
        bool keeps_left = false;
        for (int k = 0; codec->state && codec->state[k]; k++)
            keeps_left |= !strcmp(codec->state[k], "left");
        assert_int_equal(keeps_left, codec->remembers);
        coder_close(c);
        o.only_unpacks = true;
        c = coder_open(codec, &o);
        assert_null(coder_left(c));
        coder_close(c);
    }
    coder_close(NULL);
    assert_dies(EXIT_USER, finds, "fp16",
                (const char *const[]){"--compress", "fp16", "f32|bf16|f16", NULL});
    static const double parts[] = {0, -0.1, 1.01, NAN};
    for (int i = 0; i < 4; i++)
        assert_dies(EXIT_USER, opens, &parts[i],
                    (const char *const[]){"--compress-ratio", "above 0", NULL});
}

static void expect_bytes(const char *format, int64_t count, double part, size_t bytes)
{
    struct coder *c = coder_open(codec_find(format),
                                 &(struct coder_options){.count = count,
                                                         .own = &(struct sparse_options){part},
                                                         .only_unpacks = true});
    assert_int_equal(coder_bytes(c), bytes);
    coder_close(c);
}

static void test_bytes(void **state)
{
    (void)state;
    expect_bytes("f32", 1000, 0, 4000);
    expect_bytes("bf16", (int64_t)3 << 31, 0, (size_t)3 << 32);
    expect_bytes("f16", 1001, 0, 2002);
    expect_bytes("int8", 1, 0, 5);
    expect_bytes("int8", 512, 0, 516);
    expect_bytes("int8", 513, 0, 521);
    expect_bytes("sign", 1, 0, 68);
    expect_bytes("sign", 512, 0, 68);
    expect_bytes("sign", 513, 0, 136);
    for (int i = 0; i < 2; i++) {
        const char *sparse = i ? "topk" : "randk";
        expect_bytes(sparse, 1000, 0.01, 80);
        expect_bytes(sparse, 1049, 0.01, 80); /* 10.49 */
        expect_bytes(sparse, 1051, 0.01, 88); /* 10.51 */
        expect_bytes(sparse, 3, 0.01, 8);
        expect_bytes(sparse, 3, 1, 24);
    }
}

/* How far a float may be from what arrives; `mean` and `most` are of the magnitudes of its
 * block. */
static double bound(const char *format, double x, double most, double mean)
{
    if (!strcmp(format, "bf16"))
        return fabs(x) * 0x1p-8;
    if (!strcmp(format, "f16"))
        return fmax(fabs(x) * 0x1p-11, 0x1p-25);
    if (!strcmp(format, "int8"))
        return most / 127 * 1.000001;
    if (!strcmp(format, "sign"))
        return fabs(fabs(x) - mean) + mean * 1e-6;
    return !strcmp(format, "f32") ? 0 : fabs(x);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 15, 16, 17, 511, 512, 513, 100003};
    for (int f = 0; f < CODEC_COUNT; f++)
        for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
            int64_t count = counts[n], sent = 0;
            float *v = codec_fixture_floats(count, n);
            struct codec_fixture l = codec_fixture_open(
                codec_fixture_names[f],
                (struct coder_options){.count = count, .own = &(struct sparse_options){0.1}});
            const float *back = codec_fixture_carry(&l, v), *left = coder_left(l.coder);
            double most = 0, sum = 0;
            for (int64_t i = 0; i < count; i++) {
                if (i % BLOCK == 0) {
                    most = sum = 0;
                    for (int64_t j = i; j < i + BLOCK && j < count; j++)
                        most = fmax(most, fabs(v[j])), sum += fabs(v[j]);
                }
                double mean =
                    sum / (double)(count - i / BLOCK * BLOCK < BLOCK ? count % BLOCK : BLOCK);
                if (!(fabs((double)v[i] - back[i]) <=
                      bound(codec_fixture_names[f], v[i], most, mean)) ||
                    (left && v[i] - back[i] != left[i]))
                    fail_msg("%s, float %ld of %ld: %.9g arrived as %.9g", codec_fixture_names[f],
                             (long)i, (long)count, v[i], back[i]);
                sent += back[i] != 0;
            }
            if (codec_find(codec_fixture_names[f])->k)
                assert_int_equal(sent, count == 1 ? 1 : llround(0.1 * (double)count));
            codec_fixture_close(&l);
            free(v);
        }
}

/* The third message of a sender, as bytes. */
static char *third(const char *format, struct coder_options o, const float *v, size_t *bytes)
{
    struct codec_fixture l = codec_fixture_open(format, o);
    for (int m = 0; m < 3; m++)
        codec_fixture_carry(&l, v);
    char *message = malloc(l.bytes);
    memcpy(message, l.message, *bytes = l.bytes);
    codec_fixture_close(&l);
    return message;
}

/* The same key gives the same bytes; another seed, worker, stream or message gives others, where
 * anything is drawn. */
static void test_keys(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    float *v = codec_fixture_floats(COUNT, 2);
    for (int f = 0; f < CODEC_COUNT; f++) {
        const struct coder_options o = {.count = COUNT,
                                        .own = &(struct sparse_options){0.1},
                                        .seed = 9,
                                        .worker = 2,
                                        .stream = 1};
        struct coder_options other[4] = {o, o, o, o};
        other[1].seed++, other[2].worker++, other[3].stream++;
        size_t bytes;
        char *first = third(codec_fixture_names[f], o, v, &bytes);
        bool draws =
            !strcmp(codec_fixture_names[f], "int8") || !strcmp(codec_fixture_names[f], "randk");
        for (int i = 0; i < 4; i++) {
            char *message = third(codec_fixture_names[f], other[i], v, &bytes);
            assert_int_equal(memcmp(first, message, bytes) == 0, i == 0 || !draws);
            free(message);
        }
        free(first);
    }
    struct codec_fixture l =
        codec_fixture_open("int8", (struct coder_options){.count = COUNT, .seed = 9});
    float *back = xcalloc(COUNT, sizeof *back);
    memcpy(back, codec_fixture_carry(&l, v), COUNT * sizeof *back);
    assert_memory_not_equal(back, codec_fixture_carry(&l, v), COUNT * sizeof *back);
    codec_fixture_close(&l);
    xfree(back);
    free(v);
}

/* 600 floats, each 1 but float `at`, which is `special`; what arrives lies in l->back. */
static struct codec_fixture with_special(const char *format, int at, float special, int messages)
{
    enum { COUNT = 600 };
    float v[COUNT];
    for (int i = 0; i < COUNT; i++)
        v[i] = i == at ? special : 1;
    struct codec_fixture l = codec_fixture_open(
        format,
        (struct coder_options){.count = COUNT, .own = &(struct sparse_options){0.002}, .seed = 4});
    for (int m = 0; m < messages; m++)
        codec_fixture_carry(&l, v);
    return l;
}

/* A NaN or an infinity is never lost: it arrives, alone or with its block, or it is among what is
 * left. */
static void test_specials_are_seen(void **state)
{
    (void)state;
    static const float specials[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (int f = 0; f < CODEC_COUNT; f++)
        for (int i = 0; i < 8; i++) {
            float special = specials[i % 4];
            int messages = i < 4 ? 1 : 3, bad = 0, nan_blocks = 0;
            struct codec_fixture l = with_special(codec_fixture_names[f], 37, special, messages);
            const float *left = coder_left(l.coder);
            for (int j = 0; j < 600; j++)
                bad += !isfinite(l.back[j]), nan_blocks += j < BLOCK && isnan(l.back[j]);
            if (!strcmp(codec_fixture_names[f], "int8"))
                assert_true(bad == BLOCK && nan_blocks == BLOCK);
            else if (!strcmp(codec_fixture_names[f], "sign"))
                assert_true(bad == BLOCK &&
                            nan_blocks == (isnan(special) || messages > 1 ? BLOCK : 0));
            else if (!strcmp(codec_fixture_names[f], "randk"))
                assert_true(isfinite(l.back[37]) ? bad == 0 && !isfinite(left[37]) : bad == 1);
            else
                assert_true(bad == 1 &&
                            (isnan(special) ? isnan(l.back[37]) : l.back[37] == special));
            codec_fixture_close(&l);
        }
    bool seen = false; /* randk: 1 float of 600 per message */
    for (int messages = 1; !seen && messages < 6000; messages *= 2) {
        struct codec_fixture l = with_special("randk", 37, NAN, 0);
        float v[600] = {[37] = NAN};
        for (int m = 0; m < messages; m++, v[37] = 0)
            seen |= isnan(codec_fixture_carry(&l, v)[37]);
        codec_fixture_close(&l);
    }
    assert_true(seen);
}

/* Zeros, subnormals and the greatest floats. */
static void test_small_and_great(void **state)
{
    (void)state;
    enum { COUNT = 2 * BLOCK + 3 };
    for (int f = 0; f < CODEC_COUNT; f++) {
        bool half = !strcmp(codec_fixture_names[f], "f16"),
             sparse = codec_find(codec_fixture_names[f])->k;
        float v[COUNT] = {0};
        struct codec_fixture l = codec_fixture_open(
            codec_fixture_names[f],
            (struct coder_options){.count = COUNT, .own = &(struct sparse_options){1}, .seed = 6});
        const float *back = codec_fixture_carry(&l, v);
        for (int i = 0; i < COUNT; i++)
            assert_true(back[i] == 0);
        codec_fixture_close(&l);
        struct random r = random_at(RANDOM_TEST, 212, 0, 0, 0);
        for (int i = 0; i < COUNT; i++) /* subnormals; a block of the least; great ones */
            v[i] = i < BLOCK       ? codec_fixture_float((uint32_t)random_below(&r, 0x800000) |
                                                         (uint32_t)(i % 2) << 31)
                   : i < 2 * BLOCK ? codec_fixture_float(1)
                                   : (i % 2 ? -0x1p127f : 0x1p127f);
        l = codec_fixture_open(
            codec_fixture_names[f],
            (struct coder_options){.count = COUNT, .own = &(struct sparse_options){1}, .seed = 6});
        back = codec_fixture_carry(&l, v);
        double most = 0, mean = 0;
        for (int i = 0; i < BLOCK; i++)
            most = fmax(most, fabsf(v[i])), mean += fabsf(v[i]) / BLOCK;
        for (int i = 0; i < COUNT; i++) {
            double allowed =
                sparse ? 0 : bound(codec_fixture_names[f], v[i], most, mean) + 0x1p-149;
            if (!strcmp(codec_fixture_names[f], "bf16"))
                allowed += 0x1p-134; /* bf16's least is 2^-133 */
            if (i < BLOCK && !(fabs((double)back[i] - v[i]) <= allowed))
                fail_msg("%s: %a arrived as %a", codec_fixture_names[f], v[i], back[i]);
            if (i >= BLOCK && i < 2 * BLOCK)
                assert_true(back[i] ==
                            (half || !strcmp(codec_fixture_names[f], "bf16") ? 0 : v[i]));
            if (i >= 2 * BLOCK)
                assert_true(half ? isinf(back[i]) : fabs(back[i] / v[i] - 1) < 1e-6);
        }
        codec_fixture_close(&l);
    }
}

/* Any bytes are read without harm, or refused and then nothing is written; a message that is taken
 * for one of a sparse format is one. */
static void expect_harmless(const struct codec_fixture *l, const char *format)
{
    bool sparse = codec_find(format)->k, good = true;
    const uint32_t *index = (const uint32_t *)l->message;
    for (size_t i = 0; sparse && i < l->bytes / 8; i++)
        good = good && index[i] < (uint64_t)l->count && (!i || index[i] > index[i - 1]);
    for (int64_t i = 0; i < l->count; i++)
        l->back[i] = 12345;
    const char *wrong = coder_unpack(l->coder, l->back, l->message);
    assert_int_equal(wrong == NULL, good);
    for (int64_t i = 0; wrong && i < l->count; i++)
        assert_true(l->back[i] == 12345);
}

static void test_garbage(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 17, 513, 1100};
    struct random r = random_at(RANDOM_TEST, 213, 0, 0, 0);
    for (int f = 0; f < CODEC_COUNT; f++)
        for (int n = 0; n < 4; n++) {
            float *v = codec_fixture_floats(counts[n], 3);
            struct codec_fixture l = codec_fixture_open(
                codec_fixture_names[f],
                (struct coder_options){.count = counts[n], .own = &(struct sparse_options){0.2}});
            char *exact = malloc(l.bytes); /* nothing readable after it */
            memcpy(exact, l.message, l.bytes);
            char *roomy = l.message;
            l.message = exact;
            for (int turn = 0; turn < 200; turn++) {
                coder_pack(l.coder, l.message, v);
                size_t from = random_below(&r, l.bytes),
                       to = turn % 2 ? from + 1 + random_below(&r, 4) : l.bytes;
                for (size_t i = turn % 4 == 2 ? 0 : from; i < to && i < l.bytes;
                     i++) /* cut off, a few bytes, all */
                    l.message[i] = turn % 4 == 0 ? 0 : (char)random_bits(&r);
                expect_harmless(&l, codec_fixture_names[f]);
            }
            l.message = roomy;
            free(exact);
            codec_fixture_close(&l);
            free(v);
        }
    struct codec_fixture l = codec_fixture_open(
        "topk", (struct coder_options){.count = 100, .own = &(struct sparse_options){0.02}});
    static const uint32_t refused[][2] = {{5, 5}, {6, 5}, {5, 100}, {5, UINT32_MAX}, {100, 101}};
    for (int i = 0; i < 5; i++) {
        memcpy(l.message, refused[i], sizeof refused[i]);
        assert_non_null(coder_unpack(l.coder, l.back, l.message));
        expect_harmless(&l, "topk");
    }
    codec_fixture_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_specials_are_seen),
        cmocka_unit_test(test_small_and_great),
        cmocka_unit_test(test_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
