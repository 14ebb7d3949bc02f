/* Images in class folders: which there are, what is refused, and mini-batches of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <png.h>

#include "base/alloc.h"
#include "base/check.h"
#include "bitmap/bitmap.h"
#include "data_loader/class_folder.h"
#include "data_loader/class_listing.h"
#include "data_loader/data_loader.h"
#include "tests/death_test.h"
#include "tests/image_files.h"
#include "tests/own_folder.h"

enum { SIDE = 24 };

static void save_jpeg(const char *path, int width, int height)
{
    struct file_bytes f = image_file_jpeg(&(struct jpeg_file){
        .width = width, .height = height, .colours = JPEG_COLOUR, .across = 2, .down = 2});
    image_file_save(path, &f);
    free(f.bytes);
}

static void save_text(const char *path, const char *text)
{
    image_file_save(path, &(struct file_bytes){(uint8_t *)text, strlen(text)});
}

static void make_folder(const char *path)
{
    assert_int_equal(mkdir(path, 0777), 0);
}

/* Two classes of `each` images, and one image of each to judge by. */
static void make_small(int each)
{
    static const char *const folders[] = {"train", "val", "train/a", "train/b", "val/a", "val/b"};
    char path[100];
    for (int i = 0; i < 6; i++)
        make_folder(folders[i]);
    for (int i = 0; i < each; i++)
        for (int c = 0; c < 2; c++) {
            snprintf(path, sizeof path, "train/%c/%03d.jpg", 'a' + c, i);
            save_jpeg(path, 30 + 7 * i % 50, 40 + 3 * i % 20 + c);
        }
    save_jpeg("val/a/1.jpg", 50, 40);
    save_jpeg("val/b/1.jpg", 40, 50);
}

static struct class_folder_options rendering(const char *unreadable, int threads)
{
    return (struct class_folder_options){.side = SIDE,
                                         .crop_area = 0.08,
                                         .quick = true,
                                         .unreadable = unreadable,
                                         .threads = threads};
}

static struct dataset *open_folder(bool train, int64_t limit, const char *unreadable, int threads)
{
    struct class_folder_options own = rendering(unreadable, threads);
    return dataset_open(&(struct dataset_options){
        .name = "folder", .folder = ".", .train = train, .limit = limit, .own = &own});
}

/* --- what there is */

static void files_come_in_torchvisions_order(void **state)
{
    (void)state;
    /* as sorted(os.walk()) and sorted() of torchvision's ImageFolder give them */
    static const char *const wanted[] = {
        "train/A/x.jpg",           "train/an apple/2 b.JPEG",   "train/an apple/é.png",
        "train/an apple/in/a.jpg", "train/an apple/in-2/b.jpg", "train/été/1.jpg"};
    static const char *const folders[] = {
        "train",        "train/été",         "train/an apple",
        "train/A",      "train/an apple/in", "train/an apple/in-2",
        "train/.hidden"};
    for (int i = 0; i < 7; i++)
        make_folder(folders[i]);
    for (int i = 5; i >= 0; i--)
        save_jpeg(wanted[i], 10 + i, 10);
    save_text("train/A/notes.txt", "no image");
    save_text("train/A/._x.jpg", "what a system left");
    save_jpeg("train/.hidden/1.jpg", 9, 9);
    save_jpeg("train/0.jpg", 9, 9);
    static const int labels[] = {0, 1, 1, 1, 1, 2};
    struct class_listing l;
    char path[LISTED_PATH];
    assert_true(class_listing_open(&l, "train"));
    class_listing_read(&l, &l);
    assert_int_equal(l.classes, 3);
    assert_int_equal(l.count, 6);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(class_listing_path(&l, i, path), wanted[i]);
        assert_int_equal(l.file[i].label, labels[i]);
    }
    class_listing_close(&l);
    struct dataset *d = open_folder(true, 0, "refuse", 1);
    assert_string_equal(d->class_names[0], "A");
    assert_string_equal(d->class_names[2], "été");
    dataset_close(d);
}

