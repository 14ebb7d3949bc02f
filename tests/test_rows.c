/* The files of a folder of results: what a failure leaves and says, links, rows that go on after a
 * checkpoint; and the note in a file of weights. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "metrics/metrics.h"
#include "serialization/serialization.h"
#include "tests/death_test.h"
#include "tests/own_folder.h"

/* With a folder in it. */
static int enter(void **state)
{
    return own_folder_enter(state) || mkdir("a", 0755);
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char *text_of(const char *path)
{
    static char text[20000];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

static struct results *open_in(const char *folder, const struct results_place *resume)
{
    return results_open(&(struct results_options){.folder = folder,
                                                  .head = "# a: b\n",
                                                  .config = "x = y\n",
                                                  .thresholds = "50",
                                                  .quiet = true,
                                                  .resume = resume});
}

static void add_row(struct results *r, int number)
{
    results_evaluation(r, &(struct evaluation){.seconds = number, .top1 = number});
    results_event(r, "update", number, JSON_FIELDS(JSON_INT("version", number)));
}

static bool finish(struct results *r)
{
    static const struct counters counters;
    static const struct slowness none;
    static const char *const host = "h";
    return results_finish(r, &(struct run_summary){.scheme = "s",
                                                   .ranks = 1,
                                                   .workers = 1,
                                                   .counters = &counters,
                                                   .slowness = &none,
                                                   .host = &host});
}

static void all_is_written(void **state)
{
    (void)state;
    struct results *r = open_in("a", NULL);
    add_row(r, 1);
    assert_true(finish(r));
    assert_null(results_unwritten_names(r));
    results_close(r);
    assert_non_null(strstr(text_of("a/summary.json"), "\"unwritten\": null"));
    assert_string_equal(text_of("a/config.ini"), "x = y\n");
}

/* Each of the files alone on a full disk: it is named, the others are whole. */
static void what_is_not_written_is_named(void **state)
{
    (void)state;
    static const char *const names[] = {"eval.csv",  "events.jsonl",   "config.ini",
                                        "ranks.csv", "histograms.csv", "summary.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[100];
        snprintf(path, sizeof path, "a/%s", names[i]);
        unlink(path);
        assert_int_equal(symlink("/dev/full", path), 0);
        struct results *r = open_in("a", NULL);
        add_row(r, 1);
        assert_false(finish(r));
        assert_string_equal(results_unwritten_names(r), names[i]);
        results_close(r);
        if (strcmp(names[i], "summary.json")) {
            char *named = strstr(text_of("a/summary.json"), "\"unwritten\": \"");
            assert_non_null(named);
            assert_memory_equal(named + strlen("\"unwritten\": \""), names[i], strlen(names[i]));
        }
        unlink(path);
    }
}

static void a_fifo_that_nobody_reads_is_named(void **state)
{
    (void)state;
    assert_int_equal(mkfifo("a/eval.csv", 0600), 0);
    assert_int_equal(mkfifo("a/ranks.csv", 0600), 0);
    struct results *r = open_in("a", NULL);
    add_row(r, 1);
    assert_false(finish(r));
    assert_string_equal(results_unwritten_names(r), "eval.csv, ranks.csv");
    results_close(r);
}

/* A limit in the middle of a row: the file ends with a whole one. */
static void fills_up(const void *unused)
{
    (void)unused;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(!setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000}), "no limit");
    struct results *r = open_in("a", NULL);
    for (int i = 0; i < 100; i++)
        add_row(r, i);
    CHECK(!strcmp(results_unwritten_names(r), "eval.csv, events.jsonl"), "not written: %s",
          results_unwritten_names(r));
    results_close(r);
}

static void a_full_file_ends_with_a_whole_row(void **state)
{
    (void)state;
    static const char *const names[] = {"a/eval.csv", "a/events.jsonl"};
    assert_dies(0, fills_up, NULL, (const char *const[]){"File too large", NULL});
    for (int i = 0; i < 2; i++) {
        const char *text = text_of(names[i]);
        size_t length = strlen(text);
        assert_true(length > 900 && length <= 1000);
        assert_true(text[length - 1] == '\n');
    }
}

static void links_lead_nowhere_else(void **state)
{
    (void)state;
    static const char *const names[] = {"eval.csv", "ranks.csv", "config.ini"};
    put("precious", "learned");
    for (int i = 0; i < 3; i++) {
        char path[100];
        snprintf(path, sizeof path, "a/%s", names[i]);
        assert_int_equal(symlink("../precious", path), 0);
    }
    struct results *r = open_in("a", NULL);
    add_row(r, 1);
    assert_true(finish(r));
    results_close(r);
    assert_string_equal(text_of("precious"), "learned");
    assert_true(strlen(text_of("a/eval.csv")) > 10);
}

