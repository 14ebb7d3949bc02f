/* Image files to pixels: every kind of file, parts and reductions against the whole, broken files.
 * tests/test_pillow.c has Pillow's own pixels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <png.h>

#include "base/alloc.h"
#include "bitmap/bitmap.h"
#include "bitmap/format.h"
#include "tests/image_files.h"

extern const struct bitmap_format bitmap_jpeg;

static struct bitmap_view whole(int width, int height)
{
    const struct bitmap_box box = {0, 0, width, height};
    return (struct bitmap_view){.box = box, .width = width, .height = height, .window = box};
}

/* The image as it is, [height][width][4], to be freed with xfree(); NULL: `why` says so. */
static uint8_t *read_image(const struct file_bytes *f, int *width, int *height, char *why)
{
    struct bitmap_reader *r = bitmap_reader_open();
    uint8_t *out = NULL;
    bool good = bitmap_begin(r, f->bytes, f->count, width, height);
    if (good) {
        const struct bitmap_view view = whole(*width, *height);
        out = xcalloc((size_t)*width * (size_t)*height, 4);
        good = bitmap_render(r, &view, false, out);
    }
    if (!good) {
        snprintf(why, BITMAP_WHY, "%s", bitmap_error(r));
        xfree(out);
        out = NULL;
    }
    bitmap_reader_close(r);
    return out;
}

static uint8_t *read_good(const struct file_bytes *f, int width, int height)
{
    int w, h;
    char why[BITMAP_WHY] = "";
    uint8_t *image = read_image(f, &w, &h, why);
    if (!image)
        fail_msg("%s", why);
    assert_int_equal(w, width);
    assert_int_equal(h, height);
    return image;
}

/* --- JPEG */

/* All parts, of all reductions, have the pixels of the whole. */
static void check_parts(const struct jpeg_file *file, struct random *r)
{
    enum { PARTS = 12 };
    struct file_bytes f = image_file_jpeg(file);
    void *decoder = bitmap_jpeg.open();
    struct bitmap all = {.room = 0}, some = {.room = 0};
    char why[BITMAP_WHY];
    for (int by = 1; by <= bitmap_jpeg.most_reduction; by *= 2) {
        int width, height;
        assert_true(bitmap_jpeg.begin(decoder, f.bytes, f.count, &width, &height, why));
        width = (width + by - 1) / by;
        height = (height + by - 1) / by;
        assert_true(
            bitmap_jpeg.decode(decoder, (struct bitmap_box){0, 0, width, height}, by, &all, why));
        assert_memory_equal(&all.part, (&(struct bitmap_box){0, 0, width, height}),
                            sizeof all.part);
        for (int i = 0; i < PARTS; i++) {
            struct bitmap_box part;
            part.width = 1 + (int)random_below(r, (uint64_t)width);
            part.height = 1 + (int)random_below(r, (uint64_t)height);
            part.left = (int)random_below(r, (uint64_t)(width - part.width) + 1);
            part.top = (int)random_below(r, (uint64_t)(height - part.height) + 1);
            int w, h;
            assert_true(bitmap_jpeg.begin(decoder, f.bytes, f.count, &w, &h, why));
            assert_true(bitmap_jpeg.decode(decoder, part, by, &some, why));
            for (int y = 0; y < part.height; y++)
                for (int x = 0; x < part.width; x++) {
                    const uint8_t *is =
                        some.pixels + 4 * ((part.top + y - some.part.top) * some.part.width +
                                           part.left + x - some.part.left);
                    const uint8_t *wanted =
                        all.pixels + 4 * ((part.top + y) * width + part.left + x);
                    if (memcmp(is, wanted, 3))
                        fail_msg("colours %d, %d x %d, progressive %d, 1/%d: the part %d %d %d %d "
                                 "has %d,%d,%d at %d,%d, the image %d,%d,%d",
                                 file->colours, file->across, file->down, file->progressive, by,
                                 part.left, part.top, part.width, part.height, is[0], is[1], is[2],
                                 x, y, wanted[0], wanted[1], wanted[2]);
                }
        }
    }
    bitmap_jpeg.close(decoder);
    xfree(all.pixels);
    xfree(some.pixels);
    free(f.bytes);
}

static void parts_of_a_jpeg_are_the_image(void **state)
{
    (void)state;
    static const int sampled[][2] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}};
    struct random r = random_at(RANDOM_TEST, 1, 2, 3, 4);
    for (int s = 0; s < 5; s++)
        for (int progressive = 0; progressive < 2; progressive++)
            for (enum jpeg_colours c = JPEG_GREY; c <= JPEG_YCCK; c++)
                check_parts(&(struct jpeg_file){.width = 131,
                                                .height = 97,
                                                .colours = c,
                                                .across = c == JPEG_GREY ? 1 : sampled[s][0],
                                                .down = c == JPEG_GREY ? 1 : sampled[s][1],
                                                .progressive = progressive},
                            &r);
}