static void links_are_followed_but_not_in_circles(void **state)
{
    (void)state;
    make_small(2);
    make_folder("elsewhere");
    save_jpeg("elsewhere/z.jpg", 20, 20);
    assert_int_equal(symlink("../../elsewhere", "train/a/more"), 0);
    assert_int_equal(symlink("..", "train/b/up"), 0);
    assert_int_equal(symlink("../a/000.jpg", "train/b/linked.jpg"), 0);
    struct class_listing l;
    assert_true(class_listing_open(&l, "train"));
    class_listing_read(&l, &l);
    assert_int_equal(l.count, 6);
    assert_int_equal(l.loops, 1);
    assert_string_equal(l.first_loop, "train/b/up");
    char path[LISTED_PATH];
    assert_string_equal(class_listing_path(&l, 2, path), "train/a/more/z.jpg");
    class_listing_close(&l);
}

static void a_hundred_thousand_files_are_listed(void **state)
{
    (void)state;
    enum { CLASSES = 10, EACH = 10000 };
    char path[100], first[100];
    make_folder("train");
    for (int c = 0; c < CLASSES; c++) {
        snprintf(first, sizeof first, "train/class %d", c);
        make_folder(first);
        strcat(first, "/0.jpg");
        save_text(first, "x");
        for (int i = 1; i < EACH; i++) {
            snprintf(path, sizeof path, "train/class %d/%d.jpg", c, i);
            if (link(first, path))
                fail_msg("%s cannot be made", path);
        }
    }
    struct class_listing l;
    assert_true(class_listing_open(&l, "train"));
    class_listing_read(&l, &l);
    assert_int_equal(l.count, CLASSES * EACH);
    assert_string_equal(class_listing_path(&l, EACH + 2, path), "train/class 1/10.jpg");
    class_listing_close(&l);
}

static uint64_t digest_now(void)
{
    struct dataset *d = open_folder(true, 0, "refuse", 1);
    uint64_t value = dataset_digest(d);
    dataset_close(d);
    return value;
}

static void a_digest_is_of_names_and_lengths(void **state)
{
    (void)state;
    make_small(2);
    uint64_t first = digest_now();
    assert_true(digest_now() == first);
    assert_int_equal(rename("train/a/000.jpg", "train/a/0000.jpg"), 0);
    uint64_t renamed = digest_now();
    assert_true(renamed != first);
    assert_int_equal(rename("train/a/0000.jpg", "train/a/000.jpg"), 0);
    assert_true(digest_now() == first);
    FILE *f = fopen("train/b/001.jpg", "ab");
    fputc(0, f);
    fclose(f);
    assert_true(digest_now() != first);
}

static void a_limit_takes_of_all_classes(void **state)
{
    (void)state;
    make_small(30);
    struct dataset *d = open_folder(true, 20, "refuse", 1);
    int ones = 0;
    assert_int_equal(d->count, 20);
    for (int i = 0; i < 20; i++)
        ones += d->labels[i];
    assert_in_range(ones, 5, 15);
    dataset_close(d);
}

/* --- what is refused */

struct opening {
    bool train;
    const char *unreadable;
    int64_t read; /* a sample; -1: none */
};

static void open_and_read(const void *argument)
{
    const struct opening *o = argument;
    struct dataset *d = open_folder(o->train, 0, o->unreadable, 3);
    float *image = xcalloc(SIDE * SIDE, 3 * sizeof *image);
    int32_t label;
    if (o->read >= 0)
        dataset_read(d, o->read, 1, image, &label);
    xfree(image);
    dataset_close(d);
    exit(0);
}

static void assert_refused(struct opening o, const char *words, const char *more)
{
    const char *const all[] = {words, more, NULL};
    assert_dies(EXIT_USER, open_and_read, &o, all);
}

static void folders_that_are_wrong_are_named(void **state)
{
    (void)state;
    const struct opening train = {true, "refuse", -1}, test = {false, "refuse", -1};
    make_small(1);
    make_folder("train/empty");
    assert_refused(train, "./train: 1 class folder has no image", "'empty'");
    assert_int_equal(rmdir("train/empty"), 0);
    make_folder("val/c");
    save_jpeg("val/c/1.jpg", 9, 9);
    assert_refused(test, "no class 'c' is in ./train", NULL);
    assert_int_equal(system("rm -r val"), 0);
    assert_refused(test, "neither val/ nor test/", "--val-split");
    assert_int_equal(rename("train", "other"), 0);
    assert_refused(train, "./train", NULL);
}

