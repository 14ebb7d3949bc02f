/* Delays against the moments and quantiles of their distributions, asked in any order, and every
 * way to write them wrong. */
#include "slowness/slowness.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/random.h"
#include "tests/death_test.h"

enum { DRAWS = 200000, RANKS = 8 };

static const uint64_t seed = 20220516;

/* DRAWS delays of a term, over ranks and mini-batches; never negative, never NaN. The caller
 * frees. */
static double *draw(const char *text)
{
    struct delay d = delay_parse(text, RANKS);
    double *x = malloc(DRAWS * sizeof *x);
    for (int i = 0; i < DRAWS; i++) {
        x[i] = delay_at(&d, seed, i % RANKS, i / RANKS, false);
        if (!(x[i] >= 0 && x[i] < INFINITY))
            fail_msg("%s: draw %d of seed %llu is %g", text, i, (unsigned long long)seed, x[i]);
    }
    return x;
}

/* The sample's mean and deviation, to five standard errors of the mean; delay_mean() says the same
 * mean. */
static void has_moments(const char *text, double mean, double deviation)
{
    double *x = draw(text), sum = 0, squares = 0;
    for (int i = 0; i < DRAWS; i++)
        sum += x[i];
    double m = sum / DRAWS;
    for (int i = 0; i < DRAWS; i++)
        squares += (x[i] - m) * (x[i] - m);
    double s = sqrt(squares / DRAWS);
    if (!(fabs(m - mean) <= 5 * deviation / sqrt(DRAWS) + 1e-12))
        fail_msg("%s: mean %.9g instead of %.9g", text, m, mean);
    if (!(fabs(s - deviation) <= 0.05 * deviation + 1e-9))
        fail_msg("%s: deviation %.9g instead of %.9g", text, s, deviation);
    struct delay d = delay_parse(text, RANKS);
    for (int rank = 0; rank < RANKS; rank++)
        if (!(fabs(delay_mean(&d, rank) - mean) <= 1e-9 * (1 + mean)))
            fail_msg("%s: delay_mean says %.12g instead of %.12g", text, delay_mean(&d, rank),
                     mean);
    free(x);
}

static void test_moments(void **state)
{
    (void)state;
    has_moments("constant:0.1", 0.1, 0);
    has_moments("constant:0", 0, 0);
    has_moments("gaussian:0.06,0.005", 0.06, 0.005);
    has_moments("gaussian:2,0", 2, 0);
    /* half of it cut to 0 */
    has_moments("gaussian:0,1", 1 / sqrt(2 * M_PI), sqrt(0.5 - 0.5 / M_PI));
    has_moments("exponential:0.1", 0.1, 0.1);
    has_moments("uniform:0,0.2", 0.1, 0.2 / sqrt(12));
    has_moments("uniform:3,3", 3, 0);
    has_moments("stall:0.01,30", 0.3, 30 * sqrt(0.01 * 0.99));
    has_moments("stall:1,2.5", 2.5, 0);
    has_moments("stall:0,2.5", 0, 0);
    has_moments("pareto:0.05,5", 0.0625, 0.05 * sqrt(5.0 / (16 * 3)));
    has_moments("lognormal:0.5,0.58", 0.5, 0.58);
    has_moments("lognormal:0.5,0", 0.5, 0);
    has_moments("lognormal:0.5,0.01,1e9", 0.5, 0.01);
    has_moments("lognormal:2,3,0", 0, 0);
    has_moments("lognormal:2,0,0.25", 0.25, 0);
    has_moments("burst:0.25,4,1", 1, 4 * sqrt(0.25 * 0.75));
    has_moments("constant:1;uniform:0,1;exponential:0.5", 2, sqrt(1.0 / 12 + 0.25));
}

/* A cap of a log-normal delay: the mean by adding up the tail's probabilities, in 20,000 steps. */
static void test_lognormal_cap(void **state)
{
    (void)state;
    const double mean = 0.5, deviation = 0.58, cap = 1.2;
    double variance = log1p(deviation * deviation / (mean * mean)), mu = log(mean) - variance / 2,
           sum = 0;
    for (int i = 0; i < 20000; i++)
        sum += 0.5 * erfc((log(cap * (i + 0.5) / 20000) - mu) / sqrt(2 * variance));
    struct delay d = delay_parse("lognormal:0.5,0.58,1.2", RANKS);
    assert_true(fabs(delay_mean(&d, 1) - sum * cap / 20000) < 1e-5);
    double *x = draw("lognormal:0.5,0.58,1.2"), drawn = 0, greatest = 0;
    for (int i = 0; i < DRAWS; i++) {
        drawn += x[i] / DRAWS;
        greatest = fmax(greatest, x[i]);
    }
    assert_true(greatest == cap && fabs(drawn - sum * cap / 20000) < 0.005);
    free(x);
}

