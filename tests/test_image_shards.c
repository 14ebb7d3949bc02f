/* Images in shards and archives: the same as in class folders; what is truncated, damaged or
 * missing; copies on another disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "data_loader/data_loader.h"
#include "data_loader/bundle.h"
#include "data_loader/preload.h"
#include "tests/death_test.h"
#include "tests/image_files.h"
#include "tests/own_folder.h"

enum { EACH = 7, FLOATS = 224 * 224 * 3 };

/* Two classes of images, `in/train` and `in/val`. */
static void make_images(void)
{
    static const char *const folders[] = {"in",     "in/train",     "in/train/a cat", "in/train/b",
                                          "in/val", "in/val/a cat", "in/val/b"};
    char path[100];
    for (int i = 0; i < 7; i++)
        assert_int_equal(mkdir(folders[i], 0777), 0);
    for (int i = 0; i < 4 * EACH; i++) {
        snprintf(path, sizeof path, "in/%s/%s/%d.jpg", i % 2 ? "train" : "val",
                 i / 2 % 2 ? "a cat" : "b", i);
        struct file_bytes f = image_file_jpeg(&(struct jpeg_file){
            .width = 40 + 5 * i, .height = 90 - 2 * i, .colours = JPEG_COLOUR, .across = 2});
        image_file_save(path, &f);
        free(f.bytes);
    }
}

static struct pack_options packing(int64_t shard_bytes, int short_side)
{
    return (struct pack_options){.folder = "in",
                                 .out = "out",
                                 .shard_bytes = shard_bytes,
                                 .short_side = short_side,
                                 .quality = 95};
}

static void pack(int64_t shard_bytes, int short_side)
{
    const struct pack_options o = packing(shard_bytes, short_side);
    dataset_pack(&o);
}

static struct dataset *open_data(const char *kind, const char *folder, bool train, int64_t limit)
{
    return dataset_open(&(struct dataset_options){
        .name = kind, .folder = folder, .train = train, .limit = limit, .threads = 3});
}

/* Both have the same samples: labels, pixels as they are judged, mini-batches as they are trained
 * on. */
static void assert_same(struct dataset *a, struct dataset *b)
{
    enum { BATCH = 4 };
    float *x = xcalloc(FLOATS, sizeof *x), *y = xcalloc(FLOATS, sizeof *y);
    int32_t label, other;
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->classes, b->classes);
    for (int64_t i = 0; i < a->count; i++) {
        dataset_read(a, i, 1, x, &label);
        dataset_read(b, i, 1, y, &other);
        assert_int_equal(label, other);
        assert_memory_equal(x, y, FLOATS * sizeof *x);
    }
    const struct loader_options o = {.batch = BATCH, .seed = 1, .workers = 1, .augment = true};
    struct loader *l = loader_open(a, &o), *m = loader_open(b, &o);
    for (int i = 0; i < 5; i++)
        assert_memory_equal(loader_batch(l, i).images, loader_batch(m, i).images,
                            BATCH * FLOATS * sizeof *x);
    loader_close(l);
    loader_close(m);
    xfree(x);
    xfree(y);
}

static void shards_are_the_folder(void **state)
{
    (void)state;
    make_images();
    pack(20000, 0);
    assert_int_equal(access("out/train-00001.shard", F_OK), 0);
    for (int train = 0; train < 2; train++)
        for (int64_t limit = 0; limit < 9; limit += 8) {
            struct dataset *a = open_data("folder", "in", train, limit),
                           *b = open_data("shards", "out", train, limit);
            assert_same(a, b);
            assert_string_equal(b->class_names[0], "a cat");
            assert_string_equal(b->class_names[1], "b");
            dataset_close(a);
            dataset_close(b);
        }
}

static void images_are_shrunk(void **state)
{
    (void)state;
    make_images();
    pack(1 << 20, 50);
    struct dataset *a = open_data("folder", "in", true, 0),
                   *b = open_data("shards", "out", true, 0);
    float *x = xcalloc(FLOATS, sizeof *x), *y = xcalloc(FLOATS, sizeof *y);
    int32_t label, other;
    for (int64_t i = 0; i < a->count; i++) {
        double off = 0;
        dataset_read(a, i, 1, x, &label);
        dataset_read(b, i, 1, y, &other);
        assert_int_equal(label, other);
        for (int p = 0; p < FLOATS; p++)
            off += (x[p] > y[p] ? x[p] - y[p] : y[p] - x[p]) / FLOATS;
        if (off > 0.25) /* a quarter of a deviation: they show the same */
            fail_msg("image %lld: %.3f off", (long long)i, off);
    }
    dataset_close(a);
    dataset_close(b);
    xfree(x);
    xfree(y);
    struct stat s, t;
    assert_int_equal(stat("out/train-00000.shard", &s), 0);
    assert_int_equal(system("rm -r out"), 0);
    pack(1 << 20, 0);
    assert_int_equal(stat("out/train-00000.shard", &t), 0);
    assert_true(s.st_size < t.st_size);
}

