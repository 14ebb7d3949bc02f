/* Image files: an input is a byte that chooses a view, and a file. One reader takes all
 * inputs: what it met must leave nothing behind. */
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "base/alloc.h"
#include "bitmap/bitmap.h"
#include "tests/image_files.h"

enum { SIDE = 24, SHORT_SIDE = 32, PIXELS = 1 << 18 };

static struct {
    struct bitmap_reader *reader;
    struct file_bytes good;
    uint8_t wanted[SIDE * SIDE * 4];
} all;

static bool show(const uint8_t *bytes, size_t size, int how, uint8_t *out)
{
    int width, height;
    struct random r = random_at(RANDOM_TEST, (uint64_t)how, 0, 0, 0);
    if (!bitmap_begin(all.reader, bytes, size, &width, &height))
        return false;
    if (width <= 0 || height <= 0)
        fuzz_defect("an image of %d x %d pixels", width, height);
    if ((int64_t)width * height > PIXELS) /* it would take a while */
        return false;
    struct bitmap_view view = how % 2 ? bitmap_view_random(width, height, SIDE, 0.08, &r)
                                      : bitmap_view_centre(width, height, SHORT_SIDE, SIDE);
    return bitmap_render(all.reader, &view, how % 4 > 1, out);
}

void fuzz_open(void)
{
    all.reader = bitmap_reader_open();
    all.good = image_file_jpeg(
        &(struct jpeg_file){.width = 30, .height = 20, .colours = JPEG_COLOUR, .across = 2});
    if (!show(all.good.bytes, all.good.count, 0, all.wanted))
        fuzz_defect("a good file is refused: %s", bitmap_error(all.reader));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static uint8_t out[SIDE * SIDE * 4];
    struct fuzz_input in = {bytes, bytes + size};
    int how = fuzz_byte(&in);
    bool taken = show(in.at, (size_t)(in.end - in.at), how, out);
    *(taken ? &fuzz_counts()->taken : &fuzz_counts()->refused) += 1;
    if (!show(all.good.bytes, all.good.count, 0, out) || memcmp(out, all.wanted, sizeof out))
        fuzz_defect("after this file a good one looks otherwise");
    return 0;
}

size_t fuzz_seed(int number, uint8_t *bytes)
{
    static const struct jpeg_file jpegs[] = {
        {.width = 40, .height = 30, .colours = JPEG_COLOUR, .across = 2, .down = 2},
        {.width = 40, .height = 30, .colours = JPEG_COLOUR, .progressive = true},
        {.width = 17, .height = 70, .colours = JPEG_GREY, .orientation = 6},
        {.width = 16, .height = 16, .colours = JPEG_CMYK},
        {.width = 50, .height = 20, .colours = JPEG_YCCK, .across = 2},
        {.width = 33, .height = 9, .colours = JPEG_COLOUR, .arithmetic = true},
        {.width = 900, .height = 1, .colours = JPEG_GREY}};
    static const struct png_file pngs[] = {{16, 11, 8, PNG_COLOR_TYPE_RGB, true},
                                           {9, 9, 16, PNG_COLOR_TYPE_RGB_ALPHA, false},
                                           {40, 12, 4, PNG_COLOR_TYPE_PALETTE, false},
                                           {50, 30, 1, PNG_COLOR_TYPE_GRAY, true}};
    enum { JPEGS = sizeof jpegs / sizeof *jpegs, PNGS = sizeof pngs / sizeof *pngs };
    if (number >= JPEGS + PNGS)
        return 0;
    struct file_bytes f =
        number < JPEGS ? image_file_jpeg(&jpegs[number]) : image_file_png(&pngs[number - JPEGS]);
    size_t size = f.count + 1;
    if (size > FUZZ_SEED_MOST)
        fuzz_defect("seed %d has %zu bytes", number, size);
    bytes[0] = (uint8_t)number;
    memcpy(bytes + 1, f.bytes, f.count);
    free(f.bytes);
    return size;
}
