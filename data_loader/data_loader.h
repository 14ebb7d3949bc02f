/* Images and labels: which there are, who gets which, and in what order.
 *
 * A data set hands out sample i: an image of bytes, any size, 1 to 4 channels, and a label. It is
 * opened once and checked wholly (lengths, labels) before training. A loader is one worker's view
 * of it: an endless stream of samples, pass after pass over the worker's shard, each pass in its
 * own order, each sample once per pass. Mini-batch m is samples m x batch ... of that stream,
 * whatever happened to the ones before. All is a pure function of (seed, worker, pass, sample). */
#ifndef DATA_LOADER_DATA_LOADER_H
#define DATA_LOADER_DATA_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/options.h"

enum { MAX_CHANNELS = 4 };

/* The customary augmentation of a data set: a black border, a crop of the old size at random,
 * mirrored in one of two cases. What else a kind does to its images it draws in read(). */
struct augmentation {
    int border; /* pixels; 0: no crop */
    bool mirror;
};

struct dataset {
    char source[512]; /* what it is and where from, for the results' header */
    bool generated;   /* not real images */
    int64_t count;
    int classes, channels, height, width;
    const char *const *class_names; /* [classes], borrowed; NULL: they are numbers */
    bool channels_last;    /* samples are read as [height][width][channels], neither cropped nor
                           mirrored after that */
    const uint8_t *pixels; /* [count][channels][height][width]; NULL: samples are read one by one */
    const int32_t *labels; /* [count], each in 0 .. classes - 1 */
    const int32_t
        *index; /* [count], where they are read: their numbers to the kind; NULL: 0, 1 .. */
    float mean[MAX_CHANNELS], deviation[MAX_CHANNELS]; /* of a pixel / 255, by channel */
    struct augmentation augmentation;
    const struct dataset_kind *kind; /* NULL in a data set that was made by hand */
    void *self;                      /* the kind's own */
    bool borrows;                    /* of the data set that it was held out of */
    struct thread_pool *pool;        /* threads that read samples; NULL: the caller does */
    struct shards *shards;           /* the partition asked for last; NULL: none is stored */
};

struct dataset_options {
    const char *name;   /* of a kind, as dataset_find() gives it */
    const char *folder; /* where its files are; NULL for a generated one */
    bool train;         /* or test */
    int64_t limit;      /* at most that many samples, 0: all */
    uint64_t seed;      /* of a generator */
    int threads;        /* that this rank computes with; 0: 1 */
    const void *own;    /* the kind's own options, dataset_option_set()'s; NULL: presets */
};

/* Which data set `name` ("auto" or a kind's) and `folder` (or "") mean: looks in the folder, else
 * in $DATA, else in data/. auto takes the first kind that recognises the folder; where neither
 * folder nor $DATA is named and data/ has none, the generated images. Fatal when the kind is
 * unknown or its files are not there: says what is. *where may borrow `folder`. */
void dataset_find(const char *name, const char *folder, const char **kind, const char **where);

/* The names of all kinds, "cifar10|..|synthetic", in `text`, which is returned. */
const char *dataset_names(char *text, size_t size);

/* The files of all data sets and how to fetch them, in a line, in `text`, which is returned. */
const char *dataset_files(char *text, size_t size);

/* The names of the partitions, "split|shared|..", in `text`, which is returned. */
const char *partition_names(char *text, size_t size);

/* For --help: name, line, source. */
void dataset_list(FILE *to);
void partition_list(FILE *to);

/* The own options of the data set that dataset_find() would find, and of a partition; NULL: it has
 * none, or is nowhere. */
const struct option_set *dataset_option_set(const char *name, const char *folder);
const struct option_set *partition_option_set(const char *name);

/* Those of all kinds, at most `room`; how many there are. */
int dataset_option_sets(const struct option_set **list, int room);
int partition_option_sets(const struct option_set **list, int room);

/* What the samples of that kind look like, as far as it is known without files; "auto": as those of
 * CIFAR-10; of any size: as ImageNet's, 1,000 classes of 3x224x224. `own` as in dataset_options.
 * Fatal when the kind is unknown. */
struct dataset_shape {
    int classes, channels, height, width;
};
struct dataset_shape dataset_shape(const char *name, const void *own);

/* Opens a data set; a missing, truncated or foreign file, or a label out of range, is fatal with
 * file, expected and found. */
struct dataset *dataset_open(const struct dataset_options *options);
void dataset_close(struct dataset *d);

