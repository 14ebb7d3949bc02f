/* The choices are a short list (some tens of lines), searched from its end: a later line for the
 * same key counts. Before the file is replaced it is read again, so that what other ranks have
 * added meanwhile is not lost. */
#include "backend/choice.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

enum { MAX_CHOICES = 2000, CPU_TEXT = 120 };

struct choice {
    char key[CHOICE_KEY], algorithm[CHOICE_NAME];
};

struct choices {
    char path[4096], setting[CHOICE_KEY];
    int count;
    struct choice list[MAX_CHOICES];
};

/* "AMD EPYC 26/2": the model's name, family and number of the first core, as Linux reports them. */
static void name_cpu(char text[CPU_TEXT])
{
    char line[256], name[80] = "unknown", family[16] = "0", model[16] = "0";
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f) && line[0] != '\n') {
        sscanf(line, "model name : %79[^\n]", name);
        sscanf(line, "cpu family : %15s", family);
        sscanf(line, "model : %15s", model);
    }
    if (f)
        fclose(f);
    snprintf(text, CPU_TEXT, "%s %s/%s", name, family, model);
}

static struct choice *find(const struct choices *c, const char *key)
{
    for (int i = c->count - 1; i >= 0; i--)
        if (!strcmp(c->list[i].key, key))
            return (struct choice *)&c->list[i];
    return NULL;
}

static void add(struct choices *c, const char *key, const char *algorithm)
{
    struct choice *at = find(c, key);
    if (!at && c->count == MAX_CHOICES)
        return;
    if (!at)
        at = &c->list[c->count++];
    snprintf(at->key, sizeof at->key, "%.*s", CHOICE_KEY - 1, key);
    snprintf(at->algorithm, sizeof at->algorithm, "%.*s", CHOICE_NAME - 1, algorithm);
}

/* Takes in the lines of the file whose keys are not known yet. */
static void load(struct choices *c)
{
    char line[CHOICE_KEY + CHOICE_NAME + 8];
    FILE *f = file_open(c->path);
    while (f && fgets(line, sizeof line, f)) {
        char *end = strchr(line, '\n'), *equals = strstr(line, " = ");
        if (!end || !equals || equals - line >= CHOICE_KEY || end - (equals + 3) >= CHOICE_NAME ||
            end == equals + 3)
            continue;
        *end = *equals = 0;
        if (!find(c, line))
            add(c, line, equals + 3);
    }
    if (f)
        fclose(f);
}

static bool write_list(FILE *f, void *self)
{
    const struct choices *c = self;
    for (int i = 0; i < c->count; i++)
        fprintf(f, "%s = %s\n", c->list[i].key, c->list[i].algorithm);
    return !ferror(f);
}

/* A cache that can't be written is no reason to stop: the next start times again. */
static void save(struct choices *c)
{
    load(c);
    file_write_whole(c->path, write_list, c);
}

struct choices *choices_open(const char *path, const char *setting)
{
    struct choices *c = xcalloc(1, sizeof *c);
    char cpu[CPU_TEXT];
    name_cpu(cpu);
    snprintf(c->setting, sizeof c->setting, "%s, %s", cpu, setting);
    if (path && strlen(path) < sizeof c->path) {
        strcpy(c->path, path);
        load(c);
    }
    return c;
}

void choices_close(struct choices *c)
{
    xfree(c);
}

static void whole_key(const struct choices *c, const char *key, char whole[CHOICE_KEY])
{
    snprintf(whole, CHOICE_KEY, "%.127s, %.120s", c->setting, key);
}

const char *choices_find(const struct choices *c, const char *key)
{
    char whole[CHOICE_KEY];
    whole_key(c, key, whole);
    const struct choice *at = find(c, whole);
    return at ? at->algorithm : NULL;
}

void choices_store(struct choices *c, const char *key, const char *algorithm)
{
    char whole[CHOICE_KEY];
    whole_key(c, key, whole);
    add(c, whole, algorithm);
    if (c->path[0])
        save(c);
}
