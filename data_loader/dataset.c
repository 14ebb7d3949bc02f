/* The list of data sets, made from the one in data_loader/kinds.h, and what is common to them. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/digest.h"
#include "base/text.h"
#include "data_loader/augment.h"
#include "data_loader/data_loader.h"
#include "data_loader/kinds.h"
#include "data_loader/samples.h"
#include "data_loader/shards.h"

const struct dataset_kind *const dataset_kinds[] = {
#define ENTRY(name) &dataset_##name,
    DATASETS(ENTRY)
#undef ENTRY
        NULL,
};

const char *dataset_names(char *text, size_t size)
{
    size_t used = 0;
    *text = 0;
    for (int i = 0; dataset_kinds[i] && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? "|" : "",
                                 dataset_kinds[i]->name);
    return text;
}

const struct dataset_kind *dataset_kind_of(const char *name)
{
    char known[800] = "";
    size_t used = 0;
    for (int i = 0; dataset_kinds[i]; i++) {
        if (!strcmp(name, dataset_kinds[i]->name))
            return dataset_kinds[i];
        if (used < sizeof known)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s (%s)", i ? ", " : "",
                                     dataset_kinds[i]->name, dataset_kinds[i]->summary);
    }
    fatal("--dataset: no data set is called '%s'; there are: %s", name, known);
}

void dataset_list(FILE *to)
{
    for (int i = 0; dataset_kinds[i]; i++)
        text_member(to, dataset_kinds[i]->name, dataset_kinds[i]->summary,
                    dataset_kinds[i]->source);
}

int dataset_option_sets(const struct option_set **list, int room)
{
    int count = 0;
    for (int i = 0; dataset_kinds[i]; i++)
        if (dataset_kinds[i]->options && count < room)
            list[count++] = dataset_kinds[i]->options;
    return count;
}

const char *dataset_files(char *text, size_t size)
{
    size_t used = 0;
    *text = 0;
    for (int i = 0; dataset_kinds[i]; i++)
        if (dataset_kinds[i]->files && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s of %s (%s)", used ? ", " : "",
                                     dataset_kinds[i]->files, dataset_kinds[i]->name,
                                     dataset_kinds[i]->fetch);
    return text;
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
    const struct dataset_kind *kind = dataset_kind_of(options->name);
    *d = kind->preset;
    d->kind = kind;
    kind->open(d, options);
    assert(d->channels <= MAX_CHANNELS && d->labels && (d->pixels || kind->read));
    d->shards = shards_open();
    return d;
}

bool dataset_has_test(const char *name, const char *folder)
{
    const struct dataset_kind *kind = dataset_kind_of(name);
    return !kind->has_test || kind->has_test(folder);
}

struct dataset_shape dataset_shape(const char *name, const void *own)
{
    const struct dataset_kind *kind = dataset_kind_of(strcmp(name, "auto") ? name : "cifar10");
    struct dataset *made = NULL;
    if (!kind->recognises) /* it needs no files, and may be of any size */
        made = dataset_open(
            &(struct dataset_options){.name = name, .train = true, .limit = 1, .own = own});
    const struct dataset *d = made ? made : &kind->preset;
    const struct dataset_shape shape = {d->classes ? d->classes : 1000,
                                        d->channels ? d->channels : 3, d->height ? d->height : 224,
                                        d->width ? d->width : 224};
    if (made)
        dataset_close(made);
    return shape;
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

uint64_t dataset_digest(const struct dataset *d)
{
    enum { SAMPLES = 64 };
    const int64_t sizes[] = {d->count, d->classes, d->channels, d->height, d->width};
    size_t size = (size_t)d->channels * (size_t)d->height * (size_t)d->width;
    uint8_t *bytes = d->pixels ? NULL : xcalloc(size, 1);
    struct digest *digest = digest_open();
    digest_add(digest, sizes, sizeof sizes);
    digest_add(digest, d->labels, (size_t)d->count * sizeof *d->labels);
    if (d->pixels)
        digest_add(digest, d->pixels, (size_t)d->count * size);
    const uint64_t own = d->kind && d->kind->digest ? d->kind->digest(d) : 0;
    digest_add(digest, &own, own ? sizeof own : 0);
    for (int64_t i = 0; !d->pixels && !own && i < SAMPLES; i++)
        digest_add(digest, dataset_image(d, i * (d->count - 1) / (SAMPLES - 1), NULL, bytes), size);
    uint64_t value = digest_value(digest);
    digest_close(digest);
    xfree(bytes);
    return value;
}

void dataset_levels(const struct dataset *d, float levels[MAX_CHANNELS][256])
{
    struct levels of;
    levels_fill(&of, d);
    memcpy(levels, of.of, sizeof of.of);
}

/* Where samples are read one by one this takes memory for one of them a thread. */
void dataset_read(const struct dataset *d, int64_t first, int count, float *images, int32_t *labels)
{
    assert(first >= 0 && count >= 0 && first + count <= d->count);
    struct levels levels;
    levels_fill(&levels, d);
    struct sample *samples = xcalloc((size_t)count, sizeof *samples);
    uint8_t *scratch = d->pixels ? NULL : xcalloc(samples_scratch(d), 1);
    for (int i = 0; i < count; i++) {
        samples[i].number = first + i;
        labels[i] = d->labels[first + i];
    }
    samples_read(d, samples, count, &levels, scratch, images);
    samples_check(d);
    xfree(scratch);
    xfree(samples);
}