/* WebDataset's layout, by tar itself: sample files together, long names, a folder in it. */
static void archives_are_read(void **state)
{
    (void)state;
    make_images();
    const char *script =
        "mkdir -p tar/0; for half in train val; do n=0; for f in in/$half/*/*.jpg; do "
        "case $f in */b/*) c=1 ;; *) c=0 ;; esac; "
        "k=tar/0/$(printf '%s%0130d' $half $n); cp \"$f\" $k.jpg; echo $c >$k.cls; "
        "echo '{}' >$k.json; n=$((n + 1)); done; "
        "tar --sort=name --format=FORMAT -cf tar/$half-0.tar -C tar 0; rm tar/0/*; done";
    for (int format = 0; format < 3; format++) {
        static const char *const formats[] = {"gnu", "pax", "ustar"};
        char command[1000];
        const char *at = strstr(script, "FORMAT");
        snprintf(command, sizeof command, "%.*s%s%s", (int)(at - script), script, formats[format],
                 at + 6);
        assert_int_equal(system(format < 2 ? command : "true"), 0);
        struct dataset *b = open_data("shards", "tar", true, 0);
        struct dataset *c = open_data("shards", "tar", false, 0);
        assert_int_equal(b->count, 2 * EACH);
        assert_int_equal(c->classes, 2);
        int ones = 0;
        for (int64_t i = 0; i < b->count; i++)
            ones += b->labels[i];
        assert_int_equal(ones, EACH);
        struct dataset *a = open_data("folder", "in", true, 0);
        assert_same(a, b);
        dataset_close(a);
        dataset_close(b);
        dataset_close(c);
    }
}

/* --- damage */

static void open_all(const void *argument)
{
    float *x = xcalloc(FLOATS, sizeof *x);
    int32_t label;
    struct dataset *d = open_data("shards", argument, true, 0);
    for (int64_t i = 0; i < d->count; i++)
        dataset_read(d, i, 1, x, &label);
    exit(0);
}

static void assert_refused(const char *folder, const char *words, const char *more)
{
    const char *const all[] = {words, more, NULL};
    assert_dies(EXIT_USER, open_all, folder, all);
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    int byte = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(byte ^ 4, f);
    fclose(f);
}

static void damaged_shards_are_named(void **state)
{
    (void)state;
    make_images();
    pack(20000, 0);
    const char *path = "out/train-00001.shard", *image = "out/train-00001.shard: the image at byte";
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    /* any byte: header, image, index, names */
    static const long places[] = {0, 20, 60, 64, 900, -1, -9, -40};
    static const char *const words[] = {
        "does not begin",   "header is damaged", "header is damaged", NULL, NULL,
        "index is damaged", "index is damaged",  "index is damaged"};
    for (int i = 0; i < 8; i++) {
        char why[BUNDLE_WHY];
        flip(path, places[i]);
        assert_refused("out", words[i] ? words[i] : image, words[i] ? path : "it is damaged");
        assert_false(shard_check(path, why));
        flip(path, places[i]);
        assert_true(shard_check(path, why));
    }
    assert_int_equal(truncate(path, s.st_size - 1), 0);
    assert_refused("out", "train-00001.shard: it is truncated", "copy or pack it anew");
    assert_int_equal(truncate(path, 63), 0);
    assert_refused("out", "train-00001.shard: it is truncated: it has no header", NULL);
    unlink(path);
    assert_refused("out", "shards number 1 is missing", NULL);
}