/* A burst is drawn once for its block: 7 in a row are alike, a quarter of the blocks is slow. */
static void test_bursts(void **state)
{
    (void)state;
    enum { BLOCKS = 4000, LENGTH = 7 };
    struct delay d = delay_parse("burst:0.25,3,7@2;constant:1@1", RANKS);
    int slow = 0;
    for (int64_t block = 0; block < BLOCKS; block++) {
        double first = delay_at(&d, seed, 2, block * LENGTH, false);
        assert_true(first == 0 || first == 3);
        slow += first == 3;
        for (int i = 1; i < LENGTH; i++)
            assert_true(delay_at(&d, seed, 2, block * LENGTH + i, false) == first);
    }
    assert_true(abs(slow - BLOCKS / 4) < 5 * sqrt(BLOCKS * 0.25 * 0.75));
    assert_true(delay_at(&d, seed, 3, 0, false) == 0 && delay_at(&d, seed, 1, 5, false) == 1);
}

static void test_standstill(void **state)
{
    (void)state;
    struct delay d =
        delay_parse("constant:1!; constant:10!@3 ;constant:100@3!;constant:1000", RANKS);
    assert_true(delay_at(&d, seed, 3, 0, true) == 111 && delay_at(&d, seed, 3, 0, false) == 1000);
    assert_true(delay_at(&d, seed, 2, 0, true) == 1 && delay_mean(&d, 3) == 1111);
}