static void check_colour(struct jpeg_file file, const uint8_t *stored, const int *wanted)
{
    file.width = file.height = 16;
    file.constant = stored;
    struct file_bytes f = image_file_jpeg(&file);
    uint8_t *image = read_good(&f, 16, 16);
    for (int c = 0; c < 3; c++)
        if (abs(image[c] - wanted[c]) > 2)
            fail_msg("colours %d: channel %d is %d, wanted %d", file.colours, c, image[c],
                     wanted[c]);
    xfree(image);
    free(f.bytes);
}

static void every_kind_of_jpeg_is_rgb(void **state)
{
    (void)state;
    static const uint8_t ink[] = {200, 100, 30, 180};
    /* black x (255 - (255 - ink)) / 255 */
    static const int inked[] = {141, 71, 21}, grey[] = {200, 200, 200}, plain[] = {200, 100, 30};
    check_colour((struct jpeg_file){.colours = JPEG_GREY}, ink, grey);
    check_colour((struct jpeg_file){.colours = JPEG_COLOUR, .across = 2, .down = 2}, ink, plain);
    check_colour((struct jpeg_file){.colours = JPEG_RGB}, ink, plain);
    check_colour((struct jpeg_file){.colours = JPEG_COLOUR, .progressive = true}, ink, plain);
    check_colour((struct jpeg_file){.colours = JPEG_COLOUR, .arithmetic = true}, ink, plain);
    check_colour((struct jpeg_file){.colours = JPEG_CMYK}, ink, inked);
    check_colour((struct jpeg_file){.colours = JPEG_YCCK, .across = 2, .down = 2}, ink, inked);
}

static void a_turned_jpeg_stays_as_it_lies(void **state)
{
    (void)state;
    struct jpeg_file file = {.width = 40, .height = 24, .colours = JPEG_COLOUR};
    struct file_bytes plain = image_file_jpeg(&file);
    file.orientation = 6;
    struct file_bytes turned = image_file_jpeg(&file);
    uint8_t *a = read_good(&plain, 40, 24), *b = read_good(&turned, 40, 24);
    assert_memory_equal(a, b, 40 * 24 * 4);
    xfree(a);
    xfree(b);
    free(plain.bytes);
    free(turned.bytes);
}

/* --- PNG */

static int scaled(int sample, int depth)
{
    return depth == 16 ? sample >> 8 : sample * 255 / ((1 << depth) - 1);
}

static void check_png(const struct png_file *file)
{
    struct file_bytes f = image_file_png(file);
    uint8_t *image = read_good(&f, file->width, file->height);
    int samples = file->type == PNG_COLOR_TYPE_PALETTE || file->type == PNG_COLOR_TYPE_GRAY ? 1
                  : file->type == PNG_COLOR_TYPE_GRAY_ALPHA                                 ? 2
                  : file->type == PNG_COLOR_TYPE_RGB                                        ? 3
                                                                                            : 4;
    for (int y = 0; y < file->height; y++)
        for (int x = 0; x < file->width; x++)
            for (int c = 0; c < 3; c++) {
                int s = image_file_sample(x * samples + (samples > 2 ? c : 0), y, file->depth);
                int wanted = file->type == PNG_COLOR_TYPE_PALETTE ? (c == 0   ? s
                                                                     : c == 1 ? 255 - s
                                                                              : 7)
                                                                  : scaled(s, file->depth);
                int is = image[4 * (y * file->width + x) + c];
                if (is != wanted)
                    fail_msg("type %d, depth %d, interlaced %d: %d at %d,%d,%d, wanted %d",
                             file->type, file->depth, file->interlaced, is, x, y, c, wanted);
            }
    xfree(image);
    free(f.bytes);
}

static void every_kind_of_png_is_rgb(void **state)
{
    (void)state;
    static const int kinds[][2] = {{PNG_COLOR_TYPE_GRAY, 1},        {PNG_COLOR_TYPE_GRAY, 2},
                                   {PNG_COLOR_TYPE_GRAY, 4},        {PNG_COLOR_TYPE_GRAY, 8},
                                   {PNG_COLOR_TYPE_GRAY, 16},       {PNG_COLOR_TYPE_RGB, 8},
                                   {PNG_COLOR_TYPE_RGB, 16},        {PNG_COLOR_TYPE_PALETTE, 1},
                                   {PNG_COLOR_TYPE_PALETTE, 2},     {PNG_COLOR_TYPE_PALETTE, 4},
                                   {PNG_COLOR_TYPE_PALETTE, 8},     {PNG_COLOR_TYPE_GRAY_ALPHA, 8},
                                   {PNG_COLOR_TYPE_GRAY_ALPHA, 16}, {PNG_COLOR_TYPE_RGB_ALPHA, 8},
                                   {PNG_COLOR_TYPE_RGB_ALPHA, 16}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int interlaced = 0; interlaced < 2; interlaced++) {
            check_png(&(struct png_file){13, 9, kinds[i][1], kinds[i][0], interlaced});
            check_png(&(struct png_file){1, 1, kinds[i][1], kinds[i][0], interlaced});
        }
}

