/* MNIST's files, plain or packed: of a half's two files the input is one, as its first byte says,
 * and the other is good. Ten images. Taken is what has ten labels that are good; of plain labels it
 * is known which are. */
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "data_loader/data_loader.h"
#include "tests/idx_files.h"

enum { COUNT = 10, HEAD = 8 };

static const char *const names[] = {"t10k-labels-idx1-ubyte", "t10k-images-idx3-ubyte"};

static void write_file(const char *name, const uint8_t *bytes, size_t size)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file))
        fuzz_defect("cannot write %s", path);
}

static void write_good(int which)
{
    uint8_t *bytes = xcalloc(1, IDX_FILE_MOST);
    size_t size = which ? idx_images(bytes, COUNT) : idx_labels(bytes, COUNT);
    write_file(names[which], bytes, size);
    xfree(bytes);
}

void fuzz_open(void)
{
    write_good(0);
    write_good(1);
}

static void read_images(void *self)
{
    (void)self;
    struct dataset *d =
        dataset_open(&(struct dataset_options){.name = "mnist", .folder = fuzz_folder()});
    if (d->count != COUNT)
        fuzz_defect("%lld samples instead of %d", (long long)d->count, COUNT);
    for (int i = 0; i < COUNT; i++)
        if (d->labels[i] < 0 || d->labels[i] > 9)
            fuzz_defect("label %d", d->labels[i]);
    dataset_close(d);
}

static bool are_good_labels(const uint8_t *bytes, size_t size)
{
    static const uint8_t head[HEAD] = {0, 0, 8, 1, 0, 0, 0, COUNT};
    unsigned seen = 0;
    if (size != HEAD + COUNT || memcmp(bytes, head, HEAD))
        return false;
    for (int i = HEAD; i < HEAD + COUNT; i++)
        seen |= bytes[i] < 10 ? 1u << bytes[i] : 1u << 10;
    return seen == (1u << 10) - 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int which = size ? bytes[0] & 1 : 0;
    bool packed = size > 2 && bytes[1] == 0x1f && bytes[2] == 0x8b;
    bytes += size > 0;
    size -= size > 0;
    write_file(names[which], bytes, size);
    bool taken = !fuzz_try(read_images, NULL);
    if (!which && !packed && taken != are_good_labels(bytes, size))
        fuzz_defect("%s labels are %s", taken ? "bad" : "good", taken ? "taken" : "refused");
    write_good(which);
    return 0;
}

/* Labels, images whose head alone is there, and both packed. */
size_t fuzz_seed(int number, uint8_t *bytes)
{
    uint8_t *file = xcalloc(1, IDX_FILE_MOST);
    size_t size = number % 2 ? idx_images(file, COUNT) : idx_labels(file, COUNT);
    if (number == 1)
        size = 100;
    if (number > 1)
        size = idx_pack(file, size);
    bool fits = number < 4 && size < FUZZ_SEED_MOST;
    bytes[0] = (uint8_t)(number % 2);
    if (fits)
        memcpy(bytes + 1, file, size);
    xfree(file);
    return fits ? size + 1 : 0;
}
