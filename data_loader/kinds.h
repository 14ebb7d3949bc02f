/* The kinds of data sets: a file beside this header, and a line in this list. Where a folder fits
 * several, `auto` takes the first. */
#ifndef DATA_LOADER_KINDS_H
#define DATA_LOADER_KINDS_H

#include "base/random.h"
#include "data_loader/data_loader.h"
#include "data_loader/folder.h"

#define DATASETS(X)                                                                                \
    X(cifar10)                                                                                     \
    X(cifar100)                                                                                    \
    X(mnist)                                                                                       \
    X(fashion_mnist)                                                                               \
    X(folder)                                                                                      \
    X(shards)                                                                                      \
    X(synthetic)

/* How well the files in a folder fit a kind. Several kinds may have files of one form (MNIST and
 * Fashion-MNIST): of those that find theirs at one place, who knows them best takes them. */
enum fit {
    FIT_NONE,   /* there are none */
    FIT_FORM,   /* names and form are its own */
    FIT_NAME,   /* the folder is called as it is, too */
    FIT_CONTENT /* what is in them is known */
};

struct dataset_kind {
    const char *name;
    const char *summary; /* one line */
    const char *source;  /* paper; NULL: there is none */
    const char *files;   /* what its folder holds, in a word or two; NULL: it needs no folder */
    const char *fetch;   /* the command that gets them */
    /* Are its files there? Some are enough: open() says which is missing. place is then the folder
     * that they lie in: the given one, or one in it. NULL: it needs none. */
    enum fit (*recognises)(const char *folder, char place[FOLDER_PATH]);
    /* Has the folder test images? NULL: it does, or they are missed when they are opened. */
    bool (*has_test)(const char *folder);
    const struct hint *hints; /* what a folder without them may hold; ends with {0}; NULL: none */
    const struct option_set *options; /* its own; NULL: none */
    struct dataset preset; /* classes, sizes, normalisation, augmentation; open() may change them */
    /* Fills a copy of the preset: source, count, labels, and pixels unless there is read(). Fatal
     * where a file is not as it has to be: file, expected, found, what to do. */
    void (*open)(struct dataset *d, const struct dataset_options *options);
    /* Sample i as [channels][height][width] (see d->channels_last); called by several threads. For
     * training `draw` gives the numbers of the kind's own augmentation (a crop of any size and
     * shape, say), keyed by seed, pass and sample; NULL: as it is evaluated. d->augmentation comes
     * after. NULL: pixels are in memory. */
    void (*read)(const struct dataset *d, int64_t i, struct random *draw, uint8_t *image);
    /* The line of the first sample that could not be read, NULL: there is none. Who takes a
     * mini-batch asks, since the threads of read() cannot end the program. NULL: all can be. */
    const char *(*unread)(const struct dataset *d);
    /* Of what it has, cheaply. NULL: labels and pixels, of some samples where they are not in
     * memory. */
    uint64_t (*digest)(const struct dataset *d);
    void (*close)(struct dataset *d); /* what dataset_alloc() did not give; NULL: nothing */
};

#define DECLARE_DATASET(name) extern const struct dataset_kind dataset_##name;
DATASETS(DECLARE_DATASET)
#undef DECLARE_DATASET

extern const struct dataset_kind *const dataset_kinds[];      /* ends with NULL */
const struct dataset_kind *dataset_kind_of(const char *name); /* fatal when no member has it */

/* For open(): sets d->count to all samples or the limit, and gives d its labels, and its pixels
 * where they are asked for; both are filled through the pointers and freed by dataset_close(). */
void dataset_alloc(struct dataset *d, const struct dataset_options *options, int64_t all,
                   int32_t **labels, uint8_t **pixels);

#endif
