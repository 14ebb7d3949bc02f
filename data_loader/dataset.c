/* The list of data sets, made from the one in data_loader/kinds.h, and what is common to them. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/text.h"
#include "data_loader/augment.h"
#include "data_loader/data_loader.h"
#include "data_loader/kinds.h"
#include "data_loader/shards.h"

static const struct dataset_kind *const kinds[] = {
#define ENTRY(name) &dataset_##name,
    DATASETS(ENTRY)
#undef ENTRY
};

enum { KINDS = sizeof kinds / sizeof *kinds };

const char *dataset_names(void)
{
#define NAME(name) "|" #name
    return &DATASETS(NAME)[1];
#undef NAME
}

static const struct dataset_kind *kind_of(const char *name)
{
    char known[512] = "";
    size_t used = 0;
    for (int i = 0; i < KINDS; i++) {
        if (!strcmp(name, kinds[i]->name))
            return kinds[i];
        if (used < sizeof known)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s (%s)", i ? ", " : "",
                                     kinds[i]->name, kinds[i]->summary);
    }
    fatal("--dataset: no data set is called '%s'; there are: %s", name, known);
}

void dataset_list(FILE *to)
{
    for (int i = 0; i < KINDS; i++)
        text_member(to, kinds[i]->name, kinds[i]->summary, kinds[i]->source);
}

int dataset_option_sets(const struct option_set **list, int room)
{
    int count = 0;
    for (int i = 0; i < KINDS; i++)
        if (kinds[i]->options && count < room)
            list[count++] = kinds[i]->options;
    return count;
}

/* The first kind of `only` (NULL: of all) whose files are in the folder. */
static const struct dataset_kind *recognise(const char *folder, const struct dataset_kind *only)
{
    for (int i = 0; i < KINDS && folder && *folder; i++)
        if ((!only || only == kinds[i]) && kinds[i]->recognises && kinds[i]->recognises(folder))
            return kinds[i];
    return NULL;
}

static const struct dataset_kind *generated_kind(void)
{
    for (int i = 0; i < KINDS; i++)
        if (!kinds[i]->files)
            return kinds[i];
    return NULL;
}

const char *dataset_files(char *text, size_t size)
{
    size_t used = 0;
    *text = 0;
    for (int i = 0; i < KINDS; i++)
        if (kinds[i]->files && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s of %s (%s)", used ? ", " : "",
                                     kinds[i]->files, kinds[i]->name, kinds[i]->fetch);
    return text;
}

/* The kind that `name` and `folder` mean, and where its files are; NULL: they are nowhere. */
static const struct dataset_kind *find(const char *name, const char *folder, const char **where)
{
    const char *places[] = {folder, getenv("DATA"), "data"};
    const bool any = !strcmp(name, "auto"), given = folder && *folder;
    const struct dataset_kind *wanted = any ? NULL : kind_of(name), *found = NULL;
    *where = NULL;
    for (int i = 0; i < (given ? 1 : 3) && !found && (any || wanted->files); i++)
        if ((found = recognise(places[i], wanted)))
            *where = places[i];
    if (found || (any && given))
        return found;
    if (any || !wanted->files)
        return any ? generated_kind() : wanted;
    *where = given ? folder : NULL; /* opening it says what is missing */
    return given ? wanted : NULL;
}

void dataset_find(const char *name, const char *folder, const char **kind, const char **where)
{
    const struct dataset_kind *found = find(name, folder, where);
    char known[512];
    if (!found && !strcmp(name, "auto"))
        fatal("--data %s: no data set is found there; known are: %s", folder,
              dataset_files(known, sizeof known));
    if (!found)
        fatal("--dataset %s: no %s in $DATA or in data/; name its folder with --data, or fetch it: "
              "%s",
              name, kind_of(name)->files, kind_of(name)->fetch);
    *kind = found->name;
}

const struct option_set *dataset_option_set(const char *name, const char *folder)
{
    const char *where;
    const struct dataset_kind *found = find(name, folder, &where);
    return found ? found->options : NULL;
}

void dataset_alloc(struct dataset *d, const struct dataset_options *options, int64_t all,
                   int32_t **labels, uint8_t **pixels)
{
    d->count = options->limit > 0 && options->limit < all ? options->limit : all;
    d->labels = *labels = xcalloc((size_t)d->count, sizeof **labels);
    if (pixels)
        d->pixels = *pixels =
            xcalloc((size_t)d->count, (size_t)d->channels * (size_t)d->height * (size_t)d->width);
}

struct dataset *dataset_open(const struct dataset_options *options)
{
    assert(options->limit >= 0);
    struct dataset *d = xcalloc(1, sizeof *d);
    const struct dataset_kind *kind = kind_of(options->name);
    *d = kind->preset;
    d->kind = kind;
    kind->open(d, options);
    assert(d->channels <= MAX_CHANNELS && d->labels && (d->pixels || kind->read));
    d->shards = shards_open();
    return d;
}

void dataset_close(struct dataset *d)
{
    if (d->kind->close && !d->borrows)
        d->kind->close(d);
    shards_close(d->shards);
    xfree((void *)d->pixels);
    xfree((void *)d->index);
    xfree((void *)d->labels);
    xfree(d);
}

void dataset_levels(const struct dataset *d, float levels[MAX_CHANNELS][256])
{
    struct levels of;
    levels_fill(&of, d);
    memcpy(levels, of.of, sizeof of.of);
}

/* Where samples are read one by one this takes memory for one of them. */
void dataset_read(const struct dataset *d, int64_t first, int count, float *images, int32_t *labels)
{
    assert(first >= 0 && count >= 0 && first + count <= d->count);
    struct levels levels;
    levels_fill(&levels, d);
    int64_t size = (int64_t)d->channels * d->height * d->width;
    uint8_t *bytes = d->pixels ? NULL : xcalloc((size_t)size, 1);
    for (int i = 0; i < count; i++) {
        const uint8_t *image = dataset_image(d, first + i, bytes);
        image_convert(images + i * size, d, image, (struct augment){0}, &levels);
        labels[i] = d->labels[first + i];
    }
    xfree(bytes);
}
