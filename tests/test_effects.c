/* Options without effect, and numbers that are none: refused with a word on where they belong. */
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
#include "command/effects.h"
#include "tests/death_test.h"

enum { MOST_ARGS = 16 };

static void parse(struct options *o, char *words, const char *line)
{
    char *argv[MOST_ARGS] = {"test"}, *save = NULL;
    int argc = 1;
    struct option_sets sets = option_sets();
    const struct option_texts texts = {.summary = "", .epilog = "", .choices = option_choices};
    strcpy(words, line);
    for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    options_parse(o, sets.list, argc, argv, &texts);
    option_sets_use(o);
}

static void refuses(const void *line)
{
    char words[400];
    struct options o;
    parse(&o, words, line);
    options_refuse_unused(&o);
    check_effects(&o, scheme_find(o.scheme));
}

/* ---- options of members */

/* A run that uses few sets: no other member's option may pass with it. */
static const char plain[] = "--world sim --scheme ssgd --network quadratic --optimizer sgd "
                            "--dataset synthetic --backend ref --schedule constant";

static bool is_used(const struct options *o, const char *name)
{
    char *text = NULL, line[80];
    size_t size;
    FILE *f = open_memstream(&text, &size);
    options_write(o, f, "\n", "=", 0);
    fclose(f);
    snprintf(line, sizeof line, "\n%s=", name);
    bool used = strstr(text, line);
    free(text);
    return used;
}

/* Each row of each member's set, with a value that it takes, in a run that has no use for it. */
static void each_members_options_are_refused_without_it(void **state)
{
    (void)state;
    struct option_sets sets = option_sets();
    char words[400], line[600];
    struct options o;
    int refused = 0;
    parse(&o, words, plain);
    for (int i = 0; i < sets.count; i++)
        for (const struct option_row *r = sets.list[i]->rows; sets.list[i]->owner && r->name; r++) {
            if (is_used(&o, r->name))
                continue;
            char said[300];
            snprintf(line, sizeof line, "%s --%s=%s", plain, r->name, r->preset);
            snprintf(said, sizeof said, "--%s belongs to ", r->name);
            assert_dies(EXIT_USER, refuses, line,
                        (const char *const[]){said, sets.list[i]->owner,
                                              "has no effect in this run", NULL});
            refused++;
        }
    options_close(&o);
    assert_true(refused > 40);
}

/* ---- options of all runs */

