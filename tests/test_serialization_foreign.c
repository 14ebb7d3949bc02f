/* Headers of weight files that others wrote: which are read, and what is said of those that are
 * not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/fuzz_safetensors.h"

enum { FLOATS = 97, STATISTICS = 6 };

static int set_up(void **state)
{
    struct model *a = xcalloc(1, sizeof *a);
    fuzz_architecture(a);
    assert_int_equal(model_parameters(a), FLOATS);
    assert_int_equal(model_statistics(a), STATISTICS);
    *state = a;
    return 0;
}

static int tear_down(void **state)
{
    xfree(*state);
    return 0;
}

/* A file of this header and `data` bytes 0, 1, 2, ... after it, parsed; NULL or what is wrong. */
static const char *parse_text(const struct model *a, const char *text, size_t data, float *w,
                              float *statistics, bool *has)
{
    static char why[300];
    uint64_t length = strlen(text);
    uint8_t *bytes = malloc(8 + length + data);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, text, length);
    for (size_t i = 0; i < data; i++)
        bytes[8 + length + i] = (uint8_t)i;
    const char *wrong =
        parse_weights(bytes, 8 + length + data, a, w, statistics, has, why, sizeof why);
    free(bytes);
    return wrong;
}

#define REST                                                                                       \
    ",\"bn1.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[236,248]}"                   \
    ",\"layer1.0.conv1.weight\":{\"dtype\":\"F32\",\"shape\":[4,3,1,1],\"data_offsets\":[272,320]" \
    "}"                                                                                            \
    ",\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[5,4],\"data_offsets\":[320,400]}"                \
    ",\"fc.bias\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[400,420]}}"
#define CONV "\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,3,3],\"data_offsets\":[8,224]}"
#define NORM ",\"bn1.weight\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[224,236]}"
#define OTHER(text) "{" CONV "," text NORM REST

static void test_foreign_but_good(void **state)
{
    const struct model *a = *state;
    float statistics[STATISTICS];
    static const char *const good[] = {
        "{" CONV NORM REST,
        " \t{\n" CONV NORM REST "\r\n  ",
        "{\"__metadata__\":{}," CONV NORM REST,
        OTHER("\"__metadata__\" : { \"a\" : \"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\" , "
              "\"\" : \"\" }"),
        OTHER("\"\":{\"dtype\":\"BF16\",\"shape\":[0],\"data_offsets\":[0,0]}"),
        OTHER("\"conv1.weight.momentum\":{\"shape\":[1,2,3,4,5,6,7],\"data_offsets\":[420,420],"
              "\"dtype\":\"F64\"}"),
        OTHER("\"a\":{\"data_offsets\":[0,0],\"dtype\":\"F64\",\"shape\":[1,2,3,4,99]}"),
        OTHER("\"fc.weight\\u0000\":{\"dtype\":\"X\",\"shape\":[18446744073709551615],\"data_"
              "offsets\":[0,1]}"),
        OTHER("\"a name that is much longer than any of ours can be, so that it does not fit where "
              "ours are kept, and then some\":"
              "{\"dtype\":\"a type with a long name\",\"shape\":[],\"data_offsets\":[0,420]}"),
        /* an escaped name of ours, and its fields in another order */
        "{\"conv\\u0031.weight\":{\"data_offsets\":[8,224],\"shape\":[3,2,3,3],\"dtype\":"
        "\"F32\"}" NORM REST,
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        float w[FLOATS], bias[5];
        uint8_t expected[20];
        bool has = true;
        const char *wrong = parse_text(a, good[i], 420, w, statistics, &has);
        if (wrong || has)
            fail_msg("%s: %s", good[i], wrong ? wrong : "statistics from nowhere");
        for (int k = 0; k < 20; k++)
            expected[k] = (uint8_t)(400 + k);
        memcpy(bias, expected, sizeof bias);
        assert_memory_equal(w + 92, bias, sizeof bias);
    }
    float w[FLOATS], first;
    bool has; /* ranges that overlap, and lie at odd places */
    static const char odd[] =
        "{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,3,3],\"data_offsets\":[3,219]}" NORM
            REST;
    assert_null(parse_text(a, odd, 420, w, NULL, &has));
    memcpy(&first, (const uint8_t[]){3, 4, 5, 6}, sizeof first);
    assert_memory_equal(w, &first, sizeof first);
}

