/* CIFAR-10's files: an input is a list of changes to a good one of 30 MB, three bytes each. A
 * record below 10,000 gets that label; any other number is the bytes that the file is longer or
 * shorter. The reader must take exactly the files that are as long as they must be, and have labels
 * of 0 to 9, each of them somewhere. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "data_loader/data_loader.h"

enum { RECORDS = 10000, RECORD = 3073, CLASSES = 10, LENGTH = RECORDS * RECORD, MIDDLE = 40000 };

static struct {
    int file;
    uint8_t label[RECORDS];
} all;

static void set(int record, uint8_t label)
{
    all.label[record] = label;
    if (pwrite(all.file, &label, 1, (off_t)record * RECORD) != 1)
        fuzz_defect("cannot write a label");
}

/* Record r has label r mod 10 below 10, and 0 from there on. */
static uint8_t good_label(int record)
{
    return (uint8_t)(record < CLASSES ? record : 0);
}

void fuzz_open(void)
{
    char path[300];
    snprintf(path, sizeof path, "%s/test_batch.bin", fuzz_folder());
    all.file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (all.file < 0 || ftruncate(all.file, LENGTH))
        fuzz_defect("cannot write %s", path);
    for (int i = 0; i < CLASSES; i++)
        set(i, good_label(i));
}

static void read_images(void *self)
{
    (void)self;
    dataset_close(dataset_open(
        &(struct dataset_options){.name = "cifar10", .folder = fuzz_folder(), .limit = 10}));
}

static bool is_good(off_t length)
{
    bool seen[CLASSES] = {false};
    int classes = 0;
    for (int i = 0; i < RECORDS; i++) {
        if (all.label[i] >= CLASSES)
            return false;
        classes += !seen[all.label[i]];
        seen[all.label[i]] = true;
    }
    return length == LENGTH && classes == CLASSES;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fuzz_input in = {bytes, bytes + size};
    off_t length = LENGTH;
    while (in.at < in.end) {
        int number = (int)fuzz_number(&in, 2);
        uint8_t label = fuzz_byte(&in);
        if (number < RECORDS)
            set(number, label);
        else
            length = LENGTH + number - MIDDLE;
    }
    if (ftruncate(all.file, length))
        fuzz_defect("cannot set a length");
    if (!fuzz_try(read_images, NULL) != is_good(length))
        fuzz_defect("a %s file is %s", is_good(length) ? "good" : "bad",
                    is_good(length) ? "refused" : "taken");
    if (ftruncate(all.file, LENGTH))
        fuzz_defect("cannot set a length");
    for (in.at = bytes; in.at < in.end; in.at++) {
        int number = (int)fuzz_number(&in, 2);
        if (number < RECORDS)
            set(number, good_label(number));
    }
    return 0;
}

size_t fuzz_seed(int number, uint8_t *bytes)
{
    static const uint8_t changes[][3] = {{200, 0, 7},  {15, 39, 9},  {3, 0, 0},  {4, 0, 11},
                                         {64, 156, 0}, {63, 156, 0}, {0, 200, 0}};
    if (number >= (int)(sizeof changes / sizeof *changes))
        return 0;
    memcpy(bytes, changes[number], 3);
    return 3;
}