static void files_that_cannot_be_read_are_named(void **state)
{
    (void)state;
    const struct opening train = {true, "refuse", -1}, checked = {true, "check", -1},
                         skipped = {true, "skip", -1}, met = {true, "refuse", 0};
    make_small(4);
    save_text("train/a/empty.jpg", "");
    assert_refused(train, "1 of 9 files cannot be read", "train/a/empty.jpg (it has no byte)");
    assert_int_equal(unlink("train/a/empty.jpg"), 0);
    assert_int_equal(symlink("nowhere", "train/a/link.png"), 0);
    assert_refused(train, "train/a/link.png (a link to nothing", "--unreadable skip");
    assert_int_equal(unlink("train/a/link.png"), 0);
    /* text under an image's name comes first: it is met, checked for, or left out */
    save_text("train/a/0.jpg", "<html>");
    save_text("train/b/0.png", "GIF89a");
    assert_refused(met, "train/a/0.jpg: it is HTML or XML", "--unreadable check");
    assert_refused(checked, "2 of 10 files cannot be read", "train/b/0.png (it is GIF");
    char said[1000];
    assert_int_equal(death_test(open_and_read, &skipped, said, sizeof said), 0);
    assert_non_null(strstr(said, "2 of 10 files are left out, as ./train/a/0.jpg (it is HTML"));
    struct dataset *d = open_folder(true, 0, "skip", 2);
    assert_int_equal(d->count, 8);
    dataset_close(d);
    assert_int_equal(system("rm train/a/00*"), 0);
    assert_refused(skipped, "./train/a: none of its files can be read", NULL);
}

static void change(const void *argument)
{
    struct dataset *d = open_folder(true, 0, "refuse", 2);
    float *image = xcalloc(SIDE * SIDE, 3 * sizeof *image);
    int32_t label;
    if (argument)
        save_text("train/a/000.jpg", argument);
    else
        unlink("train/a/000.jpg");
    dataset_read(d, 0, 1, image, &label);
}

static void a_folder_that_changes_is_named(void **state)
{
    (void)state;
    const char *const changed[] = {"train/a/000.jpg: it has 7 bytes now, and had", NULL},
                      *const gone[] = {"train/a/000.jpg: No such file", NULL};
    make_small(2);
    assert_dies(EXIT_USER, change, "changed", changed);
    save_jpeg("train/a/000.jpg", 30, 30);
    assert_dies(EXIT_USER, change, NULL, gone);
}

static void an_ending_may_lie(void **state)
{
    (void)state;
    make_small(1);
    struct file_bytes f = image_file_png(&(struct png_file){40, 30, 8, PNG_COLOR_TYPE_RGB, false});
    image_file_save("train/a/000.jpg", &f);
    free(f.bytes);
    const struct opening checked = {true, "check", 0};
    char said[1000];
    assert_int_equal(death_test(open_and_read, &checked, said, sizeof said), 0);
    assert_string_equal(said, "");
}

/* --- mini-batches */

/* Images, labels and samples of three passes; the sum of what is in them. */
static void read_batches(int threads, int prefetch, bool augment, float *images, int32_t *samples)
{
    enum { BATCH = 5, BATCHES = 12 };
    struct dataset *d = open_folder(true, 0, "refuse", threads);
    struct loader *l = loader_open(
        d, &(struct loader_options){
               .batch = BATCH, .seed = 3, .workers = 1, .augment = augment, .prefetch = prefetch});
    for (int b = 0; b < BATCHES; b++) {
        struct batch batch = loader_batch(l, b);
        memcpy(images + (int64_t)b * BATCH * SIDE * SIDE * 3, batch.images,
               BATCH * SIDE * SIDE * 3 * sizeof *images);
        memcpy(samples + b * BATCH, batch.samples, BATCH * sizeof *samples);
        for (int i = 0; i < BATCH; i++)
            assert_int_equal(batch.labels[i], d->labels[batch.samples[i]]);
    }
    loader_close(l);
    dataset_close(d);
}

