/* The list of the update rules, and what their tables say. */
#include <string.h>

#include "base/check.h"
#include "optimizer/kinds.h"

static const struct rule *const rules[] = {
#define ROW(name) &rule_##name,
    RULES(ROW)
#undef ROW
};

const char *optimizer_rules(void)
{
#define NAME(name) "|" #name
    return &RULES(NAME)[1];
#undef NAME
}

const struct rule *rule_find(const char *name)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!strcmp(rules[i]->name, name))
            return rules[i];
    fatal("--optimizer: unknown rule '%s'; known are %s", name, optimizer_rules());
}

int optimizer_option_sets(const struct option_set **list, int room)
{
    int count = 0;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i]->options && count < room)
            list[count++] = rules[i]->options;
    return count;
}

const struct option_set *optimizer_option_set(const char *rule)
{
    return rule_find(rule)->options;
}

bool optimizer_is_layerwise(const char *rule)
{
    return rule_find(rule)->measure;
}

bool optimizer_fits_device(const char *rule)
{
    return !optimizer_is_layerwise(rule) && rule_find(rule)->states < 3;
}

bool optimizer_rescales(const char *rule)
{
    return rule_find(rule)->rescales;
}

struct optimizer_options optimizer_options_of(const struct options *o, const char *name)
{
    const struct rule *rule = rule_find(name);
    struct optimizer_options q = {.rule = NULL};
    if (rule->options)
        q = *(const struct optimizer_options *)options_of(o, rule->options);
    q.rule = rule->name;
    q.decay = o->weight_decay;
    q.clip = o->clip;
    q.threads = 1;
    return q;
}
