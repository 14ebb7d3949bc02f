/* The arithmetic of an advice, against values computed by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "advice/estimate.h"

#define PACE(rate, stale, batches)                                                                 \
    (struct pace)                                                                                  \
    {                                                                                              \
        .images_per_s = (rate), .staleness = (stale), .minibatches = (batches)                     \
    }
#define COUNT(list) ((int)(sizeof(list) / sizeof *(list)))

static void is(double found, double wanted)
{
    if (isinf(wanted) ? found != wanted : !(fabs(found - wanted) <= 1e-12 * (1 + fabs(wanted))))
        fail_msg("%.17g, not %.17g", found, wanted);
}

/* 1 + staleness 4 where it was 2: ln 2; 8 mini-batches an update where there were 16: ln 2. */
static void test_distance(void **state)
{
    const struct evidence seen = {.staleness = 1, .minibatches = 16};
    (void)state;
    is(estimate_distance(&seen, &PACE(100, 1, 16)), 0);
    is(estimate_distance(&seen, &PACE(100, 3, 16)), log(2));
    is(estimate_distance(&seen, &PACE(100, 0, 16)), log(2));
    is(estimate_distance(&seen, &PACE(100, 3, 8)), 2 * log(2));
    is(estimate_distance(&seen, &PACE(100, 1, 32)), log(2));
    /* A worker's data that are hardly used, here or there; what is not known does not count. */
    const struct evidence used = {.staleness = 1, .minibatches = 16, .least_use = 0.3},
                          unused = {.staleness = 1, .minibatches = 16, .least_use = 0.05};
    is(estimate_distance(&used, &(struct pace){100, 1, 16, 1}), 0);
    is(estimate_distance(&used, &(struct pace){100, 1, 16, 0}), 1);
    is(estimate_distance(&unused, &(struct pace){100, 1, 16, 0}), 0);
    is(estimate_distance(&unused, &(struct pace){100, 1, 16, 1}), 1);
    is(estimate_distance(&unused, &(struct pace){100, 1, 16, NAN}), 0);
}

static const struct evidence three[] = {
    {.runs = 10, .samples = 1000, .interval = {800, 1500, 0.97}, .staleness = 0, .minibatches = 16},
    {.runs = 10,
     .samples = 4000,
     .interval = {3000, INFINITY, 0.97},
     .staleness = 3,
     .minibatches = 4},
    {.runs = 10, .samples = 1100, .interval = {900, 1600, 0.97}, .staleness = 0, .minibatches = 16},
};

static void test_nearest(void **state)
{
    (void)state;
    /* The second is the only one of its staleness: 4000 / 50. */
    const struct pace stale[] = {PACE(50, 3, 4), PACE(50, 3, 4), PACE(50, 3, 4)};
    struct estimate e = estimate_of(three, stale, 3, -1);
    assert_int_equal(e.from, 1);
    is(e.distance, 0);
    is(e.seconds, 80);
    is(e.low, 60);
    is(e.high, INFINITY);
    /* Without it: as far away are the others, ln 4 + ln 4, and the first of them is sooner. */
    e = estimate_of(three, stale, 3, 1);
    assert_int_equal(e.from, 0);
    is(e.distance, 2 * log(4));
    is(e.seconds, 20);
    /* Of two that are equally near the sooner: 1100 / 25 before 1000 / 20. */
    const struct pace even[] = {PACE(20, 0, 16), PACE(200, 0, 16), PACE(25, 0, 16)};
    e = estimate_of(three, even, 3, -1);
    assert_int_equal(e.from, 2);
    is(e.seconds, 44);
    is(e.low, 36);
    is(e.high, 64);
    /* It is left out. */
    e = estimate_of(three, even, 3, 2);
    assert_int_equal(e.from, 0);
    is(e.seconds, 50);
}

static void test_nothing_known(void **state)
{
    (void)state;
    const struct pace unknown[] = {PACE(NAN, NAN, NAN), PACE(50, 3, 4), PACE(NAN, NAN, NAN)};
    assert_int_equal(estimate_of(three, unknown, 3, 1).from, -1);
    const struct evidence none = {.runs = 0};
    const struct pace some = PACE(10, 0, 16);
    assert_int_equal(estimate_of(&none, &some, 1, -1).from, -1);
    assert_true(isnan(estimate_of(&none, &some, 1, -1).seconds));
    /* Never is taken where nothing as near gets there. */
    const struct evidence never[] = {
        {.runs = 3, .samples = INFINITY, .interval = {100, INFINITY, 0.75}, .minibatches = 16},
        {.runs = 3, .samples = 200, .interval = {100, 300, 0.75}, .minibatches = 16}};
    const struct pace alike[] = {PACE(10, 0, 16), PACE(10, 0, 16)};
    assert_int_equal(estimate_of(never, alike, 2, -1).from, 1);
    is(estimate_of(never, alike, 1, -1).seconds, INFINITY);
}

