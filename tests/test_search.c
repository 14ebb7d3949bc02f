/* Search spaces: Halton's points by hand, ranges, and that all settings get the same trials. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "study/search.h"
#include "tests/death_test.h"
#include "tests/own_folder.h"

static const char head[] = "[study]\nseeds = 1\n[setting a]\nscheme = ssgd\n[setting b]\n"
                           "scheme = ssp\n";
static const char *const words[] = {"trials", NULL};

static struct experiment *load(const char *space)
{
    FILE *f = fopen("a.ini", "w");
    CHECK(f && fprintf(f, "%s%s", head, space) > 0 && !fclose(f), "write");
    return experiment_load(&(struct experiment_request){.path = "a.ini"});
}

static void test_halton(void **state)
{
    (void)state;
    static const double two[] = {0, 0.5, 0.25, 0.75, 0.125, 0.625},
                        three[] = {1.0 / 3, 2.0 / 3, 1.0 / 9, 4.0 / 9};
    for (int i = 0; i < 6; i++)
        assert_true(radical_inverse(i, 2, NULL) == two[i]);
    for (int i = 0; i < 4; i++)
        assert_true(fabs(radical_inverse(i + 1, 3, NULL) - three[i]) < 1e-15);
    const int32_t digit[] = {0, 2, 1};
    assert_true(fabs(radical_inverse(1, 3, digit) - 2.0 / 3) < 1e-15);
    assert_true(fabs(radical_inverse(7, 3, digit) - (2.0 / 3 + 1.0 / 9)) < 1e-15); /* 21 */
}

/* So few trials as a search has must not lie on a line in any two dimensions, as those of Halton's
 * sequence do where bases are great: 11 and 13 here. */
static void test_spread(void **state)
{
    enum { POINTS = 16, DIMENSIONS = 6 };
    (void)state;
    for (int d = 0; d < DIMENSIONS; d++) {
        int quarter[4] = {0};
        for (int k = 0; k < POINTS; k++)
            quarter[(int)(4 * search_point(d, k))]++;
        for (int i = 0; i < 4; i++)
            assert_true(quarter[i] >= 2);
        for (int other = 0; other < d; other++) {
            double xy = 0, xx = 0, yy = 0;
            for (int k = 0; k < POINTS; k++) {
                double x = search_point(d, k) - 0.5, y = search_point(other, k) - 0.5;
                xy += x * y;
                xx += x * x;
                yy += y * y;
            }
            assert_true(fabs(xy) / sqrt(xx * yy) < 0.5);
        }
    }
}

/* 64 points: each eighth of a range has eight of them, however they are shifted; within one. */
static void test_even(void **state)
{
    (void)state;
    struct experiment *e = load("[tune]\ntrials = 3\nlr = log 0.001 10\nsteps = whole 1 4\n"
                                "momentum = choice 0 0.5 0.9\nwarmup = linear 0 0.5\n");
    struct search *s = search_of(e, "a", words);
    int eighths[8] = {0}, steps[5] = {0}, choices = 0;
    char value[SEARCH_VALUE];
    assert_int_equal(s->count, 4);
    for (int trial = 0; trial < 64; trial++) {
        search_value(s, 0, trial, value);
        double lr = strtod(value, NULL);
        assert_true(lr >= 0.001 && lr <= 10);
        eighths[(int)fmin((log10(lr) + 3) / 4 * 8, 7)]++;
        search_value(s, 1, trial, value);
        steps[atoi(value)]++;
        search_value(s, 2, trial, value);
        choices += !strcmp(value, "0") || !strcmp(value, "0.5") || !strcmp(value, "0.9");
        search_value(s, 3, trial, value);
        assert_true(strtod(value, NULL) >= 0 && strtod(value, NULL) <= 0.5);
    }
    for (int i = 0; i < 8; i++)
        assert_true(abs(eighths[i] - 8) <= 1);
    for (int i = 1; i <= 4; i++)
        assert_true(abs(steps[i] - 16) <= 3);
    assert_int_equal(choices, 64);
    xfree(s);
    experiment_free(e);
}

static void test_same_trials(void **state)
{
    (void)state;
    struct experiment *e = load("[tune]\nlr = log 0.001 10\n[tune b]\nssp-staleness = whole 1 9\n");
    struct search *a = search_of(e, "a", words), *b = search_of(e, "b", words);
    char first[SEARCH_VALUE], second[SEARCH_VALUE];
    assert_int_equal(a->count, 1);
    assert_int_equal(b->count, 2);
    for (int trial = 0; trial < 20; trial++) {
        search_value(a, 0, trial, first);
        search_value(b, 0, trial, second);
        assert_string_equal(first, second);
    }
    assert_true(search_is_at_end(a, 0, "0.002") && search_is_at_end(a, 0, "9"));
    assert_false(search_is_at_end(a, 0, "0.1"));
    xfree(a);
    xfree(b);
    experiment_free(e);
}

static void test_grid(void **state)
{
    (void)state;
    static const char *const k[] = {"k", NULL};
    struct experiment *e = load("[folds]\nk = 3\nlr = 0.1 0.2 0.3\nmomentum = 0 0.9\n");
    struct search *s = grid_of(e, k);
    char lr[SEARCH_VALUE], momentum[SEARCH_VALUE];
    assert_int_equal(s->points, 6);
    search_value(s, 0, 4, lr);
    search_value(s, 1, 4, momentum);
    assert_string_equal(lr, "0.2");
    assert_string_equal(momentum, "0.9");
    xfree(s);
    experiment_free(e);
}

struct bad {
    const char *space, *words[3];
};

static void read_bad(const void *argument)
{
    const struct bad *b = argument;
    struct experiment *e = load(b->space);
    xfree(search_of(e, "b", words));
    experiment_free(e);
}

static void test_refused(void **state)
{
    (void)state;
    const struct bad list[] = {
        {"[tune]\n", {"a.ini:7: [tune] has no search space for [setting b]"}},
        {"[tune]\nlr = 0.1\n", {"a.ini:8: lr: no search space"}},
        {"[tune]\nlr =\n", {"a.ini:8: lr: no search space"}},
        {"[tune]\nlr = log 0 1\n", {"a.ini:8: lr: a range of log begins above 0"}},
        {"[tune]\nlr = log 1 0.1\n", {"a.ini:8: lr: two rising numbers"}},
        {"[tune]\nlr = log 1\n", {"a.ini:8: lr: two rising numbers"}},
        {"[tune]\nlr = linear nan 1\n", {"a.ini:8: lr: two rising numbers"}},
        {"[tune]\nn = whole 0.5 3\n", {"a.ini:8: n: two whole numbers"}},
        {"[tune]\nm = choice 1\n", {"a.ini:8: m: two values or more"}},
        {"[tune]\nm = choice 1 1\n", {"a.ini:8: m: a value comes twice"}},
        {"[tune]\nlr = log 1 2\n[tune b]\nlr = log 1 3\n", {"a.ini:10: lr: [tune] has it"}},
        {"[tune c]\nlr = log 1 2\n", {"a.ini:7: there is no [setting c]"}},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        assert_dies(EXIT_USER, read_bad, &list[i], list[i].words);
}

int main(void)
{
#define OWN(test) cmocka_unit_test_setup_teardown(test, own_folder_enter, own_folder_leave)
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_halton),
                                       cmocka_unit_test(test_spread),
                                       OWN(test_even),
                                       OWN(test_same_trials),
                                       OWN(test_grid),
                                       OWN(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