static void damaged_archives_are_named(void **state)
{
    (void)state;
    assert_int_equal(mkdir("tar", 0777), 0);
    assert_int_equal(system("cd tar && echo x >a.jpg && echo 3 >a.cls && tar -cf train.tar a.cls "
                            "a.jpg && cp train.tar good"),
                     0);
    assert_refused("tar", "tar/train.tar: the image at byte 1536", "it is no image");
    flip("tar/train.tar", 10);
    assert_refused("tar", "tar/train.tar, at byte 0: a header that is damaged", NULL);
    assert_int_equal(system("head -c 1500 tar/good >tar/train.tar"), 0);
    assert_refused("tar", "at byte 1024: it is truncated", NULL);
    assert_int_equal(system("head -c 2048 tar/good >tar/train.tar"), 0);
    assert_refused("tar", "at byte 2048: it is truncated", NULL);
    assert_int_equal(system("cd tar && tar -cf train.tar a.jpg"), 0);
    assert_refused("tar", "the image a has no label", "a.cls");
    assert_int_equal(system("cd tar && echo cat >a.cls && tar -cf train.tar a.jpg a.cls"), 0);
    assert_refused("tar", "a label that is no number", NULL);
}

/* --- packing */

static void pack_again(const void *argument)
{
    (void)argument;
    pack(20000, 0);
    exit(0);
}

static void nothing_is_packed_over(void **state)
{
    (void)state;
    const char *const words[] = {"out/train-00000.shard: it cannot be written: File exists", NULL},
                      *const broken[] = {"in/train/b/0.jpg: it is no image", "--skip", NULL};
    make_images();
    pack(20000, 0);
    assert_dies(EXIT_USER, pack_again, NULL, words);
    assert_int_equal(system("rm -r out; echo no >in/train/b/0.jpg"), 0);
    assert_dies(EXIT_USER, pack_again, NULL, broken);
    assert_int_equal(system("ls -A out | grep -q 'train-00001\\|part'"), 256);
    assert_int_equal(system("rm -rf out"), 0);
    struct pack_options o = packing(1 << 20, 0);
    o.skip = true;
    dataset_pack(&o);
    struct dataset *d = open_data("shards", "out", true, 0);
    assert_int_equal(d->count, 2 * EACH);
    dataset_close(d);
}

/* --- copies */

static bool is_empty(const char *folder)
{
    char command[100];
    snprintf(command, sizeof command, "ls -A %s | grep -q .", folder);
    return system(command);
}

static void copies_are_made_once_and_removed(void **state)
{
    (void)state;
    char *paths[] = {"out/train-00000.shard", "out/train-00001.shard"}, why[BUNDLE_WHY];
    make_images();
    pack(20000, 0);
    assert_int_equal(mkdir("disk", 0777), 0);
    struct preload *p = preload_open("disk", paths, 2), *q = preload_open("disk", paths, 2);
    assert_string_equal(preload_path(p, 1), preload_path(q, 1));
    assert_true(shard_check(preload_path(p, 0), why));
    preload_close(p);
    assert_true(shard_check(preload_path(q, 1), why));
    preload_close(q);
    assert_true(is_empty("disk"));
}

static void preload_two(const void *argument)
{
    char *paths[] = {"out/train-00000.shard", "out/train-00001.shard"};
    struct preload *p = preload_open("disk", paths, 2);
    if (argument)
        abort(); /* the copies stay */
    preload_close(p);
    exit(0);
}

static void a_copy_that_broke_off_is_gone_on_with(void **state)
{
    (void)state;
    const char *const damaged[] = {"out/train-00001.shard: its image 0", "copy or pack it anew",
                                   NULL};
    char said[1000];
    make_images();
    pack(20000, 0);
    assert_int_equal(mkdir("disk", 0777), 0);
    death_test(preload_two, "killed", said, sizeof said);
    assert_false(is_empty("disk"));
    /* one broke off in the middle, one has a wrong byte in it */
    assert_int_equal(system("cd disk/nbsgd-* && mv train-00000.shard train-00000.shard.part && "
                            "truncate -s 5000 train-00000.shard.part && "
                            "mv train-00001.shard train-00001.shard.part && "
                            "printf x | dd of=train-00001.shard.part bs=1 seek=3000 conv=notrunc "
                            "2>/dev/null"),
                     0);
    assert_int_equal(death_test(preload_two, NULL, said, sizeof said), 0);
    assert_true(is_empty("disk"));
    flip("out/train-00001.shard", 70);
    assert_dies(EXIT_USER, preload_two, NULL, damaged);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, own_folder_enter, own_folder_leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shards_are_the_folder),
        TEST(images_are_shrunk),
        TEST(archives_are_read),
        TEST(damaged_shards_are_named),
        TEST(damaged_archives_are_named),
        TEST(nothing_is_packed_over),
        TEST(copies_are_made_once_and_removed),
        TEST(a_copy_that_broke_off_is_gone_on_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
