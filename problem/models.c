/* The family of models, a line each, and which of them the options mean. */
#include "problem/problem.h"

#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "resnet/resnet.h"

#define MODELS(X)                                                                                  \
    X(resnet)                                                                                      \
    X(vgg)                                                                                         \
    X(lenet5)                                                                                      \
    X(optml)                                                                                       \
    X(dinno)                                                                                       \
    X(mlp)

#define DECLARE(name) extern const struct model_kind model_##name;
MODELS(DECLARE)
#define ENTRY(name) &model_##name,
const struct model_kind *const models[] = {MODELS(ENTRY) NULL};

/* Is `name` one of "a|b|c"? */
static bool is_among(const char *name, const char *names)
{
    size_t length = strlen(name);
    for (const char *at = names; length && (at = strstr(at, name)); at += length)
        if ((at == names || at[-1] == '|') && (at[length] == 0 || at[length] == '|'))
            return true;
    return false;
}

const struct model_kind *model_find(const char *name)
{
    char names[300];
    for (int i = 0; models[i]; i++)
        if (is_among(name, models[i]->names))
            return models[i];
    model_names(names, sizeof names);
    fatal("--network: unknown network '%s'; known are %s|%s", name, names, problem_toy);
}

void model_names(char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; models[i] && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? "|" : "", models[i]->names);
}

void model_list(FILE *to)
{
    for (int i = 0; models[i]; i++) {
        char line[600];
        const char *dash = strchr(models[i]->names, '|');
        int length = dash ? (int)(dash - models[i]->names) : (int)strlen(models[i]->names);
        char first[40];
        snprintf(first, sizeof first, "%.*s", length, models[i]->names);
        snprintf(line, sizeof line, "%s%s%s", models[i]->summary, dash ? "; also " : "",
                 dash ? dash + 1 : "");
        for (char *at = strchr(line, '|'); at; at = strchr(at, '|'))
            *at = ' ';
        text_member(to, first, line, models[i]->paper);
    }
    text_member(to, problem_toy, "a toy of 1,000 floats, without images", NULL);
}

void model_build(struct model *m, const struct model_request *request, const struct options *o)
{
    const struct model_kind *kind = model_find(request->name);
    struct model_request r = *request;
    r.own = kind->options ? options_of(o, kind->options) : NULL;
    kind->build(m, &r);
}

const struct option_set *model_options(const char *name)
{
    for (int i = 0; models[i]; i++)
        if (is_among(name, models[i]->names))
            return models[i]->options;
    return NULL;
}

void model_variant(const struct options *o, char text[MODEL_VARIANT])
{
    const struct model_kind *kind = strcmp(o->network, problem_toy) ? model_find(o->network) : NULL;
    snprintf(text, MODEL_VARIANT, "cifar");
    if (kind && kind->variant)
        kind->variant(options_of(o, kind->options), text, MODEL_VARIANT);
    char *end = text; /* one word, of "20, 10", too */
    for (const char *at = text; *at; at++)
        if (*at != ' ')
            *end++ = *at;
    *end = 0;
}
