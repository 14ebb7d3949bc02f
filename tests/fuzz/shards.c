/* Shards and archives: an input is a byte that says which, and a file. What is taken lies in the
 * file, has labels below the number of classes, and, in a shard, is found whole by shard_check()
 * only if all of its images have their digests. */
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "data_loader/bundle.h"

struct attempt {
    const char *path;
    bool shard;
    struct bundle_list list;
    int number, of;
};

static void read_list(void *self)
{
    struct attempt *a = self;
    if (a->shard)
        shard_read(&a->list, a->path, 0, &a->number, &a->of);
    else
        tar_read(&a->list, a->path, 0);
}

static void check_list(const struct attempt *a, const uint8_t *bytes, size_t size)
{
    bool whole = true;
    char why[BUNDLE_WHY];
    for (int64_t i = 0; i < a->list.count; i++) {
        const struct bundle_image *m = &a->list.image[i];
        if (m->offset < 0 || m->bytes < 0 || (size_t)m->offset > size ||
            (size_t)m->bytes > size - (size_t)m->offset)
            fuzz_defect("an image of %d bytes at %lld of %zu", m->bytes, (long long)m->offset,
                        size);
        if (m->label < 0 || m->label >= a->list.classes)
            fuzz_defect("label %d of %d classes", m->label, a->list.classes);
        whole = whole && digest_of(bytes + m->offset, (size_t)m->bytes) == m->digest;
    }
    if (a->shard && (a->number < 0 || a->number >= a->of))
        fuzz_defect("shard %d of %d", a->number, a->of);
    if (a->shard && shard_check(a->path, why) != whole)
        fuzz_defect("a shard is %s that is %s", whole ? "refused" : "taken",
                    whole ? "whole" : "damaged");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!size)
        return 0;
    struct attempt a = {.path = fuzz_file(bytes + 1, size - 1), .shard = bytes[0] % 2};
    if (!fuzz_try(read_list, &a)) {
        check_list(&a, bytes + 1, size - 1);
        bundle_close(&a.list);
    }
    return 0;
}

static size_t write_shard(uint8_t *bytes, int images)
{
    char path[300];
    snprintf(path, sizeof path, "%s/good.shard", fuzz_folder());
    FILE *f = fopen(path, "w+b");
    struct shard_writer *w = shard_begin(f, images % 2, 2, 2, "cat\0dog", 8);
    for (int i = 0; i < images; i++)
        shard_add(w, "an image" + i, 8 - (size_t)i, i % 2);
    bool good = shard_end(w) && !fseek(f, 0, SEEK_SET);
    size_t size = good ? fread(bytes, 1, FUZZ_SEED_MOST - 1, f) : 0;
    fclose(f);
    return size;
}

/* A header of tar; its checksum is set. */
static void put_header(uint8_t *block, const char *name, size_t size, char type)
{
    unsigned sum = 0;
    char text[16];
    snprintf((char *)block, 100, "%s", name);
    snprintf(text, sizeof text, "%011zo", size);
    memcpy(block + 124, text, 12);
    block[156] = (uint8_t)type;
    memcpy(block + 257, "ustar", 6);
    memset(block + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += block[i];
    snprintf(text, sizeof text, "%06o", sum);
    memcpy(block + 148, text, 7);
}

static size_t write_tar(uint8_t *bytes, int kind)
{
    static const char pax[] = "21 path=other/1.jpg\n";
    uint8_t *at = bytes;
    memset(bytes, 0, FUZZ_SEED_MOST - 1);
    if (kind) {
        put_header(at, "long", kind == 1 ? sizeof pax - 1 : 11, kind == 1 ? 'x' : 'L');
        memcpy(at + 512, kind == 1 ? pax : "other/1.jpg", kind == 1 ? sizeof pax - 1 : 11);
        at += 1024;
    }
    put_header(at, "0/1.jpg", 5, '0');
    memcpy(at + 512, "image", 5);
    put_header(at + 1024, kind ? "other/1.cls" : "0/1.cls", 2, kind == 2 ? 0 : '0');
    memcpy(at + 1536, "7\n", 2);
    return (size_t)(at - bytes) + 2048 + 512;
}

size_t fuzz_seed(int number, uint8_t *bytes)
{
    bytes[0] = number < 3;
    if (number < 3)
        return 1 + write_shard(bytes + 1, number);
    return number < 6 ? 1 + write_tar(bytes + 1, number - 3) : 0;
}
