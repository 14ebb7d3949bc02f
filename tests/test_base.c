/* The ground: random numbers that are what they were in every earlier run, memory that is zero and
 * aligned, and the ways to end. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/latch.h"
#include "base/random.h"
#include "base/signal_name.h"
#include "tests/death_test.h"

enum { DRAWS = 1 << 20 };

/* Under the address sanitizer too, memory that cannot be had is NULL and not the sanitizer's
 * business. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static struct random generator(uint64_t key)
{
    return random_at(RANDOM_TEST, 77, key, 0, 0);
}

/* Fails unless |got - wanted| is within five standard errors. */
static void assert_near(const char *what, double got, double wanted, double error)
{
    if (!(fabs(got - wanted) <= 5 * error))
        fail_msg("%s: %.9g instead of %.9g (standard error %.3g)", what, got, wanted, error);
}

/* Counts that ought to be equal: chi-squared within five of its deviations. */
static void assert_even(const char *what, const int *counts, int cells)
{
    double total = 0, chi = 0;
    for (int i = 0; i < cells; i++)
        total += counts[i];
    for (int i = 0; i < cells; i++)
        chi += (counts[i] - total / cells) * (counts[i] - total / cells) / (total / cells);
    assert_near(what, chi, cells - 1, sqrt(2.0 * (cells - 1)));
}

static void test_known_answers(void **state)
{
    (void)state;
    /* computed separately, in Python; a change breaks every seed ever published */
    struct random r = random_at(RANDOM_TEST, 1, 2, 3, 4);
    assert_int_equal(random_bits(&r), 0x5e3f4b8347cb4a2d);
    assert_int_equal(random_bits(&r), 0x34d321c0a65138d2);
    assert_int_equal(random_bits(&r), 0xb53bade619d1fba3);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void test_keys_are_apart(void **state)
{
    (void)state;
    enum { SIDE = 8, PURPOSES = RANDOM_TEST, COUNT = PURPOSES * SIDE * SIDE * SIDE * SIDE };
    uint64_t *bits = xcalloc(COUNT, sizeof *bits);
    for (int i = 0; i < COUNT; i++) {
        uint64_t k = (uint64_t)i / PURPOSES;
        struct random r = random_at((enum random_purpose)(1 + i % PURPOSES), k % 8, k / 8 % 8,
                                    k / 64 % 8, k / 512);
        bits[i] = random_bits(&r);
    }
    qsort(bits, COUNT, sizeof *bits, by_value);
    for (int i = 1; i < COUNT; i++)
        assert_true(bits[i] != bits[i - 1]);
    xfree(bits);
    struct random a = generator(5), b = generator(5);
    random_normal(&a), random_normal(&a);
    for (int i = 0; i < 4; i++)
        random_bits(&b); /* a normal number is two draws: both are at the fifth */
    assert_int_equal(random_bits(&a), random_bits(&b));
}

static void test_uniform(void **state)
{
    (void)state;
    enum { CELLS = 256 };
    static int counts[CELLS], pairs[CELLS];
    struct random r = generator(1);
    double last = 0;
    for (int i = 0; i < DRAWS; i++) {
        double u = random_uniform(&r);
        assert_true(u >= 0 && u < 1);
        counts[(int)(u * CELLS)]++;
        pairs[(int)(u * 16) * 16 + (int)(last * 16)]++;
        last = u;
    }
    assert_even("uniform", counts, CELLS);
    assert_even("pairs of neighbours", pairs, CELLS);
    memset(counts, 0, sizeof counts);
    for (uint64_t key = 0; key < DRAWS;
         key++) { /* the first draw of one key after another, as delays are drawn */
        struct random first = generator(key);
        counts[(int)(random_uniform(&first) * CELLS)]++;
    }
    assert_even("first draws of neighbouring keys", counts, CELLS);
}

/* A whole list at once has the bits of one number after the other, wherever it begins and ends. */
static void test_uniforms(void **state)
{
    (void)state;
    enum { MOST = 37 };
    for (int count = 0; count <= MOST; count++) {
        double list[MOST + 1] = {0};
        struct random one = generator((uint64_t)count), many = one;
        for (int i = 0; i < count; i++)
            assert_true(random_bits(&one) == random_bits(&many));
        list[count] = -1;
        random_uniforms(&many, list, count);
        for (int i = 0; i < count; i++)
            assert_true(random_uniform(&one) == list[i]);
        assert_true(list[count] == -1 && random_bits(&one) == random_bits(&many));
    }
}

static void test_below(void **state)
{
    (void)state;
    struct random r = generator(2);
    for (int limit = 1; limit <= 33; limit += 4) {
        int counts[33] = {0};
        for (int i = 0; i < DRAWS / 16; i++) {
            uint64_t x = random_below(&r, (uint64_t)limit);
            assert_true(x < (uint64_t)limit);
            counts[x]++;
        }
        if (limit > 1)
            assert_even("below", counts, limit);
    }
    int thirds[3] = {0}; /* a plain remainder would give the first third twice as often */
    for (int i = 0; i < DRAWS / 16; i++)
        thirds[random_below(&r, UINT64_C(3) << 62) >> 62]++;
    assert_even("below 3 x 2^62", thirds, 3);
    for (int i = 0; i < 100; i++)
        assert_true(random_below(&r, UINT64_MAX) < UINT64_MAX);
}

static void test_normal(void **state)
{
    (void)state;
    struct random r = generator(3);
    double sum[5] = {0}, product = 0, last = 0, within = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = random_normal(&r);
        assert_true(isfinite(x));
        for (int k = 1; k <= 4; k++)
            sum[k] += pow(x, k);
        product += x * last;
        within += fabs(x) < 1;
        last = x;
    }
    double root = sqrt(DRAWS);
    assert_near("mean", sum[1] / DRAWS, 0, 1 / root);
    assert_near("variance", sum[2] / DRAWS, 1, sqrt(2) / root);
    assert_near("third moment", sum[3] / DRAWS, 0, sqrt(15) / root);
    assert_near("fourth moment", sum[4] / DRAWS, 3, sqrt(96) / root);
    assert_near("neighbours' product", product / DRAWS, 0, 1 / root);
    assert_near("within one deviation", within / DRAWS, erf(sqrt(0.5)), 0.4654 / root);
}

