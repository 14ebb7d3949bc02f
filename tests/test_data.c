/* Data sets: what is read is what the files hold, a wrong file is named before training.
 *
 * Files of CIFAR's form are made here, so that nothing is needed; the real ones are looked at where
 * $DATA names their folder. tests/fetch.sh has data_loader/fetch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "data_loader/data_loader.h"
#include "tests/death_test.h"

enum { RECORDS = 10000, IMAGE = 3072, RECORD = 1 + IMAGE };

static const char *const names[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                    "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};

struct place {
    char folder[64], path[160];
};

/* The path of a file in the test's own folder, until the next call. */
static const char *in(struct place *p, const char *name)
{
    snprintf(p->path, sizeof p->path, "%s/cifar-10-batches-bin/%s", p->folder, name);
    return p->path;
}

static uint8_t label_of(int record)
{
    return (uint8_t)(record * 7 % 10);
}

static uint8_t pixel_of(int record, int pixel)
{
    return (uint8_t)(record * 31 + pixel * 13 + pixel / 256);
}

static void write_valid(const char *path)
{
    uint8_t *bytes = xcalloc(RECORDS, RECORD);
    for (int i = 0; i < RECORDS; i++) {
        bytes[(size_t)i * RECORD] = label_of(i);
        for (int k = 0; k < IMAGE; k++)
            bytes[(size_t)i * RECORD + 1 + (size_t)k] = pixel_of(i, k);
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, RECORD, RECORDS, file), RECORDS);
    assert_int_equal(fclose(file), 0);
    xfree(bytes);
}

/* A folder of six valid files, which are one file by six names. */
static int make_place(void **state)
{
    struct place *p = xcalloc(1, sizeof *p);
    *state = p;
    strcpy(p->folder, "/tmp/nbsgd-test-data-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    assert_int_equal(mkdir(in(p, ""), 0755), 0);
    write_valid(in(p, names[0]));
    char first[160];
    strcpy(first, in(p, names[0]));
    for (int i = 1; i < 6; i++)
        assert_int_equal(link(first, in(p, names[i])), 0);
    return 0;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->folder);
    assert_int_equal(system(command), 0);
    xfree(p);
    return 0;
}

/* Runs dataset_open() in a child; its words on stderr go to text. Returns its exit code. */
static int open_in_child(const struct dataset_options *options, char *text, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        dup2(ends[1], STDERR_FILENO);
        dataset_open(options);
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], text + length, size - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = 0;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_refused(const struct dataset_options *options, const char *file,
                           const char *expected, const char *found)
{
    char text[4096];
    int code = open_in_child(options, text, sizeof text);
    if (code != EXIT_USER || !strstr(text, file) || !strstr(text, expected) ||
        !strstr(text, found) || strchr(text, '\n') != strrchr(text, '\n'))
        fail_msg("exit code 2 and one line with '%s', '%s', '%s' expected; exit code %d and: %s",
                 file, expected, found, code, text);
}

enum fault { MISSING, TRUNCATED, LONGER, FOLDER, ZEROS, LABEL };

static void put_bad(const char *path, enum fault fault)
{
    assert_int_equal(unlink(path), 0);
    if (fault == MISSING)
        return;
    if (fault == FOLDER) {
        assert_int_equal(mkdir(path, 0755), 0);
        return;
    }
    if (fault == LABEL)
        write_valid(path);
    int file = open(path, O_WRONLY | O_CREAT, 0644);
    assert_true(file >= 0);
    if (fault == LABEL)
        assert_int_equal(pwrite(file, "\12", 1, (off_t)(RECORDS - 1) * RECORD), 1);
    else
        assert_int_equal(ftruncate(file, fault == TRUNCATED ? 12
                                         : fault == LONGER  ? 30740000
                                                            : (off_t)RECORDS * RECORD),
                         0);
    close(file);
}