/* Keyed by the clock, against a walk in steps of a thousandth of a second. */
static void test_course(void **state)
{
    (void)state;
    enum { STEPS = 60000 };
    static bool held[STEPS];
    const double block_s = 0.25, step_s = 0.001;
    struct delay d = delay_parse("uniform:0,0.8", RANKS);
    double at_s = block_s;
    for (int64_t k = 0; at_s < STEPS * step_s; k++) {
        double until_s = at_s + delay_at(&d, seed, 1, k, false);
        for (int i = (int)ceil(at_s / step_s); i < STEPS && i * step_s < until_s; i++)
            held[i] = true;
        at_s = until_s + block_s;
    }
    struct delay_course course = {0};
    struct random r = random_at(RANDOM_TEST, seed, 0, 0, 0);
    int begin = 0, again = 0;
    for (int mini = 0; mini < 100; mini++) {
        int compute = 1 + (int)random_below(&r, 400), at = begin;
        for (int left = compute; left > 0; at++)
            left -= !held[at];
        double got =
            delay_course_at(&d, seed, 1, false, &course, block_s, begin * step_s, compute * step_s);
        /* a delay that begins where the computing ends belongs to it: the walk leaves it out */
        double wanted = (at - begin - compute) * step_s;
        if (!(fabs(got - wanted) <= 0.01 || held[at]))
            fail_msg("mini-batch %d: held up for %g s instead of %g", mini, got, wanted);
        /* dropped half-way, it meets what is left of the same delay */
        begin = random_below(&r, 3) ? at : begin + (at - begin) / 2;
        again += begin < at;
    }
    assert_true(again > 10 && begin > STEPS / 4);
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void test_pareto_quantiles(void **state)
{
    (void)state;
    static const double shapes[] = {0.5, 1, 1.5, 3}, parts[] = {0.1, 0.5, 0.9, 0.99};
    for (int s = 0; s < 4; s++) {
        char text[60];
        snprintf(text, sizeof text, "pareto:0.05,%g", shapes[s]);
        double *x = draw(text);
        qsort(x, DRAWS, sizeof *x, rising);
        assert_true(x[0] >= 0.05);
        for (int k = 0; k < 4; k++) {
            /* of the distribution, below the sample's quantile */
            double got = x[(int)(parts[k] * DRAWS)], part = 1 - pow(0.05 / got, shapes[s]);
            if (!(fabs(part - parts[k]) <= 5 * sqrt(parts[k] * (1 - parts[k]) / DRAWS)))
                fail_msg("%s: quantile %g is %g, which is the distribution's %g", text, parts[k],
                         got, part);
        }
        struct delay d = delay_parse(text, RANKS);
        assert_int_equal(isinf(delay_mean(&d, 1)), shapes[s] <= 1);
        free(x);
    }
    free(draw("pareto:1e9,0.1")); /* the wildest that is allowed stays finite */
}

static void test_keyed(void **state)
{
    (void)state;
    static double first[RANKS][100];
    struct delay d =
        delay_parse("gaussian:0.5,0.1;pareto:0.05,1.5;uniform:0,1;uniform:0,1;stall:0.1,3", RANKS);
    for (int rank = 0; rank < RANKS; rank++)
        for (int i = 0; i < 100; i++)
            first[rank][i] = delay_at(&d, seed, rank, i, false);
    for (int i = 99; i >= 0; i--) /* asked in another order, with others in between */
        for (int rank = RANKS - 1; rank >= 0; rank--) {
            delay_at(&d, seed + 1, rank, i, false);
            assert_true(delay_at(&d, seed, rank, i, false) == first[rank][i]);
        }
    assert_true(first[1][5] != first[2][5] && first[1][5] != first[1][6]);
    assert_true(delay_at(&d, seed + 1, 1, 5, false) != first[1][5]);
    struct delay twice = delay_parse("uniform:0,1;uniform:0,1", RANKS),
                 once = delay_parse("uniform:0,1", RANKS);
    /* like terms draw independently */
    assert_true(delay_at(&twice, seed, 0, 0, false) != 2 * delay_at(&once, seed, 0, 0, false));
}

static void test_ranks(void **state)
{
    (void)state;
    struct delay d = delay_parse(" constant:1 @ 3 ; constant:10; constant:100@7 ", RANKS);
    assert_int_equal(d.terms, 3);
    for (int rank = 0; rank < RANKS; rank++) {
        double wanted = 10 + (rank == 3) + 100 * (rank == 7);
        assert_true(delay_at(&d, seed, rank, 12345678901, false) == wanted);
        assert_true(delay_mean(&d, rank) == wanted);
    }
    static const char *const nothing[] = {"", "  "};
    for (int i = 0; i < 2; i++) {
        d = delay_parse(nothing[i], RANKS);
        assert_int_equal(d.terms, 0);
        assert_true(delay_at(&d, seed, 1, 0, false) == 0 && delay_mean(&d, 1) == 0);
    }
    d = delay_parse(
        "constant:1;constant:1;constant:1;constant:1;constant:1;constant:1;constant:1;constant:1",
        2);
    assert_true(d.terms == DELAY_TERMS && delay_at(&d, seed, 0, 0, false) == 8);
}

/* Mean 1 and the deviation that was asked for, each to five standard errors; log-normal: half of
 * the draws are below the median. */
static void has_jitter(double deviation)
{
    double sum = 0, squares = 0, variance = log1p(deviation * deviation),
           median = exp(-variance / 2);
    int below = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = jitter_at(deviation, seed, i % RANKS, i / RANKS);
        assert_true(x > 0 && isfinite(x));
        /* whatever was drawn before */
        assert_true(x == jitter_at(deviation, seed, i % RANKS, i / RANKS));
        sum += x;
        squares += (x - 1) * (x - 1);
        below += x < median;
    }
    if (!(fabs(sum / DRAWS - 1) <= 5 * deviation / sqrt(DRAWS)))
        fail_msg("deviation %g: mean %.9g instead of 1", deviation, sum / DRAWS);
    if (!(fabs(sqrt(squares / DRAWS) / deviation - 1) <= 0.02))
        fail_msg("deviation %g: deviation %.9g", deviation, sqrt(squares / DRAWS));
    assert_true(abs(below - DRAWS / 2) <= 5 * sqrt(DRAWS) / 2);
}

static void test_jitter(void **state)
{
    (void)state;
    has_jitter(0.01);
    has_jitter(0.1);
    has_jitter(0.5);
    assert_true(jitter_at(0, seed, 3, 7) == 1);
    double one = jitter_at(0.1, seed, 3, 7);
    assert_true(one != jitter_at(0.1, seed + 1, 3, 7) && one != jitter_at(0.1, seed, 4, 7) &&
                one != jitter_at(0.1, seed, 3, 8));
}

/* The product of both factors has the deviation that was asked for; two ranks of a host have as
 * much of its variance in common as was asked for, two hosts nothing. */
static void test_jitter_of_a_host(void **state)
{
    (void)state;
    const double deviation = 0.2, share = 0.36, variance = log1p(deviation * deviation);
    const struct jitter j = jitter_split(deviation, share);
    double squares = 0, common = 0, apart = 0;
    for (int period = 0; period < DRAWS; period++) {
        double host = log(jitter_host_at(j.host, seed, 0, period)),
               other = log(jitter_host_at(j.host, seed, 1, period)), x[3];
        for (int rank = 0; rank < 3; rank++)
            x[rank] = log(jitter_at(j.own, seed, rank, period)) + (rank < 2 ? host : other) +
                      variance / 2;
        squares += x[0] * x[0];
        common += x[0] * x[1];
        apart += x[0] * x[2];
    }
    assert_true(fabs(squares / DRAWS / variance - 1) < 0.02);
    assert_true(fabs(common / DRAWS / variance - share) < 0.02);
    assert_true(fabs(apart / DRAWS / variance) < 0.02);
    assert_true(jitter_split(deviation, 0).own == deviation &&
                jitter_split(deviation, 0).host == 0);
    assert_true(jitter_split(deviation, 1).own == 0);
    assert_true(fabs(jitter_split(deviation, 1).host / deviation - 1) < 1e-12);
}