/* Five rows, of which two were there when the checkpoint was made: in the same folder the rest is
 * cut off, in another the two are copied. */
static void rows_go_on(void **state)
{
    (void)state;
    struct results_place place;
    struct results *r = open_in("a", NULL);
    for (int i = 1; i <= 5; i++) {
        add_row(r, i);
        if (i == 2)
            results_place(r, &place);
    }
    int count;
    const struct evaluation *list = results_evaluations(r, &count);
    assert_int_equal(count, 5);
    assert_true(list[4].top1 == 5);
    char *whole = strdup(text_of("a/events.jsonl"));
    results_close(r);
    place.folder = "a";
    assert_int_equal(mkdir("b", 0755), 0);
    for (int other = 1; other >= 0; other--) { /* first elsewhere: "a" still has all then */
        const char *folder = other ? "b" : "a";
        char path[40];
        r = open_in(folder, &place);
        results_restore(r, (const struct evaluation[]){{.top1 = 1}, {.top1 = 2}}, 2);
        assert_true(results_best(r) == 2);
        for (int i = 3; i <= 5; i++)
            add_row(r, i);
        results_close(r);
        snprintf(path, sizeof path, "%s/events.jsonl", folder);
        assert_string_equal(text_of(path), whole);
    }
    free(whole);
}

/* --- notes --- */

static const struct tensor weight = {.name = "w", .count = 2, .dims = 1, .shape = {2}};
static const struct tensor_table table = {.model = "m", .parameter = &weight, .parameters = 1};

static void a_note_comes_back(void **state)
{
    (void)state;
    static const float w[2] = {1, 2};
    struct weights_note note;
    assert_int_equal(weights_note_read("w", &note), WEIGHTS_NONE);
    put("w", "");
    assert_int_equal(weights_note_read("w", &note), WEIGHTS_NONE);
    struct weights_target to = {.path = "w",
                                .note = {.samples = 9007199254740993, .updates = 7, .top1 = 56.5}};
    assert_true(weights_save(&to, &table, w, NULL));
    assert_int_equal(weights_note_read("w", &note), WEIGHTS_NOTED);
    assert_true(note.samples == 9007199254740993 && note.updates == 7 && note.top1 == 56.5);
    float read[2] = {0};
    weights_load("w", &table, read, NULL, NULL);
    assert_memory_equal(read, w, sizeof w);
    to.fresh = true;
    assert_false(weights_save(&to, &table, w, NULL));
    assert_int_equal(errno, EEXIST);
}

/* Nothing that is cut off, or changed, is taken for another note. */
static void a_damaged_note_is_none(void **state)
{
    (void)state;
    static const float w[2] = {1, 2};
    struct weights_note note;
    struct weights_target to = {.path = "w", .note = {.samples = 5, .top1 = 1}};
    assert_true(weights_save(&to, &table, w, NULL));
    char bytes[1000];
    FILE *f = fopen("w", "rb");
    size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    size_t end = (size_t)(strchr(bytes + 8, '}') - bytes) + 1; /* of the metadata */
    for (size_t i = 1; i <= size; i++) {
        f = fopen("cut", "wb");
        fwrite(bytes, 1, i, f);
        fclose(f);
        assert_int_equal(weights_note_read("cut", &note),
                         i < end ? WEIGHTS_FOREIGN : WEIGHTS_NOTED);
    }
    static const char others[][30] = {"no weights at all, but text", "\x05\0\0\0\0\0\0\0[1,2]",
                                      "\x02\0\0\0\0\0\0\0{}"};
    for (int i = 0; i < 3; i++) {
        f = fopen("cut", "wb");
        fwrite(others[i], 1, 13, f);
        fclose(f);
        assert_int_equal(weights_note_read("cut", &note), WEIGHTS_FOREIGN);
    }
    assert_int_equal(weights_note_read("a", &note), WEIGHTS_FOREIGN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, own_folder_leave)
    const struct CMUnitTest tests[] = {
        TEST(all_is_written),
        TEST(what_is_not_written_is_named),
        TEST(a_fifo_that_nobody_reads_is_named),
        TEST(links_lead_nowhere_else),
        TEST(a_full_file_ends_with_a_whole_row),
        TEST(rows_go_on),
        TEST(a_note_comes_back),
        TEST(a_damaged_note_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
