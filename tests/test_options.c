/* Options: from the command line and from files, under today's names and former ones; what is
 * refused, and what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "command/command.h"
#include "scheme/scheme.h"
#include "tests/death_test.h"

enum { MOST_ARGS = 16 };
static const struct option_texts texts = {.summary = "", .epilog = "", .choices = option_choices};

/* "--name value ..." split at blanks; *words keeps what it points at. */
static void parse(struct options *o, char *words, const char *line)
{
    char *argv[MOST_ARGS] = {"test"}, *save = NULL;
    int argc = 1;
    struct option_sets sets = option_sets();
    strcpy(words, line);
    for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    options_parse(o, sets.list, argc, argv, &texts);
}

static char *configuration(const struct options *o, unsigned without)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    options_write(o, f, "", " = ", without);
    fclose(f);
    return text;
}

/* A file that is gone when it is closed, whatever becomes of the test. */
static FILE *file_of(const char *text, char path[40])
{
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fflush(file) == 0);
    rewind(file);
    snprintf(path, 40, "/dev/fd/%d", fileno(file));
    return file;
}

static void parse_file(struct options *o, char *words, const char *text, const char *line)
{
    char all[400], path[40];
    FILE *file = file_of(text, path);
    snprintf(all, sizeof all, "%s --config %s", line, path);
    parse(o, words, all);
    fclose(file);
}

struct renamed {
    const char *old, *name, *value;
};

/* The table of the glossary, and a value that is not the preset. */
static const struct renamed renamed[] = {
    {"rate", "lr", "0.25"},
    {"stale-rate", "stale-lr", "inverse"},
    {"decay", "weight-decay", "0.001"},
    {"steps", "milestones", "0.3,0.6"},
    {"ahead", "prefetch", "5"},
    {"wire", "compress", "bf16"},
    {"wire-part", "compress-ratio", "0.02"},
    {"slack", "ssp-staleness", "7"},
    {"backups", "backup-workers", "2"},
    {"gather", "rennala-batch", "9"},
    {"compute-s", "anytime-seconds", "0.5"},
    {"eager", "eager-trigger", "majority"},
    {"elastic", "easgd-beta", "0.8"},
    {"compensate", "dc", "adaptive"},
    {"compensation", "dc-lambda", "2"},
    {"compensation-decay", "dc-decay", "0.9"},
    {"resident", "data-on-device", "no"},
    {"leave", "depart", "3=40"},
};
enum { RENAMED = sizeof renamed / sizeof *renamed };

/* All options, as if every member were in use. */
static void use_all(struct options *o)
{
    struct option_sets sets = option_sets();
    for (int i = 0; i < sets.count; i++)
        options_use(o, sets.list[i]);
}

static void assert_holds(const struct options *o, const struct renamed *r)
{
    char line[200], *text = configuration(o, 0);
    snprintf(line, sizeof line, "\n%s = %s\n", r->name, r->value);
    if (!strstr(text, line))
        fail_msg("'%s = %s' was expected in\n%s", r->name, r->value, text);
    free(text);
}

static void former_names_are_taken_on_the_command_line(void **state)
{
    (void)state;
    for (int i = 0; i < RENAMED; i++)
        for (int old = 0; old < 2; old++) {
            char words[200], line[200];
            struct options o;
            snprintf(line, sizeof line, "--%s=%s", old ? renamed[i].old : renamed[i].name,
                     renamed[i].value);
            parse(&o, words, line);
            use_all(&o);
            assert_holds(&o, &renamed[i]);
            assert_true(options_given(&o, renamed[i].name));
            options_close(&o);
        }
    char words[200];
    struct options o;
    parse(&o, words, "--no-resident");
    const struct cudnn_options *cudnn = options_of(&o, &cudnn_option_set);
    assert_false(cudnn->data_on_device);
    options_close(&o);
}

/* A config.ini of version 0.1 holds every option under its former name. */
static void a_former_config_ini_is_read(void **state)
{
    (void)state;
    char words[400];
    struct options o;
    parse(&o, words, "--config tests/reference/config-0.1.ini");
    use_all(&o);
    for (int i = 0; i < RENAMED; i++)
        assert_holds(&o, &renamed[i]);
    assert_string_equal(o.scheme, "asgd");
    options_refuse_unused(&o);
    options_close(&o);
}

static void each_former_name_is_hidden_in_the_list(void **state)
{
    (void)state;
    char words[10] = "", *text = NULL;
    size_t size;
    struct options o;
    parse(&o, words, "");
    FILE *f = open_memstream(&text, &size);
    options_print(&o, f);
    fclose(f);
    for (int i = 0; i < RENAMED; i++) {
        char old[60], name[60];
        snprintf(old, sizeof old, "\n%s\t", renamed[i].old);
        snprintf(name, sizeof name, "\n%s\t", renamed[i].name);
        assert_null(strstr(text, old));
        assert_non_null(strstr(text, name));
    }
    free(text);
    options_close(&o);
}

