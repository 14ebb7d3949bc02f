/* Who may write into a folder of results: what is refused, what is taken over; and that runs which
 * start at once have a folder each. */
#include "metrics/claim.h"

#include <dirent.h>
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

#include "base/check.h"
#include "tests/death_test.h"
#include "tests/own_folder.h"

enum { AT_ONCE = 30 };

static void put(const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("learned\n", f);
    fclose(f);
}

static int names_in(const char *folder)
{
    int names = -2; /* . and .. */
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d))
        names++;
    closedir(d);
    return names;
}

static struct claim *take(const char *wanted, bool overwrite)
{
    return claim_open(&(struct claim_request){
        .wanted = wanted, .scheme = "s", .save = "w", .overwrite = overwrite});
}

/* Of a folder: asked before a run, and when it would begin. */
static void asks(const void *request)
{
    claim_check(request);
}

static void claims(const void *request)
{
    claim_close(claim_open(request));
}

static void assert_refused(const char *folder, bool overwrite, const char *const *words)
{
    const struct claim_request r = {
        .wanted = folder, .scheme = "s", .save = "", .overwrite = overwrite};
    assert_dies(EXIT_USER, asks, &r, words);
    assert_dies(EXIT_USER, claims, &r, words);
}

static void assert_taken(const char *folder, bool overwrite)
{
    const struct claim_request r = {
        .wanted = folder, .scheme = "s", .save = "", .overwrite = overwrite};
    assert_dies(0, asks, &r, NULL);
    assert_dies(0, claims, &r, NULL);
}

static void new_and_empty_folders_are_taken(void **state)
{
    (void)state;
    claim_check(&(struct claim_request){.wanted = "a/b", .scheme = "s"});
    assert_int_equal(names_in("."), 0); /* asking makes nothing */
    struct claim *c = take("a/b", false);
    assert_string_equal(claim_folder(c), "a/b");
    assert_false(claim_has_earlier(c));
    assert_int_equal(names_in("a/b"), 1);
    claim_close(c);
    assert_int_equal(mkdir("empty", 0755), 0);
    assert_taken("empty", false);
    assert_taken("empty", false); /* a run that began, and left nothing */
}

static void a_living_run_keeps_its_folder(void **state)
{
    (void)state;
    char pid[30];
    snprintf(pid, sizeof pid, "process %d on ", (int)getpid());
    struct claim *c = take("a", false);
    assert_refused("a", false, (const char *const[]){"--results a", "writes there now", pid, NULL});
    put("a/eval.csv");
    assert_refused("a", true, (const char *const[]){"writes there now", pid, NULL});
    claim_close(c);
    assert_taken("a", true);
}

static void an_earlier_runs_files_stay(void **state)
{
    (void)state;
    claim_close(take("a", false));
    put("a/eval.csv");
    assert_refused("a", false,
                   (const char *const[]){"earlier run", "eval.csv", "--overwrite", NULL});
    struct claim *c = take("a", true);
    assert_true(claim_has_earlier(c));
    assert_int_equal(names_in("a"), 2);
    claim_close(c);
}

static void others_files_stay(void **state)
{
    (void)state;
    assert_int_equal(mkdir("mine", 0755), 0);
    put("mine/thesis");
    assert_refused("mine", false,
                   (const char *const[]){"not empty", "thesis", "--overwrite", NULL});
    assert_int_equal(names_in("mine"), 1); /* no marker either */
    struct claim *c = take("mine", true);
    assert_false(claim_has_earlier(c));
    assert_int_equal(names_in("mine"), 2);
    claim_close(c);
}

static void what_is_no_folder_is_refused(void **state)
{
    (void)state;
    put("file");
    assert_int_equal(symlink("nothing", "link"), 0);
    assert_refused("file", true, (const char *const[]){"file is no folder", NULL});
    assert_refused("file/a", true, (const char *const[]){"cannot make the folder file/a", NULL});
    assert_refused("link", true, (const char *const[]){"link", NULL});
    assert_int_equal(names_in("."), 2);
}

static void a_run_that_goes_on_keeps_its_name(void **state)
{
    (void)state;
    struct claim *c = take("a", false);
    char first[300];
    snprintf(first, sizeof first, "%s", claim_run(c));
    assert_null(claim_saved(c));
    claim_close(c);
    put("a/eval.csv");
    c = claim_open(
        &(struct claim_request){.wanted = "a", .scheme = "s", .save = "v", .resume = true});
    assert_string_equal(claim_run(c), first);
    assert_string_equal(claim_saved(c), "w");
    assert_true(claim_has_earlier(c));
    claim_close(c);
    for (int i = 0; i < 2; i++) { /* one that was refused --save v says it again: it has w still */
        c = claim_open(
            &(struct claim_request){.wanted = "a", .scheme = "s", .save = "v", .resume = true});
        assert_string_equal(claim_saved(c), i ? "v" : "w");
        claim_set_saved(c, "v");
        claim_close(c);
    }
}

/* Thirty processes, which wait for each other before they claim: each leaves a file named by itself
 * in its folder. */
static void claim_at_once(int number, const char *wanted, int start)
{
    char byte, path[4200];
    if (read(start, &byte, 1) != 0) /* the end of the pipe, at all at once */
        _exit(9);
    struct claim *c = take(wanted, false);
    snprintf(path, sizeof path, "%s/%d", claim_folder(c), number);
    put(path);
    claim_close(c);
    _exit(0);
}

/* Returns how many succeeded. */
static int all_at_once(const char *wanted)
{
    int start[2], well = 0, status;
    assert_int_equal(pipe(start), 0);
    for (int i = 0; i < AT_ONCE; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child)
            continue;
        close(start[1]);
        if (!freopen("/dev/null", "w", stderr))
            _exit(8);
        claim_at_once(i, wanted, start[0]);
    }
    close(start[0]);
    close(start[1]);
    for (int i = 0; i < AT_ONCE; i++) {
        assert_true(wait(&status) > 0);
        well += status == 0;
        assert_true(status == 0 || WEXITSTATUS(status) == EXIT_USER);
    }
    return well;
}

static void thirty_at_once_have_thirty_folders(void **state)
{
    (void)state;
    char path[600];
    assert_int_equal(all_at_once(""), AT_ONCE);
    assert_int_equal(names_in("results"), AT_ONCE);
    DIR *d = opendir("results");
    for (struct dirent *e; (e = readdir(d));) {
        if (*e->d_name == '.')
            continue;
        snprintf(path, sizeof path, "results/%s", e->d_name);
        assert_int_equal(names_in(path), 2); /* the marker, and one file */
    }
    closedir(d);
}

/* Each that succeeds leaves a file, so the next one is refused, be the first alive or not. */
static void one_of_thirty_has_the_wanted_folder(void **state)
{
    (void)state;
    assert_int_equal(all_at_once("wanted"), 1);
    assert_int_equal(names_in("wanted"), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, own_folder_enter, own_folder_leave)
    const struct CMUnitTest tests[] = {
        TEST(new_and_empty_folders_are_taken),    TEST(a_living_run_keeps_its_folder),
        TEST(an_earlier_runs_files_stay),         TEST(others_files_stay),
        TEST(what_is_no_folder_is_refused),       TEST(a_run_that_goes_on_keeps_its_name),
        TEST(thirty_at_once_have_thirty_folders), TEST(one_of_thirty_has_the_wanted_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
