/* JSON as it is written, and the moments that counters take. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_writer.h"
#include "metrics/metrics.h"

static void writes(const char *want, const struct json_field *fields, const struct json_field *more,
                   bool lines)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    json_write(f, fields, more, lines);
    fclose(f);
    assert_string_equal(text, want);
    free(text);
}

static void every_type_of_field(void **state)
{
    (void)state;
    writes("{\"t\": \"word\", \"i\": -9007199254740993, \"f\": 0.500000, \"r\": 1e-05, \"b\": "
           "true}\n",
           JSON_FIELDS(JSON_TEXT("t", "word"), JSON_INT("i", -9007199254740993)),
           JSON_FIELDS(JSON_FIXED("f", 0.5), JSON_REAL("r", 1e-5), JSON_BOOL("b", true)), false);
    writes("{}\n", JSON_FIELDS({.type = JSON_END}), NULL, false);
}

static void what_json_does_not_know_is_null(void **state)
{
    (void)state;
    writes("{\"a\": null, \"b\": null, \"c\": null}\n",
           JSON_FIELDS(JSON_FIXED("a", NAN), JSON_REAL("b", -INFINITY), JSON_TEXT("c", NULL)), NULL,
           false);
}

static void objects_within_lie_on_one_line(void **state)
{
    (void)state;
    writes(
        "{\n  \"tta\": {\"50\": 1.250000, \"90\": null},\n  \"none\": {}\n}\n",
        JSON_FIELDS(JSON_OBJECT("tta", JSON_FIELDS(JSON_FIXED("50", 1.25), JSON_FIXED("90", NAN))),
                    JSON_OBJECT("none", JSON_FIELDS({.type = JSON_END}))),
        NULL, true);
}

static void text_is_escaped(void **state)
{
    (void)state;
    writes("{\"a \\\"b\\\"\": \"\\\\ \\u0009 \\u000a \\u001b \\u007f /\"}\n",
           JSON_FIELDS(JSON_TEXT("a \"b\"", "\\ \t \n \033 \177 /")), NULL, false);
}

/* Whole characters stay; each byte that belongs to none becomes the replacement character. */
static void text_is_utf8(void **state)
{
    (void)state;
    writes("{\"\": \"\u00e4 \u20ac \U0001f600\"}\n",
           JSON_FIELDS(JSON_TEXT("", "\u00e4 \u20ac \U0001f600")), NULL, false);
    static const char *const wrong[] = {"\x80",         "\xc3",         "\xc0\xaf",
                                        "\xe2\x82",     "\xed\xa0\x80", "\xe0\x80\x80",
                                        "\xf5\x80\x80", "\xf4\x90\x80", "\xf0\x8f\x80"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char want[200] = "{\"x\": \"<";
        for (size_t k = 0; k < strlen(wrong[i]); k++)
            strcat(want, "\\ufffd");
        strcat(want, ">\"}\n");
        char text[20];
        snprintf(text, sizeof text, "<%s>", wrong[i]);
        writes(want, JSON_FIELDS(JSON_TEXT("x", text)), NULL, false);
    }
}

static void the_first_value_of_a_series_is_left_out(void **state)
{
    (void)state;
    struct moments m = {0};
    assert_true(moments_deviation(&m) == 0);
    moments_add(&m, 1000);
    assert_true(moments_deviation(&m) == 0);
    moments_add(&m, 3);
    moments_add(&m, 5);
    assert_true(moments_deviation(&m) == 1);
    assert_int_equal(m.count, 3);
    assert_true(m.sum == 8);
}

/* Ranks 1 and 2 are not slowed: 3 and 5 s a mini-batch but for the first one. */
static void slowness_that_was_met(void **state)
{
    (void)state;
    const struct slowness asked = slowness_parse("3=4,4=2", 5);
    const double seconds[5][3] = {{0}, {900, 2, 4}, {900, 5, 5}, {900, 11, 13}, {8}};
    struct counters counters[5] = {{0}};
    const struct run_summary s = {
        .servers = 1, .workers = 4, .ranks = 5, .slowness = &asked, .counters = counters};
    for (int rank = 1; rank < 5; rank++)
        for (int i = 0; i < (rank == 4 ? 1 : 3); i++)
            moments_add(&counters[rank].minibatch_s, seconds[rank][i]);
    assert_true(summary_slowness_met(&s, 3) == 3 && summary_slowness_met(&s, 1) == 0.75);
    assert_true(isnan(summary_slowness_met(&s, 4)) && isnan(summary_slowness_met(&s, 0)));
}