static void options_without_effect_are_refused(void **state)
{
    (void)state;
    static const char *const lines[][2] = {
        {"--network quadratic --data here",
         "--data has an effect only with a --network for images"},
        {"--network quadratic --dataset synthetic", "--dataset has an effect only with"},
        {"--network quadratic --train-samples 8", "--train-samples has an effect only with"},
        {"--network quadratic --no-augment", "--augment has an effect only with"},
        {"--network quadratic --label-smoothing 0.1", "--label-smoothing has an effect only with"},
        {"--network quadratic --decay-norms", "--decay-norms has an effect only with"},
        {"--network quadratic --backend ref", "--backend has an effect only with"},
        {"--network quadratic --dtype bf16", "--dtype has an effect only with"},
        {"--network quadratic --kernel-cache k", "--kernel-cache has an effect only with"},
        {"--network quadratic --eval-batches 1", "--eval-batches has an effect only with"},
        {"--network quadratic --norm-samples 9", "--norm-samples has an effect only with"},
        {"--norm-samples 9 --eval-batches 1", "--norm-samples has an effect only with"},
        {"--world sim --prefetch 1", "--prefetch has an effect only with"},
        {"--samples 9 --epochs 1", "--epochs has an effect only with no --samples"},
        {"--delay-key clock", "--delay-key has an effect only with --delay"},
        {"--delay constant:1 --delay-block 1", "--delay-block has an effect only with"},
        {"--scheme ssgd --allreduce ring",
         "--allreduce has an effect only with --scheme allreduce, dropcompute, eager"},
        {"--world sim --scheme ssgd --sim-model-sums 9",
         "--sim-model-sums has an effect only with"},
        {"--scheme allreduce --early-push", "--early-push has an effect only with --scheme ssgd"},
        {"--scheme serial --servers 2", "--servers has an effect only with a scheme of several"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_dies(EXIT_USER, refuses, lines[i][0],
                    (const char *const[]){lines[i][1], "leave it out", NULL});
    static const char *const fine[] = {
        "--data here --dataset synthetic --train-samples 8 --no-augment --backend ref --dtype bf16",
        "--eval-batches 1 --prefetch 1 --samples 0 --epochs 1",
        "--world sim --link-delay constant:1 --delay-key clock --delay-block 1",
        "--delay constant:1 --delay-key clock --delay-block 1",
        "--world sim --scheme eager --allreduce ring --sim-model-sums 9",
        "--scheme asgd --no-early-push --servers 2",
    };
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        assert_dies(0, refuses, fine[i], NULL);
}

/* ---- numbers */

static void numbers_are_written_in_one_way(void **state)
{
    (void)state;
    static const char *const reals[] = {"0x1p-3", "infinity", "inf",   "nan",   "1,5",    "0.1s",
                                        "1e39",   "1e-999",   "-1e39", "1e+1e", "nan(1)", "5%"};
    static const char *const wholes[] = {"0x10",
                                         "1e3",
                                         "8.0",
                                         "8k",
                                         "1_000",
                                         "1e15",
                                         "--8",
                                         "9223372036854775807",
                                         "9223372036854775808"};
    char line[100], said[100];
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        snprintf(line, sizeof line, "--weight-decay=%s", reals[i]);
        snprintf(said, sizeof said, "--weight-decay: '%s' is not a number from 0", reals[i]);
        assert_dies(EXIT_USER, refuses, line, (const char *const[]){said, NULL});
    }
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++) {
        snprintf(line, sizeof line, "--eval-every=%s", wholes[i]);
        snprintf(said, sizeof said, "--eval-every: '%s' is not a whole number from 0", wholes[i]);
        assert_dies(EXIT_USER, refuses, line, (const char *const[]){said, NULL});
    }
    assert_dies(0, refuses, "--eval-every 1000000000000000 --weight-decay +1.5e-2 --lr .5", NULL);
    assert_dies(0, refuses, "--scheme quorum --grace inf", NULL);
    assert_dies(EXIT_USER, refuses, "--scheme quorum --grace -inf",
                (const char *const[]){"--grace: '-inf' is not a number", NULL});
}

/* ---- what ranks of one job may have apart */

static bool is_listed(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name))
        names++;
    return *names;
}

/* A rank's own is only what decides nothing: no option of a scheme, a rule, a codec, .., and none
 * that a replay must have as its record. */
static void ranks_must_agree_on_all_that_decides(void **state)
{
    (void)state;
    static const char *const own[] = {"workers", "backend",      "threads", "deadline", "results",
                                      "save",    "kernel-cache", "data",    "prefetch", NULL};
    static const char *const common[] = {
        "world",        "servers",  "server-device", "compress",     "allreduce",
        "early-push",   "seconds",  "slow",          "target",       "eval-every",
        "record",       "replay",   "init",          "ema",          "delay",
        "eval-seconds", "evaluate", "eval-batches",  "norm-samples", NULL};
    struct option_sets sets = option_sets();
    for (int i = 0; i < sets.count; i++)
        for (const struct option_row *r = sets.list[i]->rows; r->name; r++) {
            const char *owner = sets.list[i]->owner ? sets.list[i]->owner : "";
            bool is_own = r->flags & OPTION_OWN, decides = !(r->flags & OPTION_FREE) ||
                                                           strstr(owner, "--scheme") ||
                                                           is_listed(common, r->name);
            if ((is_own && decides) || (!is_own && is_listed(own, r->name)))
                fail_msg("--%s: %s", r->name, decides ? "ranks must agree" : "ranks may differ");
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_members_options_are_refused_without_it),
        cmocka_unit_test(options_without_effect_are_refused),
        cmocka_unit_test(numbers_are_written_in_one_way),
        cmocka_unit_test(ranks_must_agree_on_all_that_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