static void test_shuffle(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    int32_t list[MANY], none[1] = {42};
    struct random r = generator(4);
    for (int i = 0; i < MANY; i++)
        list[i] = i;
    random_shuffle(&r, list, MANY);
    int seen[MANY] = {0}, fixed = 0;
    for (int i = 0; i < MANY; i++) {
        assert_in_range(list[i], 0, MANY - 1);
        assert_int_equal(seen[list[i]]++, 0);
        fixed += list[i] == i;
    }
    assert_true(fixed < 10);
    int counts[24] = {0}; /* all orders of four, equally often */
    for (int i = 0; i < DRAWS / 16; i++) {
        int32_t four[4] = {0, 1, 2, 3};
        random_shuffle(&r, four, 4);
        int third = four[2] - (four[2] > four[0]) - (four[2] > four[1]),
            second = four[1] - (four[1] > four[0]);
        counts[four[0] * 6 + second * 2 + third]++;
    }
    assert_even("orders of four", counts, 24);
    random_shuffle(&r, none, 1);
    random_shuffle(&r, NULL, 0);
    assert_int_equal(none[0], 42);
}

static void test_xcalloc(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        0, 1, 63, 64, 65, 4096, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 9 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int again = 0; again < 2;
             again++) { /* the second time memory that was written before */
            unsigned char *block = xcalloc(sizes[i], 1);
            assert_int_equal((uintptr_t)block % 64, 0);
            for (size_t k = 0; k < sizes[i]; k++)
                if (block[k])
                    fail_msg("byte %zu of %zu is not zero", k, sizes[i]);
            memset(block, 0xff, sizes[i]);
            xfree(block);
        }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *pages = alloc_pages(sizes[i]);
        assert_int_equal((uintptr_t)pages % 4096, 0);
        for (size_t k = 0; k < (sizes[i] + 4095) / 4096 * 4096;
             k++) /* all of the last page is ours */
            if (pages[k]++)
                fail_msg("byte %zu of %zu, in pages, is not zero", k, sizes[i]);
        xfree(pages);
    }
    double *many = xcalloc(1000, sizeof *many);
    many[999] = 1;
    xfree(many);
    xfree(xcalloc(5, 0));
    xfree(NULL);
}

static void allocates(const void *size)
{
    xfree(xcalloc(*(const size_t *)size, 1000));
}

static void test_too_much(void **state)
{
    (void)state;
    static const size_t wrap = SIZE_MAX / 1000 + 1, there_is_none = (size_t)1 << 50;
    assert_dies(EXIT_WORLD, allocates, &wrap,
                (const char *const[]){"x 1000 bytes", "alloc.c:", NULL});
    assert_dies(EXIT_WORLD, allocates, &there_is_none,
                (const char *const[]){"no memory for 1125899906842624000 bytes", NULL});
}