/* --- broken files */

/* What is said of the file; "": it is read. */
static const char *said_of(const void *bytes, size_t count, char *why)
{
    int width, height;
    const struct file_bytes f = {(uint8_t *)bytes, count};
    *why = 0;
    xfree(read_image(&f, &width, &height, why));
    return why;
}

static void check_said(const char *bytes, size_t count, const char *words)
{
    char why[BITMAP_WHY];
    if (!strstr(said_of(bytes, count, why), words))
        fail_msg("'%s' was said, not '%s'", why, words);
}

static void what_is_no_image_is_named(void **state)
{
    (void)state;
    check_said("", 0, "no byte");
    check_said("hello", 5, "no image");
    check_said("GIF89a....", 10, "it is GIF");
    check_said("RIFF1234WEBP", 12, "it is WebP");
    check_said("<!DOCTYPE html>", 15, "it is HTML");
    check_said("\xff\xd8", 2, "no image");
    check_said("\xff\xd8\xff\xd9", 4, "JPEG");
    check_said("\x89PNG\r\n\x1a\n", 8, "truncated PNG");
}

/* Cut anywhere a file is refused; with bytes after its end it is read. */
static void check_cuts(struct file_bytes f, const char *words, size_t needless)
{
    char why[BITMAP_WHY];
    for (size_t count = 0; count + needless < f.count; count++) {
        uint8_t *cut = malloc(count + 1); /* so that a sanitizer sees its end */
        memcpy(cut, f.bytes, count);
        if (!*said_of(cut, count, why))
            fail_msg("a file of %zu bytes is read when it has %zu", f.count, count);
        if (count > 700 && !strstr(why, words))
            fail_msg("%zu of %zu bytes: '%s' was said, not '%s'", count, f.count, why, words);
        free(cut);
    }
    uint8_t *longer = calloc(f.count + 99, 1);
    memcpy(longer, f.bytes, f.count);
    assert_string_equal(said_of(longer, f.count + 99, why), "");
    free(longer);
    free(f.bytes);
}

static void a_truncated_file_is_refused(void **state)
{
    (void)state;
    check_cuts(
        image_file_jpeg(&(struct jpeg_file){.width = 40, .height = 40, .colours = JPEG_COLOUR}),
        "truncated", 0);
    check_cuts(image_file_jpeg(&(struct jpeg_file){
                   .width = 40, .height = 40, .colours = JPEG_COLOUR, .progressive = true}),
               "truncated", 0);
    /* the last checksum is not looked at */
    check_cuts(image_file_png(&(struct png_file){23, 17, 8, PNG_COLOR_TYPE_RGB, false}),
               "truncated", 4);
}

static void an_image_too_large_is_refused(void **state)
{
    (void)state;
    struct file_bytes f =
        image_file_jpeg(&(struct jpeg_file){.width = 8, .height = 8, .colours = JPEG_GREY});
    for (size_t i = 0; i + 9 < f.count; i++)
        if (f.bytes[i] == 0xff && f.bytes[i + 1] == 0xc0) { /* the frame: height, width */
            memset(f.bytes + i + 5, 0xf0, 4);
            i = f.count;
        }
    check_said((char *)f.bytes, f.count, "61680 x 61680 pixels");
    free(f.bytes);
}

/* A reader that met a broken file reads the next one. */
static void a_reader_recovers(void **state)
{
    (void)state;
    struct file_bytes jpeg = image_file_jpeg(&(struct jpeg_file){
        .width = 60, .height = 50, .colours = JPEG_COLOUR, .progressive = true});
    struct file_bytes png = image_file_png(&(struct png_file){60, 50, 8, PNG_COLOR_TYPE_RGB, true});
    struct bitmap_reader *r = bitmap_reader_open();
    uint8_t *out = xcalloc(60 * 50, 4), *first = read_good(&jpeg, 60, 50),
            *second = read_good(&png, 60, 50);
    const struct bitmap_view view = whole(60, 50);
    for (size_t cut = 0; cut < 600; cut += 7) {
        const struct file_bytes *f = cut % 2 ? &jpeg : &png;
        int width, height;
        if (bitmap_begin(r, f->bytes, cut, &width, &height))
            bitmap_render(r, &view, false, out);
        assert_true(bitmap_begin(r, f->bytes, f->count, &width, &height));
        assert_true(bitmap_render(r, &view, false, out));
        for (int i = 0; i < 60 * 50; i++)
            assert_memory_equal(out + 4 * i, (cut % 2 ? first : second) + 4 * i, 3);
    }
    bitmap_reader_close(r);
    xfree(out);
    xfree(first);
    xfree(second);
    free(jpeg.bytes);
    free(png.bytes);
}