static void a_file_is_read_as_people_write_them(void **state)
{
    (void)state;
    char words[400];
    struct options o;
    parse_file(&o, words,
               "\xEF\xBB\xBFlr = 0.5 ; the rate\r\n"
               "  ; a comment\n# another\n\n[data]\n"
               "  batch : 64 # samples\n"
               "decay_norms = yes\n"
               "delay = constant:1;uniform:0,2@1 ; two terms\n"
               "results = \"a ; b # c\" # quoted\n"
               "data =\n",
               "");
    assert_true(o.lr == 0.5);
    assert_int_equal(o.batch, 64);
    assert_true(o.decay_norms);
    assert_string_equal(o.delay, "constant:1;uniform:0,2@1");
    assert_string_equal(o.results, "a ; b # c");
    assert_string_equal(o.data, "");
    options_close(&o);
}

static void the_command_line_wins_in_any_order(void **state)
{
    (void)state;
    char words[400];
    struct options o;
    parse_file(&o, words, "lr = 0.5\nbatch = 64\n", "--lr 0.25");
    assert_true(o.lr == 0.25 && o.batch == 64);
    assert_true(options_given(&o, "lr") && !options_given(&o, "batch"));
    options_close(&o);
    char path[40], line[200];
    FILE *file = file_of("lr = 0.5\n", path);
    snprintf(line, sizeof line, "--config %s --lr 0.25", path);
    parse(&o, words, line);
    fclose(file);
    assert_true(o.lr == 0.25);
    options_close(&o);
}

/* Texts with blanks, comment signs and quotes, and longer than any line of libinih's. */
static void what_is_written_is_read_again(void **state)
{
    (void)state;
    static const char *const texts_of_results[] = {
        "plain", "a;b#c", "a ;b", "a #b", " led", "trailed ", "\"quoted\"", "; c", "# c", "a = b"};
    char longest[3000], *argv[] = {"test", "--results", NULL, "--lr", "0.123456789012"};
    for (size_t i = 0; i < sizeof longest - 1; i++)
        longest[i] = i % 9 == 7 ? ' ' : i % 9 == 8 ? ';' : (char)('a' + i % 26);
    longest[sizeof longest - 2] = 'z';
    longest[sizeof longest - 1] = 0;
    struct option_sets sets = option_sets();
    for (size_t i = 0; i <= sizeof texts_of_results / sizeof *texts_of_results; i++) {
        bool last = i == sizeof texts_of_results / sizeof *texts_of_results;
        struct options o, again;
        char words[400];
        argv[2] = last ? longest : (char *)texts_of_results[i];
        options_parse(&o, sets.list, 5, argv, &texts);
        char *written = configuration(&o, 0);
        parse_file(&again, words, written, "");
        assert_string_equal(again.results, argv[2]);
        assert_true(again.lr == o.lr);
        char *rewritten = configuration(&again, 0);
        assert_string_equal(rewritten, written);
        free(written);
        free(rewritten);
        options_close(&o);
        options_close(&again);
    }
}

/* Two schemes have --local-steps: one word sets both, and it is written once. */
static void one_word_sets_all_rows_of_its_name(void **state)
{
    (void)state;
    char words[100];
    struct options o;
    parse(&o, words, "--local-steps 3");
    const int64_t *local = options_of(&o, scheme_find("localsgd")->options),
                  *easgd = options_of(&o, scheme_find("easgd")->options);
    assert_int_equal(*local, 3);
    assert_int_equal(*easgd, 3);
    use_all(&o);
    char *text = configuration(&o, 0);
    int written = 0;
    for (const char *at = text; (at = strstr(at, "local-steps")); at++)
        written++;
    assert_int_equal(written, 1);
    free(text);
    options_close(&o);
}

static void only_what_the_run_uses_is_written(void **state)
{
    (void)state;
    char words[100];
    struct options o;
    parse(&o, words, "--scheme ssp --ssp-staleness 2");
    options_use(&o, scheme_find("ssp")->options);
    char *text = configuration(&o, 0), *bound = configuration(&o, OPTION_FREE);
    assert_non_null(strstr(text, "\nssp-staleness = 2\n"));
    assert_null(strstr(text, "backup-workers"));
    assert_null(strstr(text, "sim-latency"));
    assert_null(strstr(text, "print-options"));
    assert_non_null(strstr(text, "\nworld = mpi\n"));
    assert_null(strstr(bound, "\nworld = mpi\n")); /* a replay's may differ */
    assert_non_null(strstr(bound, "\nlr = 0.1\n"));
    options_refuse_unused(&o);
    free(text);
    free(bound);
    options_close(&o);
}

