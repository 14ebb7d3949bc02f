/* Weight files that others wrote: which are read, and what is said of those that are not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/small_weights.h"

enum { FLOATS = SMALL_FLOATS, STATISTICS = SMALL_STATISTICS, DATA = 4 * FLOATS };

static int set_up(void **state)
{
    struct model *a = xcalloc(1, sizeof *a);
    small_model(a);
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

/* So that no four of them are a float that is no number. */
static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i % 251);
}

/* A file of this header and `data` bytes after it, parsed; NULL or what is wrong. */
static const char *parse_text(const struct model *a, const char *text, size_t data, float *w,
                              float *statistics, bool *has)
{
    static char why[300];
    uint64_t length = strlen(text);
    uint8_t *bytes = malloc(8 + length + data);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, text, length);
    for (size_t i = 0; i < data; i++)
        bytes[8 + length + i] = byte_at(i);
    const char *wrong =
        small_parse(bytes, 8 + length + data, a, w, statistics, has, why, sizeof why);
    free(bytes);
    return wrong;
}

#define REST                                                                                       \
    ",\"bn1.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[228,240]}"                   \
    ",\"layer1.0.conv1.weight\":{\"dtype\":\"F32\",\"shape\":[4,3,1,1],\"data_offsets\":[240,288]" \
    "}"                                                                                            \
    ",\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[5,4],\"data_offsets\":[288,368]}"                \
    ",\"fc.bias\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[368,388]}}"
#define CONV "\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,3,3],\"data_offsets\":[0,216]}"
#define NORM ",\"bn1.weight\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[216,228]}"
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
        OTHER("\"conv1.weight.momentum\":{\"shape\":[1,2,3,4,5,6,7],\"data_offsets\":[388,388],"
              "\"dtype\":\"F64\"}"),
        OTHER("\"a\":{\"data_offsets\":[0,0],\"dtype\":\"F64\",\"shape\":[1,2,3,4,99]}"),
        OTHER("\"fc.weight\\u0000\":{\"dtype\":\"X\",\"shape\":[18446744073709551615],\"data_"
              "offsets\":[0,0]}"),
        OTHER("\"a name that is much longer than any of ours can be, so that it does not fit where "
              "ours are kept, and then some\":"
              "{\"dtype\":\"a type with a long name\",\"shape\":[],\"data_offsets\":[0,0]}"),
        /* an escaped name of ours, and its fields in another order */
        "{\"conv\\u0031.weight\":{\"data_offsets\":[0,216],\"shape\":[3,2,3,3],\"dtype\":"
        "\"F32\"}" NORM REST,
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        float w[FLOATS], bias[5];
        uint8_t expected[20];
        bool has = true;
        const char *wrong = parse_text(a, good[i], DATA, w, statistics, &has);
        if (wrong || has)
            fail_msg("%s: %s", good[i], wrong ? wrong : "statistics from nowhere");
        for (int k = 0; k < 20; k++)
            expected[k] = byte_at((size_t)(368 + k));
        memcpy(bias, expected, sizeof bias);
        assert_memory_equal(w + 92, bias, sizeof bias);
    }
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
    {OTHER("\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,389]}"),
     "tensor a: its bytes 0 to 389 are not among the 388"},
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
    {"{\"conv1.weight\":{\"dtype\":\"F16\",\"shape\":[3,2,3,3],\"data_offsets\":[0,108]}" NORM REST,
     "tensor conv1.weight: expected F32 [3, 2, 3, 3], found F16 [3, 2, 3, 3]"},
    {"{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,3,3,2],\"data_offsets\":[0,216]}" NORM REST,
     "tensor conv1.weight: expected F32 [3, 2, 3, 3], found F32 [3, 3, 3, 2]"},
    {"{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,3,3,1],\"data_offsets\":[0,216]}" NORM
         REST,
     "found F32 [3, 2, 3, 3, ...]"},
    {"{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,9],\"data_offsets\":[0,216]}" NORM REST,
     "found F32 [3, 2, 9]"},
    {"{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,3,3],\"data_offsets\":[0,212]}" NORM REST,
     "expected 216 bytes, found 212"},
    {"{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,3,3],\"data_offsets\":[0,220]}" NORM REST,
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
        const char *wrong = parse_text(a, bad[i].text, DATA, w, statistics, &has);
        if (!wrong || !strstr(wrong, bad[i].words))
            fail_msg("%s\nwas to say \"%s\" but said: %s", bad[i].text, bad[i].words,
                     wrong ? wrong : "(nothing)");
    }
    char why[200];
    static const uint8_t huge[16] = {0, 0, 0, 0, 0, 0, 0, 0x80};
    assert_non_null(strstr(small_parse(huge, sizeof huge, a, w, NULL, NULL, why, sizeof why),
                           "no safetensors file"));
}