/* Each fault in a file of each half is found, also in files beyond the limit. */
static void wrong_files_are_named(void **state)
{
    static const struct {
        enum fault fault;
        const char *expected, *found;
    } cases[] = {
        {MISSING, "30,730,000 bytes expected", "nothing (No such file"},
        {TRUNCATED, "30,730,000 bytes expected", ", 12 found"},
        {LONGER, "30,730,000 bytes expected", ", 30,740,000 found"},
        {FOLDER, "30,730,000 bytes expected", "a folder found"},
        {ZEROS, "images of all 10 classes expected", "of class 1"},
        {LABEL, "labels 0 to 9 expected", "10 in record 9999 found"},
    };
    struct place *p = *state;
    struct dataset_options options = {.name = "cifar10", .folder = p->folder, .limit = 50};
    char good[160];
    strcpy(good, in(p, names[0]));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int k = 0; k < 2; k++) {
            const char *name = names[k ? 5 : 2];
            options.train = !k;
            put_bad(in(p, name), cases[i].fault);
            assert_refused(&options, in(p, name), cases[i].expected, cases[i].found);
            assert_refused(&options, "data_loader/fetch", "--data", "fetch it again");
            remove(in(p, name));
            assert_int_equal(link(good, in(p, name)), 0);
        }
    }
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    struct dataset_options options = {.name = "cifar10", .folder = NULL};
    assert_refused(&options, "cifar10", "--data FOLDER", "data_loader/fetch");
    options.folder = "/nowhere/at/all";
    assert_refused(&options, "/nowhere/at/all/test_batch.bin", "30,730,000 bytes", "nothing");
    options.name = "cifar11";
    assert_refused(&options, "'cifar11'", "cifar10 (", "synthetic (");
}

struct question {
    const char *name, *folder;
};

static void ask(const void *argument)
{
    const struct question *q = argument;
    const char *kind, *where;
    assert_int_equal(chdir("/proc"), 0); /* where no data/ is */
    dataset_find(q->name, q->folder, &kind, &where);
}

/* The folder that was named, by --data or else by $DATA, is the only one looked into. */
static void the_data_set_is_found(void **state)
{
    struct place *p = *state;
    const char *kind, *where, *before = getenv("DATA");
    char inner[160], old[512] = "";
    snprintf(old, sizeof old, "%s", before ? before : "");
    strcpy(inner, in(p, ""));
    for (int k = 0; k < 4; k++) { /* the folder or the inner one; by $DATA or as given */
        const char *folder = k % 2 ? p->folder : inner;
        setenv("DATA", k / 2 ? folder : "", 1);
        dataset_find(k % 2 ? "auto" : "cifar10", k / 2 ? "" : folder, &kind, &where);
        assert_string_equal(kind, "cifar10");
        assert_string_equal(where, folder);
        dataset_find("synthetic", folder, &kind, &where);
        assert_string_equal(kind, "synthetic");
        assert_null(where);
    }
    setenv("DATA", "/nowhere/at/all", 1);
    assert_dies(EXIT_USER, ask, &(struct question){"cifar10", ""},
                (const char *const[]){"DATA=/nowhere/at/all: no cifar10", "No such file",
                                      "data_loader/fetch", NULL});
    assert_dies(EXIT_USER, ask, &(struct question){"auto", ""},
                (const char *const[]){"DATA=/nowhere/at/all: no data set", "No such file", NULL});
    setenv("DATA", p->folder, 1); /* no way out of a folder that was given */
    assert_dies(EXIT_USER, ask, &(struct question){"auto", "/nowhere/at/all"},
                (const char *const[]){"--data /nowhere/at/all", "cifar-10-batches-bin of cifar10",
                                      "data_loader/fetch", NULL});
    assert_dies(EXIT_USER, ask, &(struct question){"cifar10", "/nowhere/at/all"},
                (const char *const[]){"--data /nowhere/at/all: no cifar10", NULL});
    assert_dies(EXIT_USER, ask, &(struct question){"cifar11", ""},
                (const char *const[]){"'cifar11'", "cifar10 (", "synthetic (", NULL});
    unsetenv("DATA");
    assert_dies(EXIT_USER, ask, &(struct question){"cifar10", ""},
                (const char *const[]){"no cifar-10-batches-bin in data/", "--data", "$DATA", NULL});
    dataset_find("auto", "", &kind, &where);
    assert_true(!strcmp(kind, where ? "cifar10" : "synthetic")); /* data/ may be there */
    if (before)
        setenv("DATA", old, 1);
    else
        unsetenv("DATA");
}

