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
};

/* The k-th configured run of that setting in that case; NULL: there is none. */
static const struct configured *at(const struct compared *c, int scene, int setting, int k)
{
    const struct section *in = experiment_section(c->experiment, SECTION_CASE, scene),
                         *of = experiment_section(c->experiment, SECTION_SETTING, setting);
    for (int i = 0; i < c->plan->configured_count; i++) {
        const struct configured *run = c->plan->configured[i];
        if (run->scene == in && run->setting == of && !k--)
            return run;
    }
    return NULL;
}

/* Neither is run, or all runs of one are the other's. *any: there are some. */
static bool are_equal(const struct compared *c, const int scene[2], const int setting[2], bool *any)
{
    for (int k = 0;; k++) {
        const struct configured *a = at(c, scene[0], setting[0], k),
                                *b = at(c, scene[1], setting[1], k);
        if (!a || !b)
            return !a && !b;
        *any = true;
        if (strcmp(a->computed, b->computed) != 0)
            return false;
    }
}

static void refuse_equal_settings(const struct compared *c, int a, int b)
{
    const struct section *first = experiment_section(c->experiment, SECTION_SETTING, a),
                         *second = experiment_section(c->experiment, SECTION_SETTING, b);
    bool any = false;
    for (int k = 0; k < c->cases; k++)
        if (!are_equal(c, (int[2]){k, k}, (int[2]){a, b}, &any))
            return;
    if (!any)
        return;
    fatal("%s:%d: [setting %s] is the same as [setting %s] of line %d in every case: leave one",
          second->path, second->line, second->name, first->name, first->line);
}

static void refuse_equal_cases(const struct compared *c, int a, int b)
{
    const struct section *first = experiment_section(c->experiment, SECTION_CASE, a),
                         *second = experiment_section(c->experiment, SECTION_CASE, b);
    bool any = false;
    for (int i = 0; i < c->settings; i++)
        if (!are_equal(c, (int[2]){a, b}, (int[2]){i, i}, &any))
            return;
    if (!any)
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

/* Names the line where one of the two says it, the later setting first. */
static _Noreturn void refuse_judged(const struct compared *c, const struct configured *first,
                                    const struct configured *other, const char *name)
{
    const struct experiment *e = c->experiment;
    const struct configured *const pair[] = {other, first};
    const struct assignment *said = NULL;
    char what[600], values[2][100];
    for (int i = 0; i < 2; i++) {
        const struct section *of = pair[i]->setting, *in = pair[i]->scene;
        const struct section *const places[] = {
            experiment_find(e, SECTION_EXCEPTION, of->name, in->name), of,
            experiment_find(e, SECTION_TUNE, of->name, "")};
        for (int k = 0; k < 3 && !said; k++)
            said = section_get(places[k], name);
        value_of(pair[i]->computed, name, values[i]);
    }
    snprintf(what, sizeof what,
             "[setting %s] has %s, [setting %s] has %s, in [case %s]: what is compared is judged "
             "equally often and on the same images; say it in [base]",
             first->setting->name, values[1], other->setting->name, values[0], other->scene->name);
    if (said)
        refuse(said, what);
    fatal("%s:%d: %s: %s", other->setting->path, other->setting->line, name, what);
}

/* Of a case each setting's runs are judged as the first one's are. */
static void check_judged(const struct compared *c, int scene)
{
    char here[100], there[100];
    int first = 0;
    while (first < c->settings && !at(c, scene, first, 0))
        first++;
    for (int setting = first + 1; setting < c->settings; setting++) {
        const struct configured *a, *b;
        for (int k = 0; (a = at(c, scene, first, k)) && (b = at(c, scene, setting, k)); k++)
            for (int i = 0; judging[i]; i++) {
                value_of(a->computed, judging[i], here);
                value_of(b->computed, judging[i], there);
                if (strcmp(here, there) != 0)
                    refuse_judged(c, a, b, judging[i]);
            }
    }
}

void plan_check_comparison(const struct plan *p, const struct experiment *e)
{
    const struct compared c = {.plan = p,
                               .experiment = e,
                               .cases = experiment_count(e, SECTION_CASE),
                               .settings = experiment_count(e, SECTION_SETTING)};
    for (int k = 0; k < c.cases; k++)
        check_judged(&c, k);
    for (int b = 1; b < c.settings; b++)
        for (int a = 0; a < b; a++)
            refuse_equal_settings(&c, a, b);
    for (int b = 1; b < c.cases; b++)
        for (int a = 0; a < b; a++)
            refuse_equal_cases(&c, a, b);
}
