/* CIFAR-10 in its binary form (Krizhevsky 2009; https://www.cs.toronto.edu/~kriz/cifar.html).
 *
 * Five training files and one test file, each 10,000 records of one label byte and 3 x 32 x 32
 * pixel bytes. All files of the wanted half are read through whatever the limit, so that a bad one
 * is found before training: its length, each label, and that no class is missing (a file of zeros
 * has the right length). Cost: 154 MB to read, and 3,073 bytes of memory a sample. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "data_loader/kinds.h"

enum {
    CLASSES = 10,
    SIDE = 32,
    IMAGE = 3 * SIDE * SIDE,
    RECORD = 1 + IMAGE,
    RECORDS = 10000,
    CHUNK = 100,
    LONG_PATH = 4096
};

static const char fetch_again[] =
    "fetch it again with data_loader/fetch FOLDER and give --data FOLDER";

static const char sub_folder[] = "cifar-10-batches-bin";
static const char *const train_files[] = {"data_batch_1.bin", "data_batch_2.bin",
                                          "data_batch_3.bin", "data_batch_4.bin",
                                          "data_batch_5.bin"};
static const char *const test_files[] = {"test_batch.bin"};

/* 30730000 as "30,730,000"; text has room for 32 characters. */
static const char *grouped(char *text, int64_t number)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)number);
    char *end = text;
    for (int i = 0; i < length; i++) {
        *end++ = digits[i];
        if ((length - 1 - i) % 3 == 0 && i < length - 1)
            *end++ = ',';
    }
    *end = 0;
    return text;
}

_Noreturn static void refuse_length(const char *path, const char *found)
{
    char expected[32];
    fatal("%s: %s bytes expected, %s found; %s", path, grouped(expected, (int64_t)RECORDS * RECORD),
          found, fetch_again);
}

/* fetch leaves a file of the right length alone. */
_Noreturn static void refuse_labels(const char *path, const char *expected, const char *found)
{
    fatal("%s: %s expected, %s found; remove it, %s", path, expected, found, fetch_again);
}

static FILE *open_checked(const char *path)
{
    char found[128];
    FILE *file = fopen(path, "rb");
    if (!file) {
        snprintf(found, sizeof found, "nothing (%s)", strerror(errno));
        refuse_length(path, found);
    }
    struct stat about;
    CHECK(!fstat(fileno(file), &about), "%s: %s", path, strerror(errno));
    if (!S_ISREG(about.st_mode))
        refuse_length(path, S_ISDIR(about.st_mode) ? "a folder" : "no plain file");
    if (about.st_size != (off_t)RECORDS * RECORD)
        refuse_length(path, grouped(found, about.st_size));
    return file;
}

static uint8_t label_checked(const char *path, int record, uint8_t label)
{
    char found[64];
    snprintf(found, sizeof found, "%d in record %d", label, record);
    if (label >= CLASSES)
        refuse_labels(path, "labels 0 to 9", found);
    return label;
}

static void check_classes(const char *path, const int *seen)
{
    char found[64];
    for (int c = 0; c < CLASSES; c++) {
        snprintf(found, sizeof found, "none of class %d", c);
        if (!seen[c])
            refuse_labels(path, "images of all 10 classes", found);
    }
}

/* Reads and checks all of one file; the first `wanted` records go to pixels and labels. */
static void read_file(const char *path, int64_t wanted, uint8_t *pixels, int32_t *labels,
                      uint8_t *chunk)
{
    int seen[CLASSES] = {0};
    FILE *file = open_checked(path);
    for (int i = 0; i < RECORDS; i++) {
        const uint8_t *record = chunk + (i % CHUNK) * RECORD;
        if (i % CHUNK == 0)
            CHECK(fread(chunk, RECORD, CHUNK, file) == CHUNK,
                  "%s: cannot be read beyond record %d (%s)", path, i,
                  ferror(file) ? strerror(errno) : "it has become shorter");
        uint8_t label = label_checked(path, i, record[0]);
        seen[label]++;
        if (i < wanted) {
            labels[i] = label;
            memcpy(pixels + (int64_t)i * IMAGE, record + 1, IMAGE);
        }
    }
    fclose(file);
    check_classes(path, seen);
}

/* The files lie in the folder itself or in the archive's own folder inside it. */
static void find(char *path, const char *folder, const char *name)
{
    struct stat about;
    int length = snprintf(path, LONG_PATH, "%s/%s", folder, sub_folder);
    bool inside = length < LONG_PATH && !stat(path, &about) && S_ISDIR(about.st_mode);
    if (inside)
        length = snprintf(path, LONG_PATH, "%s/%s/%s", folder, sub_folder, name);
    else
        length = snprintf(path, LONG_PATH, "%s/%s", folder, name);
    if (length >= LONG_PATH)
        fatal("--data: a path of at most %d characters expected, %d found", LONG_PATH - 1, length);
}

static bool recognises(const char *folder)
{
    char path[LONG_PATH];
    find(path, folder, train_files[0]);
    return !access(path, F_OK);
}

static void open(struct dataset *d, const struct dataset_options *options)
{
    if (!options->folder || !*options->folder)
        fatal("cifar10 needs the folder of its files: give --data FOLDER (data_loader/fetch FOLDER "
              "fills one)");
    const char *const *names = options->train ? train_files : test_files;
    int files = options->train ? (int)(sizeof train_files / sizeof *train_files) : 1;
    uint8_t *pixels, *chunk = xcalloc(CHUNK, RECORD);
    int32_t *labels;
    char path[LONG_PATH];
    dataset_alloc(d, options, (int64_t)files * RECORDS, &labels, &pixels);
    for (int i = 0; i < files; i++) {
        int64_t first = (int64_t)i * RECORDS < d->count ? (int64_t)i * RECORDS : d->count;
        find(path, options->folder, names[i]);
        read_file(path, d->count - first, pixels + first * IMAGE, labels + first, chunk);
    }
    xfree(chunk);
    snprintf(d->source, sizeof d->source, "CIFAR-10, %s samples, from %s",
             options->train ? "training" : "test", options->folder);
}

/* The augmentation is that of He et al. 2015, arXiv:1512.03385, section 4.2. */
const struct dataset_kind dataset_cifar10 = {
    .name = "cifar10",
    .summary = "CIFAR-10, binary form, from --data",
    .source = "Krizhevsky 2009",
    .files = sub_folder,
    .fetch = "data_loader/fetch data",
    .recognises = recognises,
    .preset = {.classes = CLASSES,
               .channels = 3,
               .height = SIDE,
               .width = SIDE,
               .mean = {0.4914f, 0.4822f, 0.4465f},
               .deviation = {0.2470f, 0.2435f, 0.2616f},
               .augmentation = {.border = 4, .mirror = true}},
    .open = open,
};
