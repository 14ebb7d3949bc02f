/* MNIST and its kin: what is read is what the files hold, plain or packed; each way in which a file
 * can be wrong is named; and whose files they are is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "data_loader/data_loader.h"
#include "tests/death_test.h"
#include "tests/idx_files.h"
#include "tests/own_folder.h"

enum { COUNT = 60 };

static void write_bytes(const char *name, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* A half's two files, good ones. */
static void write_half(const char *half, bool packed, int images, int labels)
{
    uint8_t *bytes = xcalloc(1, IDX_FILE_MOST);
    char name[100];
    for (int what = 0; what < 2; what++) {
        size_t size = what ? idx_labels(bytes, labels) : idx_images(bytes, images);
        snprintf(name, sizeof name, "%s-%s%s", half,
                 what ? "labels-idx1-ubyte" : "images-idx3-ubyte", packed ? ".gz" : "");
        write_bytes(name, bytes, packed ? idx_pack(bytes, size) : size);
    }
    xfree(bytes);
}

static void open_test_half(const void *name)
{
    dataset_close(dataset_open(&(struct dataset_options){.name = name, .folder = ".", .limit = 3}));
}

static void files_are_read_as_they_are(void **state)
{
    (void)state;
    write_half("train", true, COUNT, COUNT);
    write_half("t10k", false, 20, 20);
    for (int k = 0; k < 4; k++) {
        const int64_t limits[] = {0, 7, COUNT, 1000};
        for (int train = 0; train < 2; train++) {
            struct dataset *d = dataset_open(&(struct dataset_options){
                .name = "mnist", .folder = ".", .train = train, .limit = limits[k]});
            int64_t all = train ? COUNT : 20;
            assert_int_equal(d->count, limits[k] && limits[k] < all ? limits[k] : all);
            assert_int_equal(d->classes * d->channels * d->height * d->width, 10 * IDX_IMAGE);
            assert_false(d->augmentation.mirror);
            assert_non_null(strstr(d->source, "MNIST's form, but NOT its published images"));
            for (int i = 0; i < d->count; i++) {
                assert_int_equal(d->labels[i], 3 * i % 10);
                for (int p = 0; p < IDX_IMAGE; p++)
                    assert_int_equal(d->pixels[i * IDX_IMAGE + p], (uint8_t)(7 * i + p / 3));
            }
            dataset_close(d);
        }
    }
}

static void assert_refused(const char *name, const char *words)
{
    char text[120];
    snprintf(text, sizeof text, "./%s: ", name);
    assert_dies(
        EXIT_USER, open_test_half, "mnist",
        (const char *const[]){text, words, "; fetch it again with data_loader/fetch mnist", NULL});
}

static const char images[] = "t10k-images-idx3-ubyte", labels[] = "t10k-labels-idx1-ubyte";

static const struct {
    const char *file;
    size_t at; /* of the byte that is changed */
    uint8_t to;
    int longer; /* bytes more, or fewer */
    const char *words;
} plain_faults[] = {
    {images, 3, 1, 0,
     "IDX's magic number 0x00000803 (unsigned bytes, 3 dimensions) expected, "
     "0x00000801 found"},
    {images, 2, 13, 0, "0x00000d03 found"},
    {labels, 3, 3, 0, "IDX's magic number 0x00000801 (unsigned bytes, 1 dimension) expected"},
    {images, 11, 32, 0, "images of 28 x 28 expected, 32 x 28 found"},
    {images, 12, 1, 0, "images of 28 x 28 expected, 28 x 16777244 found"},
    {images, 4, 0x80, 0, "1 to 2147483647 samples expected, its head says 2147483668"},
    {images, 7, 0, 0, "1 to 2147483647 samples expected, its head says 0"},
    {images, 5, 1, 0, "its head says 65556 samples, which is more than it can hold"},
    {images, 7, 19, 0, "19 labels expected, as many as there are images, 20 found"},
    {labels, 7, 19, 0, "20 labels expected, as many as there are images, 19 found"},
    {images, 0, 0, -1, "15,696 bytes expected, 15,695 found"},
    {images, 0, 0, -15690, "16 bytes expected, 6 found"},
    {images, 0, 0, -15694, "4 bytes expected, 2 found"},
    {images, 0, 0, 1, "15,696 bytes expected, there are more"},
    {labels, 0, 0, 1, "28 bytes expected, there are more"},
    {labels, 27, 10, 0, "labels 0 to 9 expected, 10 in sample 19 found"},
    {labels, 8, 255, 0, "labels 0 to 9 expected, 255 in sample 0 found"},
};

