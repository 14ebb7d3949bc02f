/* Every scheme under faults that are drawn by seed, judged by the invariants of tests/soak.h.
 *
 *   SOAK_SEEDS=N     so many seeds (some hundreds by default); make soak takes 10,000
 *   SOAK_FROM=N      from this one on
 *   SOAK_JOBS=N      in so many processes
 *   SOAK_SEED=N      this one alone, with all it says; SOAK_SCHEME=NAME of that scheme
 *
 * Seeds that once found something are in tests/soak_seeds.txt and are tried first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/soak.h"
#include "tests/soak_broken.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 120 };
#else
enum { SEEDS = 720 };
#endif

static long setting(const char *name, long preset)
{
    const char *text = getenv(name);
    return text ? atol(text) : preset;
}

static int scheme_count(void)
{
    int count = 0;
    while (schemes[count])
        count++;
    return count;
}

static bool try_seed(uint64_t seed, const char *scheme, bool verbose)
{
    struct soak_case c;
    soak_draw(&c, seed, scheme ? scheme_find(scheme) : schemes[seed % (uint64_t)scheme_count()]);
    return soak_try(&c, verbose);
}

static void one_seed(void **state)
{
    (void)state;
    assert_true(try_seed((uint64_t)setting("SOAK_SEED", 1), getenv("SOAK_SCHEME"), true));
}

/* Every `jobs`-th seed, in this process. */
static void try_each(long job, long jobs, long *failed)
{
    long from = setting("SOAK_FROM", 1), seeds = setting("SOAK_SEEDS", SEEDS);
    for (long seed = from + job; seed < from + seeds; seed += jobs)
        if (!try_seed((uint64_t)seed, NULL, false))
            __atomic_add_fetch(failed, 1, __ATOMIC_RELAXED);
}

static void all_invariants_hold_under_faults(void **state)
{
    (void)state;
    long jobs = setting("SOAK_JOBS", 1);
    long *failed =
        mmap(NULL, sizeof *failed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(failed != MAP_FAILED);
    fflush(NULL);
    for (long job = 1; job < jobs; job++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child)
            continue;
        try_each(job, jobs, failed);
        _exit(0);
    }
    try_each(0, jobs, failed);
    for (int status; wait(&status) > 0;)
        if (status)
            ++*failed;
    if (*failed)
        fail_msg("%ld of %ld seeds failed", *failed, setting("SOAK_SEEDS", SEEDS));
    printf("%ld seeds, none failed\n", setting("SOAK_SEEDS", SEEDS));
}

struct seed {
    unsigned long long seed;
    char scheme[40];
};

/* Lines "SEED SCHEME  what it found". The file is closed before a child could move in it. */
static int read_seeds(struct seed *list, int most)
{
    char line[300];
    int count = 0;
    FILE *file = fopen("tests/soak_seeds.txt", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (*line == '#')
            continue;
        assert_true(count < most);
        assert_int_equal(sscanf(line, "%llu %39s", &list[count].seed, list[count].scheme), 2);
        count++;
    }
    fclose(file);
    return count;
}

static void seeds_that_found_a_fault_stay_good(void **state)
{
    (void)state;
    enum { MOST = 200 };
    static struct seed list[MOST];
    int count = read_seeds(list, MOST), failed = 0;
    for (int i = 0; i < count; i++)
        failed += !try_seed(list[i].seed, list[i].scheme, false);
    assert_int_equal(failed, 0);
}

/* Each invariant is broken by a scheme that is made for it: one that cannot be broken says
 * nothing. */
static void every_invariant_can_be_broken(void **state)
{
    (void)state;
    enum { TRIES = 60 };
    for (const struct soak_broken *b = soak_broken; b->invariant; b++) {
        uint64_t seed = 1;
        for (bool found = false; seed <= TRIES && !found; seed++) {
            struct soak_case c;
            soak_draw(&c, seed, &b->scheme);
            found = soak_breaks(&c, b->invariant);
        }
        if (seed > TRIES)
            fail_msg("nothing breaks the invariant '%s'", b->invariant);
    }
}

int main(void)
{
    const struct CMUnitTest one[] = {
        cmocka_unit_test(one_seed),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_invariant_can_be_broken),
        cmocka_unit_test(seeds_that_found_a_fault_stay_good),
        cmocka_unit_test(all_invariants_hold_under_faults),
    };
    if (getenv("SOAK_SEED"))
        return cmocka_run_group_tests(one, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
