/* Statistics of a comparison against values computed by hand. tests/statistics.sh has others, by
 * scipy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "statistics/statistics.h"

#define COUNT(list) ((int)(sizeof(list) / sizeof *(list)))

static void is(double found, double wanted)
{
    if (isinf(wanted) ? found != wanted : !(fabs(found - wanted) <= 1e-12 * (1 + fabs(wanted))))
        fail_msg("%.17g, not %.17g", found, wanted);
}

static void test_median(void **state)
{
    (void)state;
    double three[] = {5, INFINITY, 1}, four[] = {4, 1, INFINITY, 2}, half[] = {INFINITY, 1},
           both[] = {INFINITY, -INFINITY};
    statistics_sort(three, 3);
    is(three[2], INFINITY);
    is(statistics_median(three, 3), 5);
    statistics_sort(four, 4);
    is(statistics_median(four, 4), 3);
    is(statistics_median(half, 2), INFINITY);
    is(statistics_median(both, 2), 0);
    assert_true(isnan(statistics_median(NULL, 0)));
}

/* Of n the k-th least and greatest cover 1 - 2 P(X < k) of n fair coins: of ten, 1 - 2 (1 + 10) /
 * 1024. */
static void test_order_interval(void **state)
{
    (void)state;
    double list[20];
    for (int i = 0; i < 20; i++)
        list[i] = i + 1;
    const struct {
        int count;
        double low, high, coverage;
    } known[] = {{1, 1, 1, 0},
                 {5, 1, 5, 1 - 2.0 / 32},
                 {6, 1, 6, 1 - 2.0 / 64},
                 {8, 1, 8, 1 - 2.0 / 256},
                 {9, 2, 8, 1 - 2 * 10.0 / 512},
                 {10, 2, 9, 1 - 2 * 11.0 / 1024},
                 {20, 6, 15, 1 - 2 * (1 + 20 + 190 + 1140 + 4845 + 15504) / 1048576.0}};
    for (int i = 0; i < COUNT(known); i++) {
        struct interval found = statistics_order_interval(list, known[i].count);
        is(found.low, known[i].low);
        is(found.high, known[i].high);
        is(found.coverage, known[i].coverage);
    }
    list[8] = INFINITY;
    is(statistics_order_interval(list, 9).high, 8);
    list[7] = INFINITY;
    is(statistics_order_interval(list, 9).high, INFINITY);
}

/* A is before in seeds 1 and 2, after in 3; in 4 neither arrives, in 5 only A does, and B had ended
 * before that; 6 and 7 have no partner; A's second 1 counts nothing. */
static void test_pairs(void **state)
{
    (void)state;
    const struct arrival a[] = {{1, 10, 90}, {2, 20, 90},       {3, 30, 90}, {1, 99, 90},
                                {5, 50, 90}, {4, INFINITY, 90}, {6, 1, 90}};
    const struct arrival b[] = {{7, 1, 90},  {5, INFINITY, 40}, {4, INFINITY, 90},
                                {3, 15, 90}, {2, 40, 90},       {1, 20, 90}};
    struct paired p = statistics_paired(a, COUNT(a), b, COUNT(b), 1);
    assert_int_equal(p.pairs, 5);
    assert_int_equal(p.before, 3);
    assert_int_equal(p.after, 1);
    assert_int_equal(p.equal, 1);
    assert_int_equal(p.neither, 1);
    assert_int_equal(p.cut_short, 1);
    is(p.probable, 3.5 / 5);
    is(p.sign_p, 2 * (1 + 4) / 16.0);
    is(p.log_ratio, -log(2)); /* of -inf, ln 1/2, ln 1/2, ln 2 */
    is(p.interval.low, -INFINITY);
    is(p.interval.high, log(2));
    struct paired turned = statistics_paired(b, COUNT(b), a, COUNT(a), 1);
    is(turned.probable, 1 - p.probable);
    is(turned.log_ratio, -p.log_ratio);
    assert_int_equal(turned.cut_short, 1);
}

static void test_sign(void **state)
{
    (void)state;
    struct arrival a[10], b[10];
    for (int i = 0; i < 10; i++) {
        a[i] = (struct arrival){i, i < 9 ? 1 : 3, 9};
        b[i] = (struct arrival){i, 2, 9};
    }
    is(statistics_paired(a, 5, b, 5, 1).sign_p, 0.0625);
    is(statistics_paired(a, 10, b, 10, 1).sign_p, 2 * 11 / 1024.0);
    is(statistics_paired(a, 10, a, 10, 1).sign_p, 1);
    is(statistics_paired(a, 10, a, 10, 1).log_ratio, 0);
    struct paired none = statistics_paired(a, 0, b, 10, 1);
    assert_true(!none.pairs && isnan(none.probable) && isnan(none.log_ratio));
}