/* Of two files that disagree the labels are named. */
static void wrong_plain_files_are_named(void **state)
{
    (void)state;
    uint8_t *bytes = xcalloc(1, IDX_FILE_MOST);
    for (size_t i = 0; i < sizeof plain_faults / sizeof *plain_faults; i++) {
        const char *file = plain_faults[i].file;
        bool disagree = strstr(plain_faults[i].words, "as many as");
        write_half("t10k", false, 20, 20);
        size_t size = file == images ? idx_images(bytes, 20) : idx_labels(bytes, 20);
        bytes[plain_faults[i].at] = plain_faults[i].to;
        bytes[size] = 0;
        write_bytes(file, bytes, size + (size_t)plain_faults[i].longer);
        assert_refused(disagree ? labels : file, plain_faults[i].words);
    }
    xfree(bytes);
}

static void missing_and_empty_ones_are_named(void **state)
{
    (void)state;
    uint8_t *bytes = xcalloc(1, IDX_FILE_MOST);
    write_half("t10k", false, 20, 20);
    size_t size = idx_labels(bytes, 20);
    memset(bytes + 8, 0, 20);
    write_bytes(labels, bytes, size);
    assert_refused(labels, "images of all 10 classes expected, none of class 1 found");
    assert_int_equal(unlink(images), 0);
    assert_refused("t10k-images-idx3-ubyte.gz", "it cannot be read (No such file");
    assert_int_equal(mkdir(images, 0700), 0);
    assert_refused(images, "it is no plain file");
    xfree(bytes);
}

static void refuse_packed(const uint8_t *bytes, size_t size, const char *words)
{
    write_bytes("t10k-images-idx3-ubyte.gz", bytes, size);
    assert_refused("t10k-images-idx3-ubyte.gz", words);
}

static void wrong_packed_files_are_named(void **state)
{
    (void)state;
    uint8_t *good = xcalloc(1, IDX_FILE_MOST), *bytes = xcalloc(1, IDX_FILE_MOST);
    write_half("t10k", true, 20, 20);
    size_t size = idx_pack(good, idx_images(good, 20));
    for (size_t cut = 2; cut < size; cut += cut < 30 || cut > size - 12 ? 1 : 17)
        refuse_packed(good, cut, "its gzip data breaks off");
    for (size_t at = 2; at<size; at += at> size - 12 ? 1 : 7) {
        if (3 <= at && at < 10) /* flags, time and system: gzip's own, no matter here */
            continue;
        memcpy(bytes, good, size);
        bytes[at] ^= 0x40;
        refuse_packed(bytes, size, ": ");
    }
    memcpy(bytes, good, size);
    refuse_packed(bytes, size + 1, "there are bytes after the end of its gzip data");
    refuse_packed(bytes, idx_pack(bytes, idx_images(bytes, 20) + 1),
                  "15,696 bytes expected in it, there are more");
    idx_images(bytes, 20);
    refuse_packed(bytes, idx_pack(bytes, 15000), "15,696 bytes expected in it, 15,000 found");
    idx_images(bytes, 20);
    bytes[4] = 0x7f;
    refuse_packed(bytes, idx_pack(bytes, 15696), "which is more than it can hold");
    xfree(good);
    xfree(bytes);
}

struct question {
    const char *name, *folder;
};

static void ask(const void *argument)
{
    const struct question *q = argument;
    const char *kind, *where;
    dataset_find(q->name, q->folder, &kind, &where);
    fprintf(stderr, "it is %s", kind);
}

