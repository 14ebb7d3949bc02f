/* What a manifest, a folder's name and --checkpoint-every may say, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "checkpoint/private.h"
#include "tests/death_test.h"

enum { WHY = 600 };

static void test_names(void **state)
{
    (void)state;
    char name[64];
    folder_name(name, 12800);
    assert_string_equal(name, "samples-000000012800");
    assert_int_equal(folder_samples(name), 12800);
    static const char *const wrong[] = {"samples-12800",
                                        "samples-00000001280x",
                                        "samples--00000012800",
                                        "samples-000000012800.old",
                                        "sample-000000012800",
                                        "samples-",
                                        "samples-99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(folder_samples(wrong[i]), -1);
    folder_name(name, 1234567890123456);
    assert_int_equal(folder_samples(name), 1234567890123456);
}

static void parse_every(const void *text)
{
    checkpoint_every_of(text);
}

static void test_every(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds;
        int64_t samples;
    } cases[] = {{"", 0, 0},        {"10000", 0, 10000}, {"60s", 60, 0},  {"1.5m", 90, 0},
                 {"10min", 600, 0}, {"2h", 7200, 0},     {"0.5s", 0.5, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct checkpoint_every every = checkpoint_every_of(cases[i].text);
        assert_true(every.seconds == cases[i].seconds && every.samples == cases[i].samples);
    }
    static const char *const wrong[] = {"0",    "-5",    "1.5", "60 s",        "s",
                                        "10k",  "0s",    "nan", "1e9",         "inf",
                                        "0x10", "1e16s", "5ss", "99999999999s"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_dies(EXIT_USER, parse_every, wrong[i],
                    (const char *const[]){"--checkpoint-every", wrong[i], NULL});
}

static void test_manifests(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "{",
                                        "[1]",
                                        "{\"a\": }",
                                        "{\"a\": 1,}",
                                        "{\"a\": 01}",
                                        "{\"a\": 1} x",
                                        "{\"a\": 1, \"a\": 2}",
                                        "{\"a\": nul}",
                                        "{\"a\": 1.}",
                                        "{\"a\": -}",
                                        "{\"a\": {\"b\": [[[[[[1]]]]]]}}",
                                        "{\"a\" 1}",
                                        "{\"a\": \"}",
                                        "{\"a\": +1}",
                                        "{\"a\": 1e}"};
    char why[WHY];
    struct manifest m;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(
            manifest_parse(&m, (const uint8_t *)wrong[i], strlen(wrong[i]), why, sizeof why));
    static const char good[] =
        "{\"b\": [1, -2.5e3, {}, []], \"a\": {\"x\": \"\\u00e9\", \"y\": null}, \"c\": true}";
    assert_true(manifest_parse(&m, (const uint8_t *)good, sizeof good - 1, why, sizeof why));
    assert_int_equal(m.fields, 5);
    assert_string_equal(manifest_value(&m, "a/x"), "\xc3\xa9");
    assert_string_equal(manifest_value(&m, "b/1"), "-2.5e3");
    uint64_t number;
    assert_true(manifest_number(&m, "b/0", &number) && number == 1);
    assert_false(manifest_number(&m, "b/1", &number) || manifest_number(&m, "a/y", &number));
    manifest_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_every),
        cmocka_unit_test(test_manifests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