/* Of the median of three a resample has the least one with probability 7/27, more than 2.5 %: the
 * interval is all of them. Of eleven it is, by the binomial distribution, the 3rd to the 9th: a
 * resample's median is at or below the k-th with P(Bin(11, k / 11) >= 6): 0.7 % for k = 2, 5.1 %
 * for k = 3. */
static void test_bootstrap(void **state)
{
    (void)state;
    struct arrival a[11], b[11];
    for (int i = 0; i < 11; i++) {
        a[i] = (struct arrival){i, exp(i), 1e9};
        b[i] = (struct arrival){i, 1, 1e9};
    }
    struct paired p = statistics_paired(a, 3, b, 3, 1);
    is(p.log_ratio, 1);
    is(p.interval.low, 0);
    is(p.interval.high, 2);
    is(p.interval.coverage, 0.75);
    p = statistics_paired(a, 1, b, 1, 1);
    assert_true(p.log_ratio == 0 && isnan(p.interval.low) && isnan(p.interval.high));
    p = statistics_paired(a, 11, b, 11, 1);
    is(p.log_ratio, 5);
    is(p.interval.low, 2);
    is(p.interval.high, 8);
    is(p.interval.coverage, 0.95);
}

static void test_profile(void **state)
{
    (void)state;
    const double seconds[] = {10,       20,       INFINITY, /* a case of three settings */
                              30,       15,       60,       /* */
                              INFINITY, INFINITY, INFINITY, /* nobody ends it */
                              8,        8,        10};
    double r[12];
    statistics_ratios(seconds, 4, 3, r);
    const double wanted[] = {1, 2, INFINITY, 2, 1, 4, INFINITY, INFINITY, INFINITY, 1, 1, 1.25};
    for (int i = 0; i < 12; i++)
        is(r[i], wanted[i]);
    is(statistics_profile(r, 4, 3, 0, 1), 0.5);
    is(statistics_profile(r, 4, 3, 0, 2), 0.75);
    is(statistics_profile(r, 4, 3, 2, 1.2), 0);
    is(statistics_profile(r, 4, 3, 2, 4), 0.5);
    is(statistics_profile(r, 4, 3, 1, 1e9), 0.75);
    struct geometric_mean g = statistics_geometric_mean((double[]){2, 8, INFINITY}, 3);
    is(g.mean, 4);
    assert_int_equal(g.count, 2);
    assert_true(isnan(statistics_geometric_mean(wanted + 6, 3).mean));
}

/* Of nine scores 2 fall at each end: (3 + .. + 7) / 5. Two tasks that never vary within: the
 * bootstrap keeps both, and its interval is a point. */
static void test_interquartile_mean(void **state)
{
    (void)state;
    const double low[] = {90, 1, 2, 3}, high[] = {4, 50, 5, 6, 7}, even[] = {50, 50, 50, 50},
                 more[] = {70, 70, 70, 70};
    const struct scores tasks[] = {{low, 4}, {high, 5}}, still[] = {{even, 4}, {more, 4}};
    struct interquartile_mean m = statistics_interquartile_mean(tasks, 2, 1);
    is(m.mean, 5);
    assert_int_equal(m.count, 9);
    assert_true(m.interval.low > 2 && m.interval.low < 4.5);
    assert_true(m.interval.high > 5.5 && m.interval.high < 60);
    m = statistics_interquartile_mean(still, 2, 1);
    is(m.mean, 60);
    is(m.interval.low, 60);
    is(m.interval.high, 60);
    const struct scores few[] = {{low, 1}, {high, 3}}, ones[] = {{low, 1}, {high, 1}};
    is(statistics_interquartile_mean(few, 2, 1).interval.coverage, 0.75);
    m = statistics_interquartile_mean(ones, 2, 1);
    is(m.mean, 47);
    assert_true(isnan(m.interval.low));
    assert_true(isnan(statistics_interquartile_mean(NULL, 0, 1).mean));
}

static void test_curve(void **state)
{
    (void)state;
    const double x[] = {1, 2, 2, 4}, y[] = {10, 20, 30, 50};
    is(statistics_curve_at(x, y, 4, 1), 10);
    is(statistics_curve_at(x, y, 4, 1.5), 15);
    is(statistics_curve_at(x, y, 4, 2), 30);
    is(statistics_curve_at(x, y, 4, 3), 40);
    is(statistics_curve_at(x, y, 4, 4), 50);
    assert_true(isnan(statistics_curve_at(x, y, 4, 0.9)));
    assert_true(isnan(statistics_curve_at(x, y, 4, 4.1)));
    assert_true(isnan(statistics_curve_at(x, y, 0, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_median),    cmocka_unit_test(test_order_interval),
        cmocka_unit_test(test_pairs),     cmocka_unit_test(test_sign),
        cmocka_unit_test(test_bootstrap), cmocka_unit_test(test_profile),
        cmocka_unit_test(test_curve),     cmocka_unit_test(test_interquartile_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