static void assert_is(const char *name, const char *folder, const char *words)
{
    int code = strncmp(words, "it is", 5) ? EXIT_USER : 0;
    assert_dies(code, ask, &(struct question){name, folder}, (const char *const[]){words, NULL});
}

/* Files of one form: the folder's name tells whose they are, unless what is in them is known. */
static void it_is_known_whose_files_they_are(void **state)
{
    (void)state;
    uint8_t *bytes = xcalloc(1, IDX_FILE_MOST);
    assert_int_equal(system("mkdir -p all/mnist all/fashion-mnist other python"), 0);
    write_half("all/mnist/train", true, COUNT, COUNT);
    write_half("all/fashion-mnist/t10k", false, COUNT, COUNT);
    write_half("other/train", false, COUNT, COUNT);
    assert_is("auto", "all", "it is mnist");
    assert_is("fashion-mnist", "all", "it is fashion-mnist");
    assert_is("mnist", "all", "it is mnist");
    assert_is("auto", "all/fashion-mnist", "it is fashion-mnist");
    assert_is("mnist", "all/fashion-mnist",
              "no mnist is found there (it holds fashion-mnist, which is another data set: "
              "--dataset fashion-mnist)");
    assert_is("auto", "other", "it is mnist");
    assert_is("fashion-mnist", "other", "it is fashion-mnist");
    assert_is("cifar10", "other", "no cifar10 is found there (it holds mnist, which is another");
    write_bytes("python/mnist.npz", bytes, 1);
    assert_is("mnist", "python", "mnist.npz is MNIST in a form of other programs");
    xfree(bytes);
}

static void the_real_ones_are_known(void **state)
{
    (void)state;
    static const char *const names[] = {"mnist", "fashion-mnist"};
    const char *data = getenv("DATA");
    char path[4200];
    if (!data || access((snprintf(path, sizeof path, "%s/mnist", data), path), F_OK) ||
        access((snprintf(path, sizeof path, "%s/fashion-mnist", data), path), F_OK)) {
        printf("SKIPPED: DATA doesn't name a folder with mnist and fashion-mnist\n");
        skip();
    }
    assert_is("fashion-mnist", (snprintf(path, sizeof path, "%s/mnist", data), path),
              "it holds mnist, which is another data set");
    for (int k = 0; k < 2; k++) {
        snprintf(path, sizeof path, "%s/%s", data, names[k]);
        assert_is("auto", path, k ? "it is fashion-mnist" : "it is mnist");
        for (int train = 0; train < 2; train++) {
            struct dataset *d = dataset_open(
                &(struct dataset_options){.name = names[k], .folder = data, .train = train});
            double sum = 0, squares = 0, n = (double)d->count * IDX_IMAGE;
            assert_int_equal(d->count, train ? 60000 : 10000);
            assert_null(strstr(d->source, "NOT"));
            for (int64_t i = 0; i < d->count * IDX_IMAGE; i++) {
                sum += d->pixels[i] / 255.0;
                squares += d->pixels[i] / 255.0 * (d->pixels[i] / 255.0);
            }
            double mean = sum / n;
            assert_true(fabs(mean - (double)d->mean[0]) < (train ? 5e-5 : 3e-3));
            assert_true(fabs(sqrt(squares / n - mean * mean) - (double)d->deviation[0]) <
                        (train ? 5e-5 : 3e-3));
            dataset_close(d);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_are_read_as_they_are, own_folder_enter,
                                        own_folder_leave),
        cmocka_unit_test_setup_teardown(wrong_plain_files_are_named, own_folder_enter,
                                        own_folder_leave),
        cmocka_unit_test_setup_teardown(missing_and_empty_ones_are_named, own_folder_enter,
                                        own_folder_leave),
        cmocka_unit_test_setup_teardown(wrong_packed_files_are_named, own_folder_enter,
                                        own_folder_leave),
        cmocka_unit_test_setup_teardown(it_is_known_whose_files_they_are, own_folder_enter,
                                        own_folder_leave),
        cmocka_unit_test_setup_teardown(the_real_ones_are_known, own_folder_enter,
                                        own_folder_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
