/* Experiments: what is read of them, what is refused and where that is said to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "study/study.h"
#include "tests/death_test.h"
#include "tests/own_folder.h"

static const char whole[] = "[study]\n"
                            "title = \"one ; of two\"\n"
                            "seeds = 3 10-12\n"
                            "targets = 60, 70.5\n"
                            "[base]\n"
                            "world = sim\n"
                            "sim_minibatch = 0.02 ; underscores are dashes\n"
                            "[case healthy]\n"
                            "[case slow-one]\n"
                            "slow = 4=4\n"
                            "[setting ssgd]\n"
                            "scheme = ssgd\n"
                            "[setting ssgd in slow-one]\n"
                            "lr = 0.2\n";

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_true(f && fputs(text, f) >= 0 && !fclose(f));
}

static struct experiment *load(const char *path)
{
    return experiment_load(&(struct experiment_request){.path = path, .results = "results"});
}

static void check_whole(const struct experiment *e)
{
    const struct section *base = experiment_find(e, SECTION_BASE, "", ""),
                         *exception = experiment_find(e, SECTION_EXCEPTION, "ssgd", "slow-one");
    assert_string_equal(e->title, "one ; of two");
    assert_int_equal(e->seed_count, 4);
    assert_int_equal(e->seeds[0], 3);
    assert_int_equal(e->seeds[3], 12);
    assert_int_equal(e->target_count, 2);
    assert_true(e->targets[1] == 70.5);
    assert_int_equal(experiment_count(e, SECTION_CASE), 2);
    assert_string_equal(experiment_section(e, SECTION_CASE, 1)->name, "slow-one");
    assert_string_equal(section_get(base, "sim-minibatch")->value, "0.02");
    assert_string_equal(section_get(exception, "lr")->value, "0.2");
    assert_null(section_get(experiment_find(e, SECTION_SETTING, "ssgd", ""), "lr"));
}

static void test_read_and_written(void **state)
{
    (void)state;
    put("a.ini", whole);
    struct experiment *e = load("a.ini");
    check_whole(e);
    FILE *f = fopen("b.ini", "w");
    experiment_write(e, f);
    fclose(f);
    experiment_free(e);
    e = load("b.ini");
    check_whole(e);
    experiment_free(e);
}

/* As long as anybody writes: comments are none of the value, values are whole. */
static void test_long_lines(void **state)
{
    (void)state;
    enum { LONG = 10000 };
    char *text = NULL, comment[LONG + 1], value[LONG + 1];
    size_t size;
    for (int i = 0; i < LONG; i++)
        comment[i] = i % 7 ? 'c' : i % 2 ? ';' : ' ';
    for (int i = 0; i < LONG; i++)
        value[i] = i % 11 == 5 ? ';' : i % 13 == 5 ? '#' : 'v';
    comment[LONG] = value[LONG] = 0;
    FILE *f = open_memstream(&text, &size);
    fprintf(f, "; %s\n# %s\n[study] ; %s\nseeds = 1 ; %s\ntargets = 60\t# %s\n[setting a]\n",
            comment, comment, comment, comment, comment);
    fprintf(f, "scheme = ssgd ; %s\nlr = %s ; %s\nclip = \"a ; %s\" ; %s\n", comment, value,
            comment, value, "short");
    fclose(f);
    put("long.ini", text);
    struct experiment *e = load("long.ini");
    const struct section *a = experiment_find(e, SECTION_SETTING, "a", "");
    assert_int_equal(e->seed_count, 1);
    assert_int_equal(e->target_count, 1);
    assert_int_equal(a->count, 3);
    assert_string_equal(section_get(a, "scheme")->value, "ssgd");
    assert_string_equal(section_get(a, "lr")->value, value);
    assert_string_equal(section_get(a, "clip")->value + 4, value);
    experiment_free(e);
    free(text);
}

/* A title that is too long ends with a whole character. */
static void test_long_title(void **state)
{
    (void)state;
    char text[2000] = "[study]\nseeds = 1\ntitle = x";
    for (int i = 0; i < 150; i++)
        strcat(text, "\xc3\xa4");
    strcat(text, "\n[setting a]\nscheme = ssgd\n");
    put("title.ini", text);
    struct experiment *e = load("title.ini");
    assert_int_equal(strlen(e->title), 199);
    assert_int_equal((unsigned char)e->title[198], 0xa4);
    experiment_free(e);
    strcpy(strstr(text, "= x") + 2, "\xc3\xa4");
    for (int i = 0; i < 150; i++)
        strcat(text, "\xc3\xa4");
    strcat(text, "\n[setting a]\nscheme = ssgd\n");
    put("title.ini", text);
    e = load("title.ini");
    assert_int_equal(strlen(e->title), 198);
    experiment_free(e);
}

/* What is included may bring seeds, targets, options and exceptions; the folder of results has it
 * before the file's own does. */