static void parses_and_refuses(const void *line)
{
    char words[400];
    struct options o;
    parse(&o, words, line);
    options_use(&o, scheme_find(o.scheme)->options);
    options_refuse_unused(&o);
}

static void parses_file(const void *text)
{
    char words[400];
    struct options o;
    parse_file(&o, words, text, "");
}

static void mistakes_name_option_value_and_range(void **state)
{
    (void)state;
    const struct {
        const char *line, *said;
    } lines[] = {
        {"--momentum 1", "--momentum: '1' is not a number from 0 to below 1"},
        {"--servers 65", "--servers: '65' is not a whole number from 1 to 64"},
        {"--samples 9223372036854775807", "from 0 to 1000000000000000"},
        {"--samples 99999999999999999999", "--samples: '99999999999999999999' is not"},
        {"--epochs 1e15", "--epochs: '1e15' is not a number from 0 to 1000000000"},
        {"--decay -1", "--weight-decay: '-1' is not a number from 0 up"},
        {"--wire bf61", "--compress: 'bf61' is not one of f32|bf16"},
        {"--schedule cosin", "did you mean 'cosine'"},
        {"--schem asgd", "unknown option 'schem': did you mean 'scheme'"},
        {"--scheme ssgd --backups 1", "--backup-workers belongs to --scheme backup"},
        {"--scheme ssgd --local-steps 1",
         "--local-steps belongs to --scheme localsgd, --scheme diloco, --scheme asynclocal, "
         "--scheme dnesterov, --scheme easgd or eamsgd"},
        {"--sim-latency 1", "--sim-latency belongs to --world sim"},
        {"-lr 1", "'-lr': options begin with two dashes"},
        {"--lr", "--lr wants a value"},
        {"--no-pin=1", "--no-pin takes no value"},
        {"alone", "'alone' stands alone"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_dies(EXIT_USER, parses_and_refuses, lines[i].line,
                    (const char *const[]){lines[i].said, NULL});
    const struct {
        const char *text, *said;
    } files[] = {
        {"lr = 1\n\nlr = 2\n", ":3: 'lr' is already set in line 1; leave one"},
        {"batch = 8\nrate = 1\nlr = 2\n", ":3: 'lr' is already set in line 2"},
        {"lr = 1\nbatch\n", ":2: neither 'name = value' nor a [section] nor a comment"},
        {"lr = 1\nbacth = 8\n", ":2: unknown option 'bacth': did you mean 'batch'"},
        {"[lr = 1\n", ":1: neither"},
        {"lr = fast\n", ":1: --lr: 'fast' is not a number from 0 up"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        assert_dies(EXIT_USER, parses_file, files[i].text,
                    (const char *const[]){files[i].said, NULL});
}

/* A name of a row is not another's former name, presets are values that the row takes, and what
 * the tables say can be shown. */
static void tables_are_sound(void **state)
{
    (void)state;
    struct option_sets sets = option_sets();
    for (int i = 0; i < sets.count; i++)
        for (const struct option_row *r = sets.list[i]->rows; r->name; r++) {
            assert_non_null(r->preset);
            assert_non_null(r->help);
            assert_true(r->type == OPTION_FLAG || r->type == OPTION_CHOICE || r->placeholder);
            for (int k = 0; k < sets.count; k++)
                for (const struct option_row *q = sets.list[k]->rows; q->name; q++) {
                    if (q->old && strcmp(q->name, r->name))
                        assert_string_not_equal(q->old, r->name);
                    if (!strcmp(q->name, r->name))
                        assert_int_equal(q->type, r->type);
                }
        }
    for (int i = 0; schemes[i]; i++)
        assert_true(schemes[i]->rule && schemes[i]->paper && schemes[i]->messages &&
                    schemes[i]->floats && schemes[i]->staleness && schemes[i]->work &&
                    (schemes[i]->serve || schemes[i]->flags & ALONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(former_names_are_taken_on_the_command_line),
        cmocka_unit_test(a_former_config_ini_is_read),
        cmocka_unit_test(each_former_name_is_hidden_in_the_list),
        cmocka_unit_test(a_file_is_read_as_people_write_them),
        cmocka_unit_test(the_command_line_wins_in_any_order),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(one_word_sets_all_rows_of_its_name),
        cmocka_unit_test(only_what_the_run_uses_is_written),
        cmocka_unit_test(mistakes_name_option_value_and_range),
        cmocka_unit_test(tables_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
