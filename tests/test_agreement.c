/* What ranks compare at the start, files that one of them reads for all, and what a launcher's
 * variables say of the world. tests/agree.sh has the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/command.h"
#include "messaging/mpi/agreement.h"
#include "messaging/mpi/launcher.h"
#include "tests/death_test.h"

static void assert_line(const char *ours, const char *theirs, const char *wanted)
{
    char line[FATAL_LINE] = "";
    bool differs = agreement_differs(ours, theirs, 3, "node7", line);
    assert_int_equal(differs, wanted != NULL);
    if (wanted)
        assert_string_equal(line, wanted);
}

static void the_first_value_that_differs_is_named(void **state)
{
    (void)state;
    assert_line("commit\tab\n--seed\t1\n", "commit\tab\n--seed\t1\n", NULL);
    assert_line("commit\tab\n--seed\t1\n--lr\t1\n", "commit\tab\n--seed\t2\n--lr\t2\n",
                "rank 3 on node7 has --seed 2, rank 0 has --seed 1; give all ranks the same");
    assert_line("--init\t\n", "--init\ta b\n",
                "rank 3 on node7 has --init a b, rank 0 has --init ''; give all ranks the same");
    assert_line("--seed\t1\n", "--seed\t12\n",
                "rank 3 on node7 has --seed 12, rank 0 has --seed 1; give all ranks the same");
    assert_line("data set\tcifar10\tfrom good\n", "data set\tsynthetic\tfound in no folder\n",
                "rank 3 on node7 has data set synthetic (found in no folder), rank 0 has data set "
                "cifar10 (from good); give all ranks the same");
}

static void remarks_order_and_names_of_one_alone_do_not_count(void **state)
{
    (void)state;
    assert_line("data set\tcifar10\tfrom here\n", "data set\tcifar10\tfrom there\n", NULL);
    assert_line("a\t1\nb\t2\n", "b\t2\nc\t3\na\t1\n", NULL);
    assert_line("a\t1\n", "", NULL);
    assert_line("", "a\t1\n", NULL);
}

static void no_line_is_too_long(void **state)
{
    (void)state;
    char ours[2 * FATAL_LINE], theirs[2 * FATAL_LINE], line[FATAL_LINE];
    memset(ours, 'a', sizeof ours);
    memset(theirs, 'b', sizeof theirs);
    memcpy(ours, "--init\t", 7);
    memcpy(theirs, "--init\t", 7);
    strcpy(ours + sizeof ours - 2, "\n");
    strcpy(theirs + sizeof theirs - 2, "\n");
    assert_true(agreement_differs(ours, theirs, 1, "node7", line));
    assert_true(strlen(line) < sizeof line && strstr(line, "give all ranks the same"));
}

/* ---- files */

static void parse(struct options *o, struct option_files *files, int argc, char **argv)
{
    struct option_sets sets = option_sets();
    const struct option_texts texts = {
        .summary = "", .epilog = "", .choices = option_choices, .files = files};
    options_parse(o, sets.list, argc, argv, &texts);
}

static char *file_of(const char *text, char path[40])
{
    strcpy(path, "/tmp/nbsgd-test-XXXXXX");
    int file = mkstemp(path);
    FILE *f = fdopen(file, "w");
    assert_true(f && fputs(text, f) >= 0 && !fclose(f));
    return path;
}

static void one_rank_reads_files_for_all(void **state)
{
    (void)state;
    char first[40], second[40];
    struct option_files read = {0};
    struct options o, handed;
    char *argv[] = {"test",
                    "--config",
                    file_of("lr = 0.5\nbatch = 64\n", first),
                    "--config",
                    file_of("\n", second),
                    "--batch",
                    "32"};
    parse(&o, &read, 7, argv);
    assert_true(o.lr == 0.5 && o.batch == 32);
    unlink(first);
    unlink(second);
    struct option_files all = {.handed = true, .text = read.text, .bytes = read.bytes};
    parse(&handed, &all, 7, argv);
    assert_true(handed.lr == 0.5 && handed.batch == 32);
    assert_true(options_named(&handed, "lr") && !options_given(&handed, "lr"));
    assert_true(options_given(&handed, "batch") && !options_named(&handed, "seed"));
    options_close(&o);
    options_close(&handed);
    xfree(read.text);
}

