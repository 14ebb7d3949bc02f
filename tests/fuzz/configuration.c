#include "tests/fuzz/configuration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/checks.h"
#include "command/command.h"
#include "messaging/messaging.h"
#include "tests/fuzz/fuzz.h"

static void parse(struct options *o, int argc, char **argv)
{
    const struct option_sets sets = option_sets();
    const struct option_texts texts = {.summary = "", .epilog = "", .choices = option_choices};
    options_parse(o, sets.list, argc, argv, &texts);
    scheme_find(o->scheme);
    world_find(o->world);
    option_sets_use(o);
}

static char *written(const struct options *o)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    options_write(o, to, "", " = ", 0);
    fclose(to);
    return text;
}

/* Written, read, written: the same text. */
static void check_file(const struct options *o)
{
    char *text = written(o), path[300];
    snprintf(path, sizeof path, "--config=%s", fuzz_file((const uint8_t *)text, strlen(text)));
    struct options again;
    parse(&again, 2, (char *[]){"nbsgd", path, NULL});
    char *same = written(&again);
    if (strcmp(text, same) != 0)
        fuzz_defect("written as\n%s\nand read as\n%s", text, same);
    options_close(&again);
    free(text);
    free(same);
}

void configuration_check(void *configuration)
{
    struct configuration *c = configuration;
    struct options o;
    parse(&o, c->argc, c->argv);
    check_values(&o);
    check_run(&o, scheme_find(o.scheme), 1);
    check_file(&o);
    options_close(&o);
}
