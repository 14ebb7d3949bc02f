/* Cores: the quotas of cgroups in fake folders, sets, the affinity, pinning. */
#define _GNU_SOURCE
#include "base/cores.h"

#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/nbsgd-cores-XXXXXX";

/* Writes ROOT/PATH, with its folders. */
static void put(const char *path, const char *text)
{
    char name[400];
    snprintf(name, sizeof name, "%s/%s", root, path);
    for (char *slash = name + strlen(root); (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        mkdir(name, 0700);
        *slash = '/';
    }
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int open_root(void **state)
{
    (void)state;
    strcpy(root + strlen(root) - 6, "XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int close_root(void **state)
{
    (void)state;
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

#define assert_cores(membership, expected)                                                         \
    assert_true(fabs(cores_quota(membership, root) - (expected)) < 1e-9)

static void test_no_quota(void **state)
{
    (void)state;
    assert_true(isinf(cores_quota("0::/\n", root)));
    assert_true(isinf(cores_quota("", root)));
    assert_true(isinf(cores_quota("nonsense\n::\n7:cpu\n0::relative\n", root)));
    put("cpu.max", "max 100000\n");
    assert_true(isinf(cores_quota("0::/\n", root)));
    put("cpu.max", "0 0\n");
    assert_true(isinf(cores_quota("0::/\n", root)));
}

static void test_version_2(void **state)
{
    (void)state;
    put("cpu.max", "400000 100000\n");
    put("a/cpu.max", "max 100000\n");
    put("a/b/cpu.max", "150000 50000\n");
    put("a/c/cpu.max", "800000 100000\n");
    assert_cores("0::/\n", 4);
    assert_cores("0::/a\n", 4);
    assert_cores("0::/a/b\n", 3);
    assert_cores("0::/a/c\n", 4);
    /* a name of another name space: what is mounted counts */
    assert_cores("0::/docker/0123\n", 4);
}

static void test_version_1(void **state)
{
    (void)state;
    put("cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    put("cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n");
    put("cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    put("memory/job/cpu.cfs_quota_us", "1\n");
    put("memory/job/cpu.cfs_period_us", "100000\n");
    assert_true(isinf(cores_quota("4:cpu,cpuacct:/\n", root)));
    assert_cores("5:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/job\n", 2.5);
    assert_true(isinf(cores_quota("5:memory:/job\n3:cpuset:/job\n", root)));
    put("cpu/cpu.cfs_quota_us", "50000\n");
    put("cpu/cpu.cfs_period_us", "100000\n");
    assert_cores("2:cpuacct:/\n1:cpu:/\n", 0.5);
}

/* Both versions mounted, one below the other. */
static void test_both(void **state)
{
    (void)state;
    put("unified/x/cpu.max", "200000 100000\n");
    put("cpu/x/cpu.cfs_quota_us", "300000\n");
    put("cpu/x/cpu.cfs_period_us", "100000\n");
    assert_cores("1:cpu:/x\n0::/x\n", 2);
    assert_cores("1:cpu:/x\n", 3);
}

static void test_sets(void **state)
{
    (void)state;
    struct core_set a = {{3}}, b = {{6}}, c = core_set_union(&a, &b);
    assert_int_equal(core_set_count(&a), 2);
    assert_int_equal(core_set_count(&c), 3);
    assert_true(core_set_equal(&a, &a) && !core_set_equal(&a, &b));
}

/* In a child, since it stays pinned: exit code 0 when all is as it should be. */
static int pinned_child(int index, int parts, int count)
{
    cpu_set_t before, after, common;
    sched_getaffinity(0, sizeof before, &before);
    if (!cores_pin(index, parts, count))
        return 1;
    sched_getaffinity(0, sizeof after, &after);
    CPU_AND(&common, &before, &after);
    if (CPU_COUNT(&after) != count || !CPU_EQUAL(&common, &after))
        return 2;
    return cores_available() <= count ? 0 : 3;
}

static void test_pin(void **state)
{
    (void)state;
    struct core_set own = core_set_own();
    cpu_set_t mask;
    int cores = core_set_count(&own);
    sched_getaffinity(0, sizeof mask, &mask);
    assert_int_equal(cores, CPU_COUNT(&mask));
    assert_in_range(cores_available(), 1, cores);
    for (int parts = 1; parts <= cores && parts <= 4; parts++)
        for (int index = 0; index < parts; index++) {
            int status = 0;
            pid_t child = fork();
            if (!child)
                _exit(pinned_child(index, parts, cores / parts));
            waitpid(child, &status, 0);
            assert_int_equal(status, 0);
        }
}

/* Groups of one core share none. */
static void test_pin_own_cores(void **state)
{
    (void)state;
    struct core_set own = core_set_own();
    int cores = core_set_count(&own), pipes[2];
    assert_int_equal(pipe(pipes), 0);
    for (int i = 0; i < cores; i++) {
        pid_t child = fork();
        if (!child) {
            struct core_set mine;
            bool done = cores_pin(i, cores, 1);
            mine = core_set_own();
            _exit(!done || write(pipes[1], &mine, sizeof mine) != (ssize_t)sizeof mine);
        }
        int status;
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
        struct core_set theirs;
        assert_int_equal(read(pipes[0], &theirs, sizeof theirs), sizeof theirs);
        assert_int_equal(core_set_count(&theirs), 1);
        for (int k = 0; k < CORE_SET_WORDS; k++) {
            assert_int_equal(theirs.word[k] & ~own.word[k], 0);
            own.word[k] &= ~theirs.word[k];
        }
    }
    assert_int_equal(core_set_count(&own), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_quota, open_root, close_root),
        cmocka_unit_test_setup_teardown(test_version_2, open_root, close_root),
        cmocka_unit_test_setup_teardown(test_version_1, open_root, close_root),
        cmocka_unit_test_setup_teardown(test_both, open_root, close_root),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_pin),
        cmocka_unit_test(test_pin_own_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