#define BIAS_AT(place) ",\"bn1.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":" place "}"
#define CONV2_AT(place)                                                                            \
    ",\"layer1.0.conv1.weight\":{\"dtype\":\"F32\",\"shape\":[4,3,1,1],\"data_offsets\":" place "}"
#define FC_AT(weight, bias)                                                                        \
    ",\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[5,4],\"data_offsets\":" weight "}"               \
    ",\"fc.bias\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":" bias "}}"

/* Each byte behind the header belongs to one tensor. */
static void test_damaged_layouts(void **state)
{
    static const struct {
        const char *text;
        size_t data;
        const char *words;
    } cases[] = {
        {"{" CONV NORM REST, DATA + 36, "36 bytes after fc.bias, the last tensor, belong to none"},
        {"{" CONV NORM BIAS_AT("[220,232]") CONV2_AT("[240,288]") FC_AT("[288,368]", "[368,388]"),
         DATA, "tensors bn1.weight and bn1.bias overlap: bytes 216 to 228, and 220 to 232"},
        {"{" CONV NORM BIAS_AT("[216,228]") CONV2_AT("[240,288]") FC_AT("[288,368]", "[368,388]"),
         DATA, "tensors bn1.weight and bn1.bias are the same bytes, 216 to 228"},
        {"{" CONV NORM BIAS_AT("[232,244]") CONV2_AT("[244,292]") FC_AT("[292,372]", "[372,392]"),
         DATA + 4, "bytes 228 to 232, before tensor bn1.bias, belong to none"},
        {OTHER("\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}"), DATA,
         "tensors a and conv1.weight overlap: bytes 0 to 4, and 0 to 216"},
        {OTHER("\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[20,20]}"), DATA,
         "tensors conv1.weight and a overlap"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float w[FLOATS], statistics[STATISTICS];
        bool has;
        const char *wrong = parse_text(*state, cases[i].text, cases[i].data, w, statistics, &has);
        if (!wrong || !strstr(wrong, cases[i].words))
            fail_msg("%s\nwas to say \"%s\" but said: %s", cases[i].text, cases[i].words,
                     wrong ? wrong : "(nothing)");
    }
}

/* A whole file of zeros but for one float, the index-th behind the header. */
static const char *parse_number(const struct model *a, float number, int index, float *w)
{
    static const char text[] = "{" CONV NORM REST;
    static char why[300];
    uint64_t length = strlen(text);
    uint8_t bytes[8 + sizeof text - 1 + DATA] = {0};
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, text, length);
    memcpy(bytes + 8 + length + 4 * index, &number, sizeof number);
    return small_parse(bytes, sizeof bytes, a, w, NULL, NULL, why, sizeof why);
}

/* A weight that is no number is named, by its place as PyTorch counts it. */
static void test_no_numbers(void **state)
{
    static const struct {
        float number;
        int index;
        const char *words;
    } cases[] = {
        {NAN, 0, "tensor conv1.weight: a weight is NaN at [0, 0, 0, 0]"},
        {-NAN, 53, "tensor conv1.weight: a weight is NaN at [2, 1, 2, 2]"},
        {INFINITY, 25, "tensor conv1.weight: a weight is infinite at [1, 0, 2, 1]"},
        {-INFINITY, 56, "tensor bn1.weight: a weight is infinite at [2]"},
        {NAN, 96, "tensor fc.bias: a weight is NaN at [4]"},
    };
    float w[FLOATS];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *wrong = parse_number(*state, cases[i].number, cases[i].index, w);
        if (!wrong || strcmp(wrong, cases[i].words) != 0)
            fail_msg("was to say \"%s\" but said: %s", cases[i].words, wrong ? wrong : "(nothing)");
    }
    assert_null(parse_number(*state, 3e38f, 96, w));
    assert_true(w[96] == 3e38f);
}