/* Are there test images, too? `name`, `folder`: as in dataset_options. */
bool dataset_has_test(const char *name, const char *folder);

/* XXH3 of sizes, labels and pixels: of all where they are in memory, else of some samples. */
uint64_t dataset_digest(const struct dataset *d);

/* Class folders DIR/train/, and DIR/val/ or DIR/test/, into shards OUT/train-00000.shard ..., which
 * --dataset shards reads (docs/shards.md). */
struct pack_options {
    const char *folder, *out;
    int64_t shard_bytes; /* of image files in a shard; a larger image is a shard of its own */
    int short_side;      /* an image of a longer shorter side is shrunk to it and written as JPEG;
                            0: all bytes stay as they are */
    int quality;         /* of JPEGs that are written */
    bool skip;           /* leave out files that are no whole images; else they are fatal */
};

/* Says what it writes. Fatal where a file cannot be read, or a shard is there already. */
void dataset_pack(const struct pack_options *o);

/* Takes this part of the samples out of d, at random but always the same ones, and returns them as
 * a data set, to be closed before d. `fold`: which of the 1 / part disjoint parts, from 0; together
 * they are all samples, where part is 1 / K. Fatal when that or d would have no sample. Call it
 * before anything else. */
struct dataset *dataset_hold_out(struct dataset *d, double part, int64_t fold);

/* A resident data set of images, and the number that each byte stands for. */
struct pixels {
    const uint8_t *bytes; /* [count][channels][height][width] */
    int64_t count;
    int channels, height, width;
    const float *levels; /* [channels][256] */
};

/* Row y, column x of the result is row y + down, column x + right of the sample, and byte 0 where
 * it has no such pixel; then the columns are reversed where mirror is not 0. */
struct crop {
    int32_t sample, down, right, mirror;
};

struct loader_options {
    int batch; /* samples per mini-batch */
    uint64_t seed;
    int worker, workers;       /* whose shard: worker w of W, 0-based */
    const char *partition;     /* how shards are cut, by a name of partition.h; NULL: split */
    const void *partition_own; /* its own options, partition_option_set()'s; NULL: it has none */
    const double *speeds; /* [workers], of partition speed: samples per second to any scale; NULL:
                              all equal; borrowed for the call */
    bool augment;         /* by the data set's augmentation, keyed by seed, pass and sample */
    int prefetch;         /* mini-batches that a thread prepares; 0: each is made when asked for */
    float *scratch; /* prefetch = 0: where images are put, batch x height x width x channels; common
                       to several loaders (NULL: own) */
    bool crops;     /* no images are made, only crops: for a data set that lies on a device */
    /* Called with the pages of the loader's own images: when they have come, and before they are
     * freed. NULL: no device copies from them. */
    void (*register_memory)(void *owner, void *block, size_t bytes);
    void (*unregister_memory)(void *owner, void *block);
    void *memory_owner;
};

struct batch {
    const float *images;      /* [batch][height][width][channels], normalised; borrowed until the
                                 next loader_batch(); NULL with crops */
    const struct crop *crops; /* [batch]; NULL without */
    const int32_t *labels;    /* [batch] */
    const int32_t *samples;   /* [batch]; indices in the data set */
};

struct loader;

/* A partition that leaves any worker without a sample is fatal. A shard may be smaller than a
 * mini-batch. */
struct loader *loader_open(const struct dataset *d, const struct loader_options *options);
void loader_close(struct loader *l);

/* Mini-batch `index` of the stream. Asking again gives the same; the usual order is index, index +
 * 1, ... */
struct batch loader_batch(struct loader *l, int64_t index);

int64_t loader_shard(const struct loader *l); /* samples in this worker's shard */
/* seconds that callers of loader_batch() have waited */
double loader_wait_s(const struct loader *l);

/* Samples of each class, by_class[d->classes], in the shard that a loader with these options would
 * have; as fatal as it would be. */
void dataset_shard(const struct dataset *d, const struct loader_options *options,
                   int64_t *by_class);

/* The normalised number that each byte of each channel stands for. */
void dataset_levels(const struct dataset *d, float levels[MAX_CHANNELS][256]);

/* Samples first .. first + count - 1 of the data set as they are (normalised, not augmented) into
 * images (NHWC) and labels. */
void dataset_read(const struct dataset *d, int64_t first, int count, float *images,
                  int32_t *labels);

#endif