static const char *const ranks[] = {"PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK",
                                    "SLURM_PROCID"};

static void become(const char *variable, const char *rank)
{
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++)
        unsetenv(ranks[i]);
    if (variable)
        setenv(variable, rank, 1);
}

static void errs(const void *rank)
{
    become(rank ? ranks[0] : NULL, rank);
    fatal("%s is %d; take another", "it", 7);
}

static void names(const void *name)
{
    become(NULL, NULL);
    fatal("no '%s' here", (const char *)name);
}

static void leaves(const void *code)
{
    become(ranks[1], "12");
    die(*(const int *)code, "the %s", "end");
}

static void fails(const void *argument)
{
    become(NULL, NULL);
    CHECK(argument != NULL, "no argument: %d", 3);
}

static void test_ends(void **state)
{
    (void)state;
    char said[300];
    assert_int_equal(death_test(errs, NULL, said, sizeof said), EXIT_USER);
    assert_string_equal(said, "nbsgd: it is 7; take another\n");
    assert_int_equal(death_test(errs, "0", said, sizeof said), EXIT_USER);
    assert_string_equal(said, "nbsgd: it is 7; take another\n");
    assert_int_equal(death_test(names, "a\33[2J\nb\177", said, sizeof said), EXIT_USER);
    assert_string_equal(said, "nbsgd: no 'a?[2J b?' here\n"); /* no name steers a terminal */
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(death_test(errs, "3", said, sizeof said), EXIT_USER);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_string_equal(said, "nbsgd: rank 3: it is 7; take another\n");
    assert_true((double)(after.tv_sec - before.tv_sec) +
                    1e-9 * (double)(after.tv_nsec - before.tv_nsec) >
                0.9); /* the first rank spoke before */
    static const int codes[] = {EXIT_NAN, EXIT_SILENT, EXIT_STOPPED};
    for (int i = 0; i < 3; i++)
        assert_dies(codes[i], leaves, &codes[i],
                    (const char *const[]){"nbsgd: rank 12 on ", ": the end\n", NULL});
    assert_dies(
        EXIT_WORLD, fails, NULL,
        (const char *const[]){"nbsgd: rank 0 on ", "test_base.c:", ": no argument: 3\n", NULL});
    assert_int_equal(death_test(fails, "", said, sizeof said), 0);
    assert_string_equal(said, "");
}

static void test_launched_rank(void **state)
{
    (void)state;
    become(NULL, NULL);
    assert_int_equal(launched_rank(), 0);
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        become(ranks[i], "5");
        assert_int_equal(launched_rank(), 5);
    }
    become(NULL, NULL);
}

static void test_signal_names(void **state)
{
    (void)state;
    assert_string_equal(signal_name(SIGTERM), "TERM");
    assert_string_equal(signal_name(SIGKILL), "KILL");
    assert_string_equal(signal_name(SIGUSR2), "USR2");
    assert_null(signal_name(SIGRTMIN));
    assert_null(signal_name(0));
    for (int i = 1; i < 32; i++) /* all that are no real-time ones have one, each its own */
        for (int j = 1; j <= i; j++)
            assert_int_equal(!strcmp(signal_name(i), signal_name(j)), i == j);
}

static int64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *open_later(void *latch)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    latch_open(latch);
    return NULL;
}

static void test_latch(void **state)
{
    (void)state;
    const int64_t second_ns = 1000000000;
    pthread_t thread;
    struct latch l;
    latch_begin(&l);
    int64_t began_ns = monotonic_ns();
    assert_false(latch_wait(&l, began_ns + second_ns / 20));
    assert_true(monotonic_ns() >= began_ns + second_ns / 20);
    assert_false(latch_wait(&l, began_ns)); /* is over already */
    assert_false(pthread_create(&thread, NULL, open_later, &l));
    assert_true(latch_wait(&l, monotonic_ns() + 100 * second_ns));
    assert_true(latch_wait(&l, 0)); /* it stays open */
    pthread_join(thread, NULL);
    assert_true(monotonic_ns() < began_ns + 50 * second_ns);
    latch_end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers), cmocka_unit_test(test_keys_are_apart),
        cmocka_unit_test(test_uniform),       cmocka_unit_test(test_uniforms),
        cmocka_unit_test(test_below),         cmocka_unit_test(test_normal),
        cmocka_unit_test(test_shuffle),       cmocka_unit_test(test_xcalloc),
        cmocka_unit_test(test_too_much),      cmocka_unit_test(test_ends),
        cmocka_unit_test(test_launched_rank), cmocka_unit_test(test_signal_names),
        cmocka_unit_test(test_latch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
