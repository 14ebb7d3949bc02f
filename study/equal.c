/* Two names for one thing would be counted twice; and what is compared is judged alike: equally
 * often and on the same images. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "study/private.h"

/* Options by which runs are judged. */
static const char *const judging[] = {"evaluate",     "eval-every",   "eval-seconds",
                                      "eval-samples", "eval-batches", "norm-samples",
                                      "val-split",    "val-fold",     NULL};

struct compared {
    const struct plan *plan;
    const struct experiment *experiment;
    int cases, settings;
    int each; /* configured runs of a setting in a case: one, or one a trial */
};

static const struct configured *at(const struct compared *c, int scene, int setting, int k)
{
    return c->plan->configured[(scene * c->settings + setting) * c->each + k];
}

static bool are_equal(const struct compared *c, const int scene[2], const int setting[2])
{
    for (int k = 0; k < c->each; k++)
        if (strcmp(at(c, scene[0], setting[0], k)->computed,
                   at(c, scene[1], setting[1], k)->computed) != 0)
            return false;
    return true;
}

static void refuse_equal_settings(const struct compared *c, int a, int b)
{
    const struct section *first = experiment_section(c->experiment, SECTION_SETTING, a),
                         *second = experiment_section(c->experiment, SECTION_SETTING, b);
    for (int k = 0; k < c->cases; k++)
        if (!are_equal(c, (int[2]){k, k}, (int[2]){a, b}))
            return;
    fatal("%s:%d: [setting %s] is the same as [setting %s] of line %d in every case: leave one",
          second->path, second->line, second->name, first->name, first->line);
}

static void refuse_equal_cases(const struct compared *c, int a, int b)
{
    const struct section *first = experiment_section(c->experiment, SECTION_CASE, a),
                         *second = experiment_section(c->experiment, SECTION_CASE, b);
    for (int i = 0; i < c->settings; i++)
        if (!are_equal(c, (int[2]){a, b}, (int[2]){i, i}))
            return;
    fatal("%s:%d: [case %s] is the same as [case %s] of line %d for every setting: leave one",
          second->path, second->line, second->name, first->name, first->line);
}

/* The value of an option among lines of name = value; "" without it. */
static void value_of(const char *lines, const char *name, char value[100])
{
    size_t length = strlen(name);
    *value = 0;
    for (const char *line = lines; *line; line = strchrnul(line, '\n') + 1) {
        if (!strncmp(line, name, length) && !strncmp(line + length, " = ", 3)) {
            const char *from = line + length + 3;
            snprintf(value, 100, "%.*s", (int)strcspn(from, "\n"), from);
            return;
        }
        if (!*strchrnul(line, '\n'))
            return;
    }
}

static _Noreturn void refuse_judged(const struct compared *c, int scene, int setting,
                                    const char *name, const char *first, const char *other)
{
    const struct experiment *e = c->experiment;
    const struct section *in = experiment_section(e, SECTION_CASE, scene),
                         *of = experiment_section(e, SECTION_SETTING, setting),
                         *reference = experiment_section(e, SECTION_SETTING, 0);
    const struct section *places[] = {
        experiment_find(e, SECTION_EXCEPTION, of->name, in->name),
        of,
        experiment_find(e, SECTION_TUNE, of->name, ""),
        experiment_find(e, SECTION_EXCEPTION, reference->name, in->name),
        reference,
        experiment_find(e, SECTION_TUNE, reference->name, "")};
    const struct assignment *said = NULL;
    char what[600];
    for (size_t i = 0; i < sizeof places / sizeof *places && !said; i++)
        said = section_get(places[i], name);
    snprintf(what, sizeof what,
             "[setting %s] has %s, [setting %s] has %s, in [case %s]: what is compared is judged "
             "equally often and on the same images; say it in [base]",
             reference->name, first, of->name, other, in->name);
    if (said)
        refuse(said, what);
    fatal("%s:%d: %s: %s", of->path, of->line, name, what);
}

static void check_judged(const struct compared *c, int scene, int setting)
{
    char first[100], other[100];
    for (int k = 0; k < c->each; k++)
        for (int i = 0; judging[i]; i++) {
            value_of(at(c, scene, 0, k)->computed, judging[i], first);
            value_of(at(c, scene, setting, k)->computed, judging[i], other);
            if (strcmp(first, other) != 0)
                refuse_judged(c, scene, setting, judging[i], first, other);
        }
}

void plan_check_comparison(const struct plan *p, const struct experiment *e)
{
    struct compared c = {.plan = p,
                         .experiment = e,
                         .cases = experiment_count(e, SECTION_CASE),
                         .settings = experiment_count(e, SECTION_SETTING)};
    c.each = p->configured_count / (c.cases * c.settings);
    for (int k = 0; k < c.cases; k++)
        for (int i = 1; i < c.settings; i++)
            check_judged(&c, k, i);
    for (int b = 1; b < c.settings; b++)
        for (int a = 0; a < b; a++)
            refuse_equal_settings(&c, a, b);
    for (int b = 1; b < c.cases; b++)
        for (int a = 0; a < b; a++)
            refuse_equal_cases(&c, a, b);
}