/* In an empty folder, an entry of that name: a folder, where it ends in '/'. */
static void make_entry(const char *folder, const char *name)
{
    char command[400];
    snprintf(command, sizeof command,
             "rm -rf '%s' && mkdir '%s' && cd '%s' && mkdir -p \"$(dirname "
             "'%sx')\" && case '%s' in */ | '') ;; *) : >'%s' ;; esac",
             folder, folder, folder, name, name, name);
    assert_int_equal(system(command), 0);
}

/* What is there instead of the files is said, and what to do. */
static void what_is_there_instead_is_said(void **state)
{
    struct place *p = *state;
    static const struct {
        const char *entry, *words;
    } cases[] = {
        {"", "(it is empty)"},
        {"cifar-10-binary.tar.gz", "the archive, not unpacked: tar -xzf cifar-10-binary.tar.gz"},
        {"cifar-10-batches-bin.part/", "a download that broke off: data_loader/fetch cifar10"},
        {"cifar-10-batches-py/",
         "the version for Python of CIFAR-10; the binary version is needed"},
        {"data_batch_1", "the version for Python"},
        {"cifar-10-batches-bin/", "1 other entry, as 'cifar-10-batches-bin'"},
        {"cifar-100-python/", "the version for Python of CIFAR-100"},
        {"cifar-100-binary.tar.gz", "not unpacked: tar -xzf cifar-100-binary.tar.gz"},
        {"cifar/data_batch_3.bin", "cifar10 is in "},
        {"cifar/cifar-10-batches-bin/test_batch.bin", "/cifar: name that"},
        {"notes.txt", "1 other entry, as 'notes.txt'"},
    };
    char folder[100];
    snprintf(folder, sizeof folder, "%s/instead", p->folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_entry(folder, cases[i].entry);
        assert_dies(EXIT_USER, ask, &(struct question){"auto", folder},
                    (const char *const[]){"no data set is found there", cases[i].words, NULL});
    }
    make_entry(folder, "train.bin"); /* the other CIFAR's */
    assert_dies(EXIT_USER, ask, &(struct question){"cifar10", folder},
                (const char *const[]){"no cifar10 is found there",
                                      "it holds cifar100, which is another data set: "
                                      "--dataset cifar100",
                                      NULL});
    make_entry(folder, "notes.txt");
    strcat(folder, "/notes.txt");
    assert_dies(EXIT_USER, ask, &(struct question){"auto", folder},
                (const char *const[]){"it is no folder", NULL});
}

/* An empty folder of the archive's name hides nothing; one missing file is named. */
static void the_files_are_found_beside_an_empty_folder(void **state)
{
    struct place *p = *state;
    const char *kind, *where;
    char command[300];
    snprintf(command, sizeof command,
             "cd '%s' && mv cifar-10-batches-bin/* . && rm data_batch_1.bin", p->folder);
    assert_int_equal(system(command), 0);
    dataset_find("auto", p->folder, &kind, &where);
    assert_string_equal(kind, "cifar10");
    struct dataset_options options = {.name = "cifar10", .folder = p->folder, .train = true};
    assert_refused(&options, "data_batch_1.bin", "nothing (No such file", "fetch it again");
    options.train = false;
    dataset_close(dataset_open(&options));
}

static void assert_records(const struct dataset *d)
{
    for (int64_t i = 0; i < d->count; i++) {
        int record = (int)(i % RECORDS);
        assert_int_equal(d->labels[i], label_of(record));
        for (int k = 0; k < IMAGE; k += i % 100 ? 997 : 1)
            if (d->pixels[i * IMAGE + k] != pixel_of(record, k))
                fail_msg("sample %d, byte %d: %d expected, %d found", (int)i, k,
                         pixel_of(record, k), d->pixels[i * IMAGE + k]);
    }
}

