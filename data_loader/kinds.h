/* The kinds of data sets: a file beside this header, and a line in this list. */
#ifndef DATA_LOADER_KINDS_H
#define DATA_LOADER_KINDS_H

#include "data_loader/data_loader.h"

#define DATASETS(X)                                                                                \
    X(cifar10)                                                                                     \
    X(synthetic)

struct dataset_kind {
    const char *name;
    const char *summary; /* one line */
    const char *source;  /* paper; NULL: there is none */
    const char *files;   /* what its folder holds, in a word or two; NULL: it needs no folder */
    const char *fetch;   /* the command that gets them */
    bool (*recognises)(const char *folder); /* are its files there? NULL: it needs none */
    const struct option_set *options;       /* its own; NULL: none */
    struct dataset preset; /* classes, sizes, normalisation, augmentation; open() may change them */
    /* Fills a copy of the preset: source, count, labels, and pixels unless there is read(). */
    void (*open)(struct dataset *d, const struct dataset_options *options);
    /* Sample i as [channels][height][width]; called by several threads. NULL: pixels are there. */
    void (*read)(const struct dataset *d, int64_t i, uint8_t *image);
    void (*close)(struct dataset *d); /* what dataset_alloc() did not give; NULL: nothing */
};

#define DECLARE_DATASET(name) extern const struct dataset_kind dataset_##name;
DATASETS(DECLARE_DATASET)
#undef DECLARE_DATASET

/* For open(): sets d->count to all samples or the limit, and gives d its labels, and its pixels
 * where they are asked for; both are filled through the pointers and freed by dataset_close(). */
void dataset_alloc(struct dataset *d, const struct dataset_options *options, int64_t all,
                   int32_t **labels, uint8_t **pixels);

#endif