static void mini_batches_are_the_same_for_any_threads(void **state)
{
    (void)state;
    enum { IMAGES_READ = 60, FLOATS = IMAGES_READ * SIDE * SIDE * 3 };
    make_small(10);
    float *first = xcalloc(FLOATS, sizeof *first), *again = xcalloc(FLOATS, sizeof *again);
    int32_t first_samples[IMAGES_READ], samples[IMAGES_READ];
    read_batches(1, 0, true, first, first_samples);
    static const int runs[][2] = {{1, 2}, {2, 0}, {3, 3}, {8, 1}};
    for (int i = 0; i < 4; i++) {
        read_batches(runs[i][0], runs[i][1], true, again, samples);
        assert_memory_equal(samples, first_samples, sizeof samples);
        assert_memory_equal(again, first, FLOATS * sizeof *first);
    }
    read_batches(2, 0, false, again, samples);
    assert_memory_equal(samples, first_samples, sizeof samples);
    assert_memory_not_equal(again, first, FLOATS * sizeof *first);
    xfree(first);
    xfree(again);
}

/* An image comes in each pass, cropped otherwise each time; without augmentation it is the same. */
static void each_pass_crops_otherwise(void **state)
{
    (void)state;
    enum { IMAGES_READ = 60, SIZE = SIDE * SIDE * 3, EACH = 10 };
    make_small(EACH);
    float *images = xcalloc(IMAGES_READ * SIZE, sizeof *images);
    int32_t samples[IMAGES_READ];
    for (int augment = 0; augment < 2; augment++) {
        read_batches(2, 2, augment, images, samples);
        for (int i = 0; i < 2 * EACH; i++)
            for (int j = 2 * EACH; j < IMAGES_READ; j++)
                if (samples[i] == samples[j])
                    assert_int_equal(
                        !memcmp(images + i * SIZE, images + j * SIZE, SIZE * sizeof *images),
                        !augment);
    }
    xfree(images);
}

/* What is judged is the middle of the resized image, normalised as torchvision's models want it. */
static void what_is_judged_is_the_middle(void **state)
{
    (void)state;
    static const float mean[] = {0.485f, 0.456f, 0.406f}, deviation[] = {0.229f, 0.224f, 0.225f};
    make_small(1);
    struct dataset *d = open_folder(false, 0, "refuse", 2);
    float *images = xcalloc(2 * SIDE * SIDE, 3 * sizeof *images);
    int32_t labels[2];
    dataset_read(d, 0, 2, images, labels);
    assert_int_equal(labels[0], 0);
    assert_int_equal(labels[1], 1);
    struct bitmap_reader *r = bitmap_reader_open();
    uint8_t *file = xcalloc(1 << 16, 1), *pixels = xcalloc(SIDE * SIDE, 4);
    FILE *f = fopen("val/b/1.jpg", "rb");
    size_t bytes = fread(file, 1, 1 << 16, f);
    fclose(f);
    int width, height;
    assert_true(bitmap_begin(r, file, bytes, &width, &height));
    /* 8/7 of 24, rounded */
    const struct bitmap_view view = bitmap_view_centre(width, height, 27, SIDE);
    assert_true(bitmap_render(r, &view, false, pixels));
    for (int i = 0; i < SIDE * SIDE * 3; i++) {
        float wanted = (pixels[i / 3 * 4 + i % 3] / 255.0f - mean[i % 3]) / deviation[i % 3];
        assert_true(images[SIDE * SIDE * 3 + i] == wanted);
    }
    bitmap_reader_close(r);
    xfree(file);
    xfree(pixels);
    xfree(images);
    dataset_close(d);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, own_folder_enter, own_folder_leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_come_in_torchvisions_order),
        TEST(links_are_followed_but_not_in_circles),
        TEST(a_hundred_thousand_files_are_listed),
        TEST(a_digest_is_of_names_and_lengths),
        TEST(a_limit_takes_of_all_classes),
        TEST(folders_that_are_wrong_are_named),
        TEST(files_that_cannot_be_read_are_named),
        TEST(a_folder_that_changes_is_named),
        TEST(an_ending_may_lie),
        TEST(mini_batches_are_the_same_for_any_threads),
        TEST(each_pass_crops_otherwise),
        TEST(what_is_judged_is_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