static void files_are_read_as_they_are(void **state)
{
    struct place *p = *state;
    char inner[160];
    strcpy(inner, in(p, ""));
    for (int k = 0; k < 6; k++) {
        const int64_t limits[] = {0, 1, 10000, 10001, 34567, 99999};
        struct dataset_options options = {.name = "cifar10",
                                          .folder = k % 2 ? p->folder : inner,
                                          .train = k != 2,
                                          .limit = limits[k]};
        int64_t all = options.train ? 50000 : 10000;
        struct dataset *d = dataset_open(&options);
        assert_int_equal(d->count, limits[k] && limits[k] < all ? limits[k] : all);
        assert_false(d->generated);
        assert_non_null(strstr(d->source, options.folder));
        assert_int_equal(d->classes * d->channels * d->height * d->width, 10 * IMAGE);
        assert_records(d);
        dataset_close(d);
    }
}

/* (byte / 255 - mean) / deviation to the last bit, channels last. */
static void read_normalises(void **state)
{
    struct place *p = *state;
    struct dataset_options options = {.name = "cifar10", .folder = p->folder, .limit = 40};
    struct dataset *d = dataset_open(&options);
    const float mean[] = {0.4914f, 0.4822f, 0.4465f}, deviation[] = {0.2470f, 0.2435f, 0.2616f};
    float *images = xcalloc(7 * IMAGE, sizeof *images);
    int32_t labels[7];
    dataset_read(d, 33, 7, images, labels);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(labels[i], label_of(33 + i));
        for (int k = 0; k < IMAGE; k++) {
            int c = k % 3, place = k / 3;
            float value =
                ((float)pixel_of(33 + i, c * 1024 + place) / 255.0f - mean[c]) / deviation[c];
            assert_memory_equal(&images[i * IMAGE + k], &value, sizeof value);
        }
    }
    xfree(images);
    dataset_close(d);
}

static void real_cifar_agrees_with_the_constants(void **state)
{
    (void)state;
    if (!getenv("DATA")) {
        printf("SKIPPED: DATA doesn't name the folder of the real images\n");
        skip();
    }
    for (int train = 0; train < 2; train++) {
        struct dataset_options options = {
            .name = "cifar10", .folder = getenv("DATA"), .train = train};
        struct dataset *d = dataset_open(&options);
        int64_t of_class[10] = {0};
        for (int64_t i = 0; i < d->count; i++)
            of_class[d->labels[i]]++;
        for (int c = 0; c < 10; c++)
            assert_int_equal(of_class[c], d->count / 10);
        for (int c = 0; c < 3; c++) {
            double sum = 0, squares = 0, n = (double)d->count * 1024;
            for (int64_t i = 0; i < d->count * 1024; i++) {
                double v = d->pixels[i / 1024 * IMAGE + c * 1024 + i % 1024] / 255.0;
                sum += v;
                squares += v * v;
            }
            double mean = sum / n, deviation = sqrt(squares / n - mean * mean);
            if (fabs(mean - (double)d->mean[c]) > 0.01 ||
                fabs(deviation - (double)d->deviation[c]) > 0.01)
                fail_msg("train %d, channel %d: mean %g and deviation %g found, %g and %g stated",
                         train, c, mean, deviation, (double)d->mean[c], (double)d->deviation[c]);
        }
        dataset_close(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test_setup_teardown(the_data_set_is_found, make_place, remove_place),
        cmocka_unit_test_setup_teardown(what_is_there_instead_is_said, make_place, remove_place),
        cmocka_unit_test_setup_teardown(the_files_are_found_beside_an_empty_folder, make_place,
                                        remove_place),
        cmocka_unit_test_setup_teardown(files_are_read_as_they_are, make_place, remove_place),
        cmocka_unit_test_setup_teardown(wrong_files_are_named, make_place, remove_place),
        cmocka_unit_test_setup_teardown(read_normalises, make_place, remove_place),
        cmocka_unit_test(real_cifar_agrees_with_the_constants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