static void a_histogram_counts_the_tail_in_its_last_bin(void **state)
{
    (void)state;
    struct histogram h = {0};
    assert_true(histogram_mean(&h) == 0 && histogram_harmonic_mean(&h) == 0);
    histogram_add(&h, 0);
    histogram_add(&h, HISTOGRAM - 1);
    histogram_add(&h, 1000);
    assert_int_equal(h.bin[0], 1);
    assert_int_equal(h.bin[HISTOGRAM - 1], 2);
    assert_true(histogram_mean(&h) == (HISTOGRAM - 1 + 1000) / 3.0);
    assert_true(fabs(histogram_harmonic_mean(&h) - 2 / (1.0 / (HISTOGRAM - 1) + 1e-3)) < 1e-9);
}

/* --- time to accuracy --- */

struct curve {
    double top1[8]; /* every 10 s, of version 1, 2, ..; ends with 0 */
    int same[8];    /* versions that an evaluation is behind that: it judges older weights again */
    double first_s, confirmed_s;
};

static void assert_seconds(double is, double wanted)
{
    assert_true(isnan(wanted) ? isnan(is) : fabs(is - wanted) < 1e-9);
}

static void a_crossing_counts_when_the_next_evaluation_confirms_it(void **state)
{
    (void)state;
    static const struct curve curves[] = {
        {.top1 = {10, 30, 60, 70}, .first_s = 30 - 10.0 / 3, .confirmed_s = 30 - 10.0 / 3},
        {.top1 = {10, 60, 40, 60, 70}, .first_s = 18, .confirmed_s = 35}, /* luck at first */
        {.top1 = {10, 60, 40, 60}, .first_s = 18, .confirmed_s = NAN},    /* and at last */
        {.top1 = {10, 20, 60}, .first_s = 27.5, .confirmed_s = NAN},
        {.top1 = {10, 50, 50}, .first_s = 20, .confirmed_s = 20}, /* exactly there */
        {.top1 = {10, 20, 49}, .first_s = NAN, .confirmed_s = NAN},
        {.top1 = {60, 70}, .first_s = 10, .confirmed_s = 10}, /* from the first one on */
        /* the same weights again say nothing new */
        {.top1 = {10, 60, 60, 40}, .same = {0, 0, 1}, .first_s = 18, .confirmed_s = NAN},
        {.top1 = {10, 60, 60, 55}, .same = {0, 0, 1}, .first_s = 18, .confirmed_s = 18},
    };
    for (size_t k = 0; k < sizeof curves / sizeof *curves; k++) {
        const struct curve *c = &curves[k];
        struct evaluation list[8];
        int count = 0;
        for (; c->top1[count]; count++)
            list[count] = (struct evaluation){.seconds = 10 * (count + 1),
                                              .updates = 1 + count - c->same[count],
                                              .top1 = c->top1[count]};
        struct time_to_accuracy t = time_to_accuracy(list, count, 50);
        assert_seconds(t.first_s, c->first_s);
        assert_seconds(t.confirmed_s, c->confirmed_s);
    }
    assert_seconds(time_to_accuracy(NULL, 0, 50).first_s, NAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_of_field),
        cmocka_unit_test(what_json_does_not_know_is_null),
        cmocka_unit_test(objects_within_lie_on_one_line),
        cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(text_is_utf8),
        cmocka_unit_test(the_first_value_of_a_series_is_left_out),
        cmocka_unit_test(slowness_that_was_met),
        cmocka_unit_test(a_histogram_counts_the_tail_in_its_last_bin),
        cmocka_unit_test(a_crossing_counts_when_the_next_evaluation_confirms_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