/* Names as PyTorch's wrappers leave them; the same tensor under two names is there twice. */
static void test_prefixes(void **state)
{
    static const struct {
        const char *prefix, *taken;
    } cases[] = {{"", ""},
                 {"module.", "module."},
                 {"_orig_mod.", "_orig_mod."},
                 {"module._orig_mod.", "module._orig_mod."},
                 {"modul.", NULL},
                 {"module.module.", NULL}};
    static const char text[] = "{" CONV NORM REST;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *names = NULL, why[300];
        size_t size;
        uint64_t length = 0;
        static const uint8_t data[DATA];
        FILE *to = open_memstream(&names, &size);
        fwrite(&length, sizeof length, 1, to);
        for (const char *c = text; *c; c++) /* a name begins with a quote after { or , */
            fprintf(to, "%c%s", *c,
                    *c == '"' && strchr("{,", c[-1]) && strchr("cblf", c[1]) ? cases[i].prefix
                                                                             : "");
        fwrite(data, 1, sizeof data, to);
        fclose(to);
        length = size - sizeof length - sizeof data;
        memcpy(names, &length, sizeof length);
        float w[FLOATS];
        struct weights_found found;
        struct tensor_table table = model_table(*state);
        const char *wrong =
            weights_parse((const uint8_t *)names, size, &table, w, NULL, &found, why, sizeof why);
        model_table_free(&table);
        free(names);
        if (cases[i].taken ? wrong || strcmp(found.prefix, cases[i].taken) : !wrong)
            fail_msg("'%s' before all names: %s", cases[i].prefix, wrong ? wrong : found.prefix);
    }
    float w[FLOATS], statistics[STATISTICS];
    bool has;
    static const char twice[] = OTHER("\"module.fc.bias\":{\"dtype\":\"F32\",\"shape\":[5],"
                                      "\"data_offsets\":[368,388]}");
    assert_string_equal(parse_text(*state, twice, DATA, w, statistics, &has),
                        "tensor fc.bias: is there twice");
}

/* What people give for weights: named, with what to do. A damaged safetensors file is none of
 * these. */
static void test_foreign_kinds(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } cases[] = {
        {"", 0, "it is empty"},
        {"version https://git-lfs.github.com/spec/v1\noid", 46, "git lfs pull"},
        {"PK\3\4\0\0\10\10archive", 15, "torch.save() writes (.pth"},
        {"\200\2}q\1(X\7\0\0", 10, "a pickle of Python (an old .pth)"},
        {"\200\4\225\12\0\0\0\0\0\0\0", 11, "a pickle of Python"},
        {"\37\213\10\0\0\0\0\0\0\3", 10, "compressed by gzip"},
        {"\n <!DOCTYPE HTML>", 17, "a web page"},
        {"<html><head>", 12, "a web page"},
        {"{\"metadata\": {}}", 16, "a JSON text"},
        {"GGUF\3\0\0\0\0\0", 10, "GGUF"},
        {"\173\0\0\0\0\0\0\0{\"a\":", 13, "it is truncated: its header has 123"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float w[FLOATS];
        char why[300];
        const char *wrong = small_parse((const uint8_t *)cases[i].bytes, cases[i].size, *state, w,
                                        NULL, NULL, why, sizeof why);
        if (!wrong || !strstr(wrong, cases[i].words))
            fail_msg("%zu was to say \"%s\" but said: %s", i, cases[i].words,
                     wrong ? wrong : "(nothing)");
    }
}

/* Another first layer and another number of classes come with what to do. */
static void test_advice(void **state)
{
    struct model *a = *state;
    float w[FLOATS], statistics[STATISTICS];
    bool has;
    static const char stem[] = "{\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,7,7],"
                               "\"data_offsets\":[0,1176]}}",
                      classes[] = "{" CONV ",\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[7,4],"
                                  "\"data_offsets\":[216,328]}}";
    a->first_hint = "--stem large has that";
    assert_string_equal(parse_text(a, stem, 1176, w, statistics, &has),
                        "tensor conv1.weight: expected F32 [3, 2, 3, 3], found F32 [3, 2, 7, 7]: "
                        "--stem large has that");
    a->first_hint = NULL;
    assert_string_equal(parse_text(a, stem, 1176, w, statistics, &has),
                        "tensor conv1.weight: expected F32 [3, 2, 3, 3], found F32 [3, 2, 7, 7]");
    assert_string_equal(parse_text(a, classes, 328, w, statistics, &has),
                        "tensor fc.weight: expected F32 [5, 4], found F32 [7, 4]: it was trained "
                        "for 7 classes, here there are 5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_foreign_but_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_and_bad, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_layouts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_prefixes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_kinds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_advice, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