static void takes_another_file(const void *name)
{
    static const char files[] = "a.ini\0lr = 1\n";
    char text[sizeof files];
    struct options o;
    memcpy(text, files, sizeof files);
    struct option_files all = {.handed = true, .text = text, .bytes = sizeof files};
    parse(&o, &all, 5, (char *[]){"test", "--config", "a.ini", "--config", (char *)name});
}

static void takes_files_of_nobody(const void *name)
{
    struct options o;
    struct option_files none = {.handed = true};
    parse(&o, &none, 3, (char *[]){"test", "--config", (char *)name});
}

static void reads(const void *path)
{
    struct options o;
    parse(&o, NULL, 3, (char *[]){"test", "--config", (char *)path});
}

static void another_file_than_rank_0s_is_refused(void **state)
{
    (void)state;
    assert_dies(EXIT_USER, takes_another_file, "b.ini",
                (const char *const[]){"--config b.ini: rank 0 has no file in this place", NULL});
    assert_dies(EXIT_USER, takes_files_of_nobody, "a.ini",
                (const char *const[]){"--config a.ini: rank 0 has no file", NULL});
    assert_dies(EXIT_USER, reads, "/dev/zero",
                (const char *const[]){"--config /dev/zero: more than 1048576 bytes", NULL});
}

/* ---- launchers */

static const char *const sizes[] = {"PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE",
                                    "SLURM_STEP_NUM_TASKS"};

/* "NAME=VALUE NAME=VALUE RANKS" */
static void checks_launcher(const void *words)
{
    char text[200], *save = NULL, *word;
    snprintf(text, sizeof text, "%s", (const char *)words);
    for (word = strtok_r(text, " ", &save); strchr(word, '='); word = strtok_r(NULL, " ", &save)) {
        *strchr(word, '=') = 0;
        setenv(word, strchr(word, 0) + 1, 1);
    }
    launcher_check(atoi(word));
}

static void a_launcher_of_another_size_is_named(void **state)
{
    (void)state;
    static const char *const names[] = {"PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK",
                                        "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        unsetenv(sizes[i]), unsetenv(names[i]);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char words[60], said[60];
        snprintf(words, sizeof words, "%s=5 1", sizes[i]);
        snprintf(said, sizeof said, "5 processes of 1 rank (%s=5)", sizes[i]);
        assert_dies(EXIT_USER, checks_launcher, words, (const char *const[]){said, NULL});
    }
    assert_dies(EXIT_USER, checks_launcher, "PMI_SIZE=5 3",
                (const char *const[]){"5 processes of 3 ranks", NULL});
    assert_dies(EXIT_USER, checks_launcher, "PMIX_RANK=1 1",
                (const char *const[]){"more than 1 processes of 1 rank (PMIX_RANK=1)", NULL});
    assert_dies(0, checks_launcher, "PMIX_RANK=0 1", NULL);
    assert_dies(0, checks_launcher, "PMIX_RANK=4 PMI_SIZE=3 3", NULL);
    assert_dies(0, checks_launcher, "PMI_SIZE=3 3", NULL);
    assert_dies(0, checks_launcher, "1", NULL);
    /* a launcher within another one's job */
    assert_dies(0, checks_launcher, "PMI_SIZE=3 SLURM_STEP_NUM_TASKS=1 OMPI_COMM_WORLD_SIZE=8 3",
                NULL);
    assert_dies(0, checks_launcher, "SLURM_STEP_NUM_TASKS=1 1", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_value_that_differs_is_named),
        cmocka_unit_test(remarks_order_and_names_of_one_alone_do_not_count),
        cmocka_unit_test(no_line_is_too_long),
        cmocka_unit_test(one_rank_reads_files_for_all),
        cmocka_unit_test(another_file_than_rank_0s_is_refused),
        cmocka_unit_test(a_launcher_of_another_size_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