/* --- views of files */

/* Long, tiny and ordinary images, for training and evaluation, quick and exact. */
static void images_of_any_shape_are_shown(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {30000, 10}, {10, 30000}, {3, 700}, {600, 450}};
    enum { SIDE = 64 };
    uint8_t *out = xcalloc(SIDE * SIDE, 4), *mirrored = xcalloc(SIDE * SIDE, 4);
    struct bitmap_reader *r = bitmap_reader_open();
    for (int i = 0; i < 5; i++) {
        struct file_bytes f = image_file_jpeg(&(struct jpeg_file){.width = sizes[i][0],
                                                                  .height = sizes[i][1],
                                                                  .colours = JPEG_COLOUR,
                                                                  .across = 2,
                                                                  .down = 2});
        for (uint64_t draw = 0; draw < 20; draw++) {
            int width, height;
            struct random random = random_at(RANDOM_TEST, draw, 0, 0, 0);
            struct bitmap_view view =
                draw == 0 ? bitmap_view_centre(sizes[i][0], sizes[i][1], 80, SIDE)
                          : bitmap_view_random(sizes[i][0], sizes[i][1], SIDE, 0.08, &random);
            assert_true(bitmap_begin(r, f.bytes, f.count, &width, &height));
            if (!bitmap_render(r, &view, draw % 2, out))
                fail_msg("%d x %d: %s", width, height, bitmap_error(r));
            view.mirror = !view.mirror;
            assert_true(bitmap_begin(r, f.bytes, f.count, &width, &height));
            assert_true(bitmap_render(r, &view, draw % 2, mirrored));
            for (int p = 0; p < SIDE * SIDE; p++)
                assert_memory_equal(out + 4 * p,
                                    mirrored + 4 * (p / SIDE * SIDE + SIDE - 1 - p % SIDE), 3);
        }
        free(f.bytes);
    }
    bitmap_reader_close(r);
    xfree(out);
    xfree(mirrored);
}

/* A reduced image is another one, but shows the same, at the same place. */
static void a_quick_view_is_near(void **state)
{
    (void)state;
    enum { SIDE = 50 };
    struct file_bytes f = image_file_jpeg(&(struct jpeg_file){.width = 640,
                                                              .height = 480,
                                                              .colours = JPEG_COLOUR,
                                                              .across = 2,
                                                              .down = 2,
                                                              .slope = true});
    struct bitmap_reader *r = bitmap_reader_open();
    uint8_t exactly[SIDE * SIDE * 4], quick[SIDE * SIDE * 4];
    for (int side = 500; side > SIDE; side /= 2) {
        const struct bitmap_view view = {.box = {640 - side, 0, side, side - 30},
                                         .width = SIDE,
                                         .height = SIDE,
                                         .window = {0, 0, SIDE, SIDE}};
        int width, height;
        assert_true(bitmap_begin(r, f.bytes, f.count, &width, &height));
        assert_true(bitmap_render(r, &view, false, exactly));
        assert_true(bitmap_begin(r, f.bytes, f.count, &width, &height));
        assert_true(bitmap_render(r, &view, true, quick));
        for (int i = 0; i < SIDE * SIDE * 4; i++)
            if (i % 4 != 3 && abs(exactly[i] - quick[i]) > 2)
                fail_msg("box of %d: %d is %d when it is quick", side, exactly[i], quick[i]);
    }
    bitmap_reader_close(r);
    free(f.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_a_jpeg_are_the_image),
        cmocka_unit_test(every_kind_of_jpeg_is_rgb),
        cmocka_unit_test(a_turned_jpeg_stays_as_it_lies),
        cmocka_unit_test(every_kind_of_png_is_rgb),
        cmocka_unit_test(what_is_no_image_is_named),
        cmocka_unit_test(a_truncated_file_is_refused),
        cmocka_unit_test(an_image_too_large_is_refused),
        cmocka_unit_test(a_reader_recovers),
        cmocka_unit_test(images_of_any_shape_are_shown),
        cmocka_unit_test(a_quick_view_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
