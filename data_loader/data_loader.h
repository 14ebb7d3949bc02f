/* Images and labels: where they come from, who gets which, and in what order.
 *
 * A data set is opened once and checked wholly (lengths, labels) before training. A loader is one
 * worker's view of it: an endless stream of samples, pass after pass over the worker's share, each
 * pass in its own order, each sample once a pass; mini-batch m is samples m x batch ... of that
 * stream, whatever happened to the ones before. Everything is a pure function of (seed, worker,
 * pass, sample): augmentation depends on the sample and the pass, not on who draws it. */
#ifndef DATA_LOADER_DATA_LOADER_H
#define DATA_LOADER_DATA_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_CHANNELS = 4 };

struct dataset {
    char source[512]; /* what it is and where from, for the results' header */
    bool generated;   /* not real images */
    int64_t count;
    int classes, channels, height, width;
    const uint8_t *pixels;                             /* [count][channels][height][width] */
    const uint8_t *labels;                             /* [count] */
    float mean[MAX_CHANNELS], deviation[MAX_CHANNELS]; /* of a pixel / 255 */
    void *self; /* of dataset_open(); NULL in a data set that was made by hand */
};

struct dataset_options {
    const char *name;   /* "cifar10", "synthetic" */
    const char *folder; /* where the files are (cifar10: data_batch_1.bin ... or a folder
                           cifar-10-batches-bin in it) */
    bool train;         /* or test */
    int64_t limit;      /* at most so many samples, 0: all */
    uint64_t seed;      /* of the generator */
};

/* Opens a data set; a missing, truncated or foreign file, or a label out of range, is fatal with
 * file, expected and found. */
struct dataset *dataset_open(const struct dataset_options *options);
void dataset_close(struct dataset *d);

/* A kind of data set: one file in data_loader/, one line in the table of
 * data_loader/data_loader.c. */
struct dataset_kind {
    const char *name, *summary;
    void (*open)(struct dataset *d, const struct dataset_options *options); /* fills d */
    void (*close)(struct dataset *d);
};

/* A data set of images as bytes, and the number that each byte stands for. */
struct pixels {
    const uint8_t *bytes; /* [count][channels][height][width] */
    int64_t count;
    int channels, height, width;
    const float *levels; /* [channels][256] */
};

/* What is wanted of sample `sample`: row y, column x is the sample's row y + down, column x +
 * right, and byte 0 where it has no such pixel; then its columns in reverse where mirror is not
 * 0. */
struct crop {
    int32_t sample, down, right, mirror;
};

struct loader_options {
    int batch; /* samples a mini-batch */
    uint64_t seed;
    int worker, workers;   /* whose share: worker w of W, 0-based */
    const char *partition; /* how shares are cut, by a name of data_loader/partition.h, where the
                              laws are; NULL: split */
    double alpha;          /* of partition dirichlet */
    const double *speeds; /* [workers], of partition speed: samples a second to any scale; NULL: all
                             equal; borrowed for the call */
    bool augment;         /* pad by 4 and crop, flip (deterministic by seed, pass and sample) */
    int ahead; /* mini-batches that a thread prepares ahead of need; 0: none, each is made when it
                  is asked for */
    float *scratch; /* ahead = 0: where images are put, batch x height x width x channels; shared
                       among loaders (NULL: own) */
    bool crops; /* no images are made, only said which they are: for who has the data set elsewhere
                 */
    /* of the pages that images of the loader's own will lie in, when they come and before they go;
     * NULL: nobody wants to know */
    void (*tell)(void *told, void *block, size_t bytes, bool comes);
    void *told;
};

struct batch {
    const float *images; /* [batch][height][width][channels], normalised; borrowed until the next
                            loader_batch(); NULL with crops */
    const struct crop *crops; /* [batch], as backend/backend.h has them; NULL without */
    const int32_t *labels;    /* [batch] */
    const int32_t *samples;   /* [batch]; indices in the data set */
};

struct loader;

/* A partition that leaves any worker without a sample is fatal. A share may be smaller than a
 * mini-batch. */
struct loader *loader_open(const struct dataset *d, const struct loader_options *options);
void loader_close(struct loader *l);

/* Mini-batch `index` of the stream. Asking again gives the same; the usual order is index, index +
 * 1, ... */
struct batch loader_batch(struct loader *l, int64_t index);

int64_t loader_share(const struct loader *l); /* samples in this worker's share */
/* seconds that loader_batch() has kept its callers waiting */
double loader_wait_s(const struct loader *l);

/* Samples of each class, by_class[d->classes], in the share that a loader with these options would
 * have; as fatal as it would be. */
void dataset_share(const struct dataset *d, const struct loader_options *options,
                   int64_t *by_class);

/* The normalised number that each byte of each channel stands for. */
void dataset_levels(const struct dataset *d, float levels[MAX_CHANNELS][256]);

/* Samples first .. first + count - 1 of the data set as they are (normalised, not augmented) into
 * images (NHWC) and labels. */
void dataset_read(const struct dataset *d, int64_t first, int count, float *images,
                  int32_t *labels);

#endif