/* |ln| sorted: 0, ln 1.1, ln 1.5, ln 2. */
static void test_errors(void **state)
{
    const double logs[] = {-log(2), log(1.1), NAN, 0, log(1.5)};
    double ten[10];
    struct errors e = errors_of(logs, COUNT(logs));
    (void)state;
    assert_int_equal(e.count, 4);
    is(e.median, sqrt(1.1 * 1.5));
    is(e.most, 2);
    is(e.worst, 2);
    assert_int_equal(e.at, 0);
    for (int i = 0; i < 10; i++)
        ten[i] = log(1 + i);
    e = errors_of(ten, 10);
    is(e.most, 9);
    is(e.worst, 10);
    e = errors_of(logs + 2, 1);
    assert_int_equal(e.count, 0);
    assert_true(isnan(e.median) && isnan(e.most));
}

static struct verdict judge(double seconds, double low, double high, double allowed)
{
    const struct estimate list[] = {
        {0, 0, 100, 90, 110}, {0, 0, seconds, low, high}, {.from = -1, .seconds = NAN}};
    const double by_setting[] = {NAN, allowed, NAN};
    return verdict_of(list, 3, 0, by_setting);
}

static void test_verdict(void **state)
{
    (void)state;
    struct verdict v = judge(50, 40, 60, 1.5);
    assert_int_equal(v.kind, VERDICT_TAKE);
    assert_int_equal(v.first, 1);
    is(v.gain, 2);
    assert_int_equal(judge(50, 40, 60, 2).kind, VERDICT_WITHIN);
    assert_int_equal(judge(50, 40, 60, NAN).kind, VERDICT_TAKE);
    assert_int_equal(judge(50, 40, 90, 1.5).kind, VERDICT_OVERLAP);
    assert_int_equal(judge(50, 40, INFINITY, 1.5).kind, VERDICT_OVERLAP);
    v = judge(101, 100, 102, 1.5);
    assert_int_equal(v.kind, VERDICT_BASELINE);
    assert_int_equal(v.first, 0);
    v = judge(INFINITY, 200, INFINITY, 1.5);
    assert_int_equal(v.first, 0);
}

static void test_verdict_of_few(void **state)
{
    (void)state;
    const double allowed[] = {NAN, 1.5, 1.5};
    const struct estimate never[] = {{0, 0, INFINITY, 300, INFINITY}, {0, 0, 50, 40, 60}};
    struct verdict v = verdict_of(never, 2, 0, allowed);
    assert_int_equal(v.kind, VERDICT_TAKE);
    is(v.gain, INFINITY);
    assert_int_equal(verdict_of(never, 1, 0, allowed).first, -1);
    /* The soonest is unlike all that was seen: the next one counts. */
    const struct estimate far[] = {
        {0, 0, 100, 90, 110}, {0, 2 * estimate_far, 10, 9, 11}, {0, 0.1, 50, 40, 60}};
    assert_int_equal(verdict_of(far, 3, 0, allowed).first, 2);
    assert_int_equal(verdict_of(far, 2, 0, allowed).first, 0);
}

static void test_outcome(void **state)
{
    (void)state;
    const struct estimate soon = {0, 0, 50, 40, 60}, late = {0, 0, 500, 400, 600},
                          never = {0, 0, INFINITY, 400, INFINITY}, none = {.from = -1};
    const struct evidence there = {.runs = 5, .seconds = 40, .watched_s = 200},
                          not_there = {.runs = 5, .seconds = INFINITY, .watched_s = 200};
    assert_int_equal(outcome_of(&soon, &there), OUTCOME_BOTH);
    assert_int_equal(outcome_of(&never, &there), OUTCOME_MISSED);
    assert_int_equal(outcome_of(&soon, &not_there), OUTCOME_MISSED);
    assert_int_equal(outcome_of(&late, &not_there), OUTCOME_AGREES);
    assert_int_equal(outcome_of(&never, &not_there), OUTCOME_AGREES);
    assert_int_equal(outcome_of(&none, &there), OUTCOME_UNKNOWN);
    assert_int_equal(outcome_of(&soon, &(struct evidence){0}), OUTCOME_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),      cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_nothing_known), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_verdict),       cmocka_unit_test(test_verdict_of_few),
        cmocka_unit_test(test_outcome)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