static const struct {
    const char *text, *words;
} bad[] = {
    {"", "no '{'"},
    {"{}", "tensor conv1.weight is missing"},
    {"[]", "no '{'"},
    {"null", "no '{'"},
    {"{" CONV NORM REST "x", "goes on after its end"},
    {"{" CONV NORM REST "{}", "goes on after its end"},
    {"{" CONV REST, "tensor bn1.weight is missing"},
    {OTHER(CONV), "tensor conv1.weight: is there twice"},
    {"{" CONV "," NORM REST, "no '\"'"},
    {"{" CONV "\"a\":" NORM REST, "no '}'"},
    {OTHER("\"a\":{}"), "no '\"'"},
    {OTHER("\"a\":3"), "no '{'"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"shape\":[]}"), "tensor a: no data_offsets"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,0]}"), "tensor a: no shape"},
    {OTHER("\"a\":{\"shape\":[],\"data_offsets\":[0,0]}"), "tensor a: no dtype"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,0]}"),
     "a second field 'dtype'"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"layout\":\"x\",\"shape\":[],\"data_offsets\":[0,0]}"),
     "an unknown field 'layout'"},
    {OTHER("\"a\":{\"dtype\":3,\"shape\":[],\"data_offsets\":[0,0]}"), "no '\"'"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}"),
     "no unsigned integer"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,0]}"), "no ']'"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"shape\":[1e3],\"data_offsets\":[0,0]}"), "no ']'"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"shape\":[01],\"data_offsets\":[0,0]}"), "a leading zero"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"shape\":[1,],\"data_offsets\":[0,0]}"),
     "no unsigned integer"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551616],\"data_offsets\":[0,0]}"),
     "beyond 64 bits"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0]}"), "no ','"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,0,0]}"), "no ']'"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,4]}"),
     "tensor a: its bytes 8 to 4"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,421]}"),
     "tensor a: its bytes 0 to 421 are not among the 420"},
    {OTHER("\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[18446744073709551615,"
           "18446744073709551615]}"),
     "are not among"},
    {OTHER("\"__metadata__\":{\"a\":1}"), "no '\"'"},
    {OTHER("\"__metadata__\":{\"a\":{\"b\":\"c\"}}"), "no '\"'"},
    {OTHER("\"\\x\":{}"), "an unknown escape"},
    {OTHER("\"\\u12g4\":{}"), "no hexadecimal digit"},
    {OTHER("\"\\ud800\":{}"), "half a surrogate pair"},
    {OTHER("\"\\ud800\\u0041\":{}"), "half a surrogate pair"},
    {OTHER("\"\\udc00\":{}"), "half a surrogate pair"},
    {OTHER("\"a\nb\":{}"), "a control character"},
    {"{\"never ends", "an end within a string"},
    {"{\"never ends\\", "an end within a string"},
    {"{\"never ends\\u1", "no hexadecimal digit"},
    {"{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,3,3],\"data_offsets\":[8,",
     "no unsigned integer"},
    {"{\"conv1.weight\":{\"dtype\":\"F16\",\"shape\":[3,2,3,3],\"data_offsets\":[8,116]}" NORM REST,
     "tensor conv1.weight: expected F32 [3, 2, 3, 3], found F16 [3, 2, 3, 3]"},
    {"{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,3,3,2],\"data_offsets\":[8,224]}" NORM REST,
     "tensor conv1.weight: expected F32 [3, 2, 3, 3], found F32 [3, 3, 3, 2]"},
    {"{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,3,3,1],\"data_offsets\":[8,224]}" NORM
         REST,
     "found F32 [3, 2, 3, 3, ...]"},
    {"{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,9],\"data_offsets\":[8,224]}" NORM REST,
     "found F32 [3, 2, 9]"},
    {"{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,3,3],\"data_offsets\":[8,220]}" NORM REST,
     "expected 216 bytes, found 212"},
    {"{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,3,3],\"data_offsets\":[8,228]}" NORM REST,
     "expected 216 bytes, found 220"},
    {OTHER("\"bn1.running_mean\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}"),
     "tensor bn1.running_var is missing"},
    {OTHER("\"bn1.running_mean\":{\"dtype\":\"F64\",\"shape\":[3],\"data_offsets\":[0,24]}"),
     "expected F32 [3], found F64 [3]"},
    {OTHER("\"\\u001b[2J\":{\"a\":1}"),
     "tensor ?[2J: an unknown field 'a'"}, /* nothing steers a terminal */
};

static void test_foreign_and_bad(void **state)
{
    const struct model *a = *state;
    float w[FLOATS], statistics[STATISTICS];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool has;
        const char *wrong = parse_text(a, bad[i].text, 420, w, statistics, &has);
        if (!wrong || !strstr(wrong, bad[i].words))
            fail_msg("%s\nwas to say \"%s\" but said: %s", bad[i].text, bad[i].words,
                     wrong ? wrong : "(nothing)");
    }
    char why[200];
    static const uint8_t huge[16] = {0, 0, 0, 0, 0, 0, 0, 0x80};
    assert_non_null(strstr(parse_weights(huge, sizeof huge, a, w, NULL, NULL, why, sizeof why),
                           "no safetensors file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_foreign_but_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_and_bad, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