static void parse_delay(const void *text)
{
    delay_parse(text, RANKS);
}

static const char *const wrong_delays[] = {
    "0.1",
    "constant",
    "constant:",
    "constant:x",
    "constant:-1",
    "constant:nan",
    "constant:inf",
    "constant:1e400",
    "constant:2e9",
    "constant:0x10",
    "constant:0.1,2",
    "constant:0.1 0.2",
    "constant:0.1;",
    ";constant:0.1",
    "constant:0.1,",
    "constant:0.1|constant:0.1",
    "Constant:0.1",
    "constantly:0.1",
    "gaussian:1",
    "gaussian:1,",
    "gaussian:1,-1",
    "gaussian:1,2,3",
    "exponential:-0.1",
    "pareto:0.05",
    "pareto:0.05,0",
    "pareto:0.05,0.09",
    "pareto:-1,2",
    "uniform:0.2,0.1",
    "lognormal:1",
    "lognormal:0,1",
    "lognormal:1,2,",
    "lognormal:1,2,3,4",
    "burst:0.1,1",
    "burst:0.1,1,0",
    "burst:0.1,1,2.5",
    "burst:1.1,1,2",
    "constant:!1",
    "constant:1!!",
    "!",
    "uniform:-0.1,0.1",
    "stall:1.1,3",
    "stall:-0.1,3",
    "stall:0.1,-3",
    "constant:1@",
    "constant:1@8",
    "constant:1@-1",
    "constant:1@18446744073709551616",
    "constant:1@1.5",
    "constant:1@x",
    "constant:1@1@2",
    "@3",
    "constant:1;constant:1;constant:1;constant:1;constant:1;constant:1;constant:1;constant:1;"
    "constant:1",
};

static void test_wrong_delays(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong_delays / sizeof *wrong_delays; i++) {
        const char *const words[] = {"--delay",
                                     wrong_delays[i],
                                     "constant:SECONDS",
                                     "pareto:SMALLEST,SHAPE",
                                     "stall:PROBABILITY,SECONDS",
                                     NULL};
        assert_dies(EXIT_USER, parse_delay, wrong_delays[i], words);
    }
    assert_dies(0, parse_delay, "pareto:0.05,1.5@3", NULL);
}

static void test_slowness(void **state)
{
    (void)state;
    struct slowness s = slowness_parse("3=4.0,4=2 , 0 = 1", RANKS);
    static const double wanted[RANKS] = {1, 1, 1, 4, 2, 1, 1, 1};
    for (int rank = 0; rank < RANKS; rank++)
        assert_true(slowness_of(&s, rank) == wanted[rank]);
    s = slowness_parse("", RANKS);
    assert_true(s.count == 0 && slowness_of(&s, 3) == 1);
}

static void parse_slowness(const void *text)
{
    slowness_parse(text, 100);
}

static void test_wrong_slowness(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "3",     "3=",   "=4",   "3=x",  "3=0.5",   "3=0",     "3=-2",    "3=nan",     "3=inf",
        "100=2", "-1=2", "3=2,", ",3=2", "3=2;4=2", "3=2,3=2", "3=2 4=2", "3=2,1.5=2", "3:2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_dies(EXIT_USER, parse_slowness, wrong[i],
                    (const char *const[]){"--slow", wrong[i], "RANK=FACTOR", NULL});
    char many[1000] = "";
    int used = 0;
    for (int rank = 0; rank <= SLOW_WORKERS; rank++) {
        if (rank == SLOW_WORKERS)
            assert_dies(0, parse_slowness, many, NULL);
        used += snprintf(many + used, sizeof many - (size_t)used, "%s%d=2", rank ? "," : "", rank);
    }
    assert_dies(EXIT_USER, parse_slowness, many, (const char *const[]){"too many", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_pareto_quantiles),
        cmocka_unit_test(test_keyed),
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_wrong_delays),
        cmocka_unit_test(test_slowness),
        cmocka_unit_test(test_wrong_slowness),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_jitter_of_a_host),
        cmocka_unit_test(test_lognormal_cap),
        cmocka_unit_test(test_bursts),
        cmocka_unit_test(test_standstill),
        cmocka_unit_test(test_course),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