static void test_included(void **state)
{
    (void)state;
    put("a.ini", "[study]\ninclude = more.ini tuned.ini\nseeds = 1\n[setting s]\nscheme = ssgd\n");
    put("more.ini", "[study]\ntargets = 50\n[base]\nworld = sim\n");
    put("tuned.ini", "[setting s in default]\nlr = 0.5\n");
    struct experiment *e = load("a.ini");
    assert_int_equal(e->target_count, 1);
    assert_string_equal(experiment_section(e, SECTION_CASE, 0)->name, "default");
    assert_non_null(experiment_find(e, SECTION_EXCEPTION, "s", "default"));
    assert_int_equal(section_get(experiment_find(e, SECTION_BASE, "", ""), "world")->line, 4);
    experiment_free(e);
}

/* What was tuned wins over the experiment's own exception; what it does not say stays. */
static void test_included_exception(void **state)
{
    (void)state;
    put("a.ini", "[study]\ninclude = tuned.ini\nseeds = 1\n[setting s]\nscheme = ssgd\n"
                 "[setting s in default]\nlr = 0.1\nmomentum = 0\n");
    put("tuned.ini", "[setting s in default]\nlr = 0.5\n");
    struct experiment *e = load("a.ini");
    const struct section *s = experiment_find(e, SECTION_EXCEPTION, "s", "default");
    assert_string_equal(section_get(s, "lr")->value, "0.5");
    assert_string_equal(section_get(s, "momentum")->value, "0");
    assert_int_equal(experiment_count(e, SECTION_EXCEPTION), 1);
    experiment_free(e);
}

struct bad {
    const char *text, *words[4];
};

static void load_bad(const void *argument)
{
    const struct bad *b = argument;
    put("bad.ini", b->text);
    experiment_free(load("bad.ini"));
}

#define STUDY "[study]\nseeds = 1\n"
#define SETTING "[setting a]\nscheme = ssgd\n"

static void test_refused(void **state)
{
    (void)state;
    const struct bad list[] = {
        {"", {"bad.ini: [study] seeds are missing"}},
        {STUDY, {"bad.ini: there is nothing to run: no [setting NAME]"}},
        {"lr = 1\n", {"bad.ini:1: lr: it stands before the first [section]"}},
        {STUDY "[sttings a]\n", {"bad.ini:3: [sttings a]: no section", "did you mean 'setting'"}},
        {STUDY SETTING SETTING, {"bad.ini:5: [setting a]: there is one already, bad.ini:3"}},
        {STUDY SETTING "[setting a in d]\n[setting a in d]\n", {"bad.ini:6: [setting a in d]"}},
        {STUDY "[setting a b]\n", {"bad.ini:3: [setting a b]: give it one name"}},
        {STUDY "[setting ../a]\n", {"bad.ini:3: [setting ../a]: a name has"}},
        {STUDY "[case]\n", {"bad.ini:3: [case]: give it one name"}},
        {STUDY "[base x]\n", {"bad.ini:3: [base x]: it takes no name"}},
        {STUDY SETTING "lr = 1\nlr = 2\n", {"bad.ini:6: lr: it is already set in bad.ini:5"}},
        {STUDY SETTING "[setting b in default]\n", {"bad.ini:5: there is no [setting b]"}},
        {STUDY SETTING "[setting a in slow]\n", {"bad.ini:5: there is no [case slow]"}},
        {STUDY "lr = 1\n" SETTING, {"bad.ini:3: lr: [study] has title, seeds"}},
        {STUDY SETTING "lr\n", {"bad.ini:5: neither 'name = value'"}},
        {"[study]\nseeds =\n" SETTING, {"bad.ini:2: seeds: there is none"}},
        {"[study]\nseeds = 1 2 1-3\n" SETTING, {"bad.ini:2: seeds: 1 comes twice"}},
        {"[study]\nseeds = 5-2\n" SETTING, {"bad.ini:2: seeds: '5-2' is neither"}},
        {"[study]\nseeds = 1-99999999\n" SETTING, {"bad.ini:2: seeds: more than 10000"}},
        {"[study]\nseeds = -1\n" SETTING, {"bad.ini:2: seeds: '-1' is neither"}},
        {STUDY "targets = 60 50\n" SETTING, {"bad.ini:3: targets: '50' does not rise"}},
        {STUDY "targets = 101\n" SETTING, {"bad.ini:3: targets: '101' is no accuracy"}},
        {STUDY "targets = nan\n" SETTING, {"bad.ini:3: targets: 'nan' is no accuracy"}},
        {STUDY "include = none.ini\n" SETTING, {"bad.ini:3: include: cannot read none.ini"}},
        {STUDY "include = bad.ini\n" SETTING, {"bad.ini:2: seeds: it is already set in bad.ini:2"}},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        assert_dies(EXIT_USER, load_bad, &list[i], list[i].words);
}

int main(void)
{
#define OWN(test) cmocka_unit_test_setup_teardown(test, own_folder_enter, own_folder_leave)
    const struct CMUnitTest tests[] = {OWN(test_read_and_written),   OWN(test_long_lines),
                                       OWN(test_long_title),         OWN(test_included),
                                       OWN(test_included_exception), OWN(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
